#!/usr/bin/env python3
"""Download, verify and convert pretrained weights and the classic example images.

python scripts/fetch.py squeezenet
python scripts/fetch.py vgg16
python scripts/fetch.py vgg19_16x
python scripts/fetch.py vgg19 --source dmlc
python scripts/fetch.py vgg19 --from ~/Downloads/imagenet-vgg-verydeep-19.mat
python scripts/fetch.py --list
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.fetch import main

if __name__ == "__main__":
    sys.exit(main())
