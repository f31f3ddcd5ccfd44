#!/usr/bin/env python3
"""Measure how much trained styles flicker in videos.

python scripts/flicker.py night output/train/mine/style.npz
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.flicker import main

if __name__ == "__main__":
    sys.exit(main())
