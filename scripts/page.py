#!/usr/bin/env python3
"""Open a page in the browser on which pictures are made without a command line.

python scripts/page.py
python scripts/page.py --port 8000 --output output --no-browser
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.page import main

if __name__ == "__main__":
    sys.exit(main())
