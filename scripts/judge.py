#!/usr/bin/env python3
"""Judge pictures, or a network, by what VGG-19 and SqueezeNet see: style distance and content distance.

Make pictures with a network in several styles and judge them:

    python scripts/judge.py --content photo.jpg --style a.jpg b.jpg --set model=vgg_slim --output output/judged

or judge pictures that are there, one for each style:

    python scripts/judge.py --content photo.jpg --style a.jpg b.jpg --picture made_a.png made_b.png

An eye whose weights have not been fetched is left out.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.judge import main

if __name__ == "__main__":
    sys.exit(main())
