#!/usr/bin/env python3
"""Neural style transfer: the content of a photograph in the style of a painting.

python scripts/nstyle.py --config configs/starry.yaml --set style.weight=50
python scripts/nstyle.py --content photo.jpg --style painting.jpg --output output/mine
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.transfer import main

if __name__ == "__main__":
    sys.exit(main())
