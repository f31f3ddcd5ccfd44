#!/usr/bin/env python3
"""Compare two loss curves: print their first difference and exit 1, or exit 0.

python scripts/compare_curves.py output/a/curve.csv output/b/curve.csv --rtol 1e-4 --plot both.png
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.compare import main

if __name__ == "__main__":
    sys.exit(main())
