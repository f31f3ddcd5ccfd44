#!/usr/bin/env python3
"""Train the bundled network vgg_slim to predict what VGG-19 sees, and write its weights.

python scripts/distill.py --photos FOLDER --paintings FOLDER --vgg19 FILE --vgg19-16x FILE --work output/distill
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.distill import main

if __name__ == "__main__":
    sys.exit(main())
