#!/usr/bin/env python3
"""Show the versions, the engine, the machine and the files in use, and how to get what is missing.

python scripts/doctor.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.doctor import main

if __name__ == "__main__":
    sys.exit(main())
