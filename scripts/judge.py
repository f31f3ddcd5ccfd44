#!/usr/bin/env python3
"""Judge pictures, or a network, by style distance and content distance as seen by VGG-19 and SqueezeNet.

Make pictures in several styles and judge them:

    python scripts/judge.py --content photo.jpg --style a.jpg b.jpg --set model=vgg_slim --output output/judged

or judge existing pictures, one for each style:

    python scripts/judge.py --content photo.jpg --style a.jpg b.jpg --picture made_a.png made_b.png

A network whose weights have not been fetched is left out.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.judge import main

if __name__ == "__main__":
    sys.exit(main())
