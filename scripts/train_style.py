#!/usr/bin/env python3
"""Train a feed-forward network for one style.

python scripts/train_style.py --config configs/train/night.yaml
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.train_style import main

if __name__ == "__main__":
    sys.exit(main())
