#!/usr/bin/env python3
"""Show what a filter of a network responds to: the patches of pictures that activate it most, and their gradients.

python scripts/visualize.py vgg_slim relu3_1 17
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.visualize import main

if __name__ == "__main__":
    sys.exit(main())
