#!/usr/bin/env python3
"""Give pictures a trained style: a file, or a folder of them.

python scripts/stylize.py photo.jpg --style night --output out.jpg
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.stylize import main

if __name__ == "__main__":
    sys.exit(main())
