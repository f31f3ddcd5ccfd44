#!/usr/bin/env python3
"""Regenerate the golden loss curves: every config of the project, scaled down by tests/shrunk.py.

    python tests/goldens/renew.py [CONFIG ...]

Only after a change that is meant to alter them; explain the change in the commit message.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parents[1]), str(FOLDER.parent)]

import numpy as np
import shrunk

from models.runtime import load_mxnet
from styletransfer.run import curves

# L-BFGS amplifies rounding, so its curves differ more between machines.
TOLERANCES = {"lbfgs": 1e-3, "lbfgsb": 1e-2}
USUAL_TOLERANCE = 2e-4


def renew(name: str) -> Path:
    """Run one config and write its curve."""
    config = shrunk.shrunk(name)
    curve = shrunk.curve_of(config)
    tolerance = TOLERANCES.get(config.optimizer.name, USUAL_TOLERANCE)
    lines = [
        f"# configs/{name}.yaml, shrunk to {shrunk.STEPS} steps by tests/shrunk.py; written by tests/goldens/renew.py",
        f"# MXNet {load_mxnet().__version__}, numpy {np.__version__}, {platform.machine()}, float32",
        f"# rtol {tolerance:g}",
        ",".join(map(curves.name_of, curve.columns)),
        *(",".join(map(repr, row)) for row in curve.rows),
    ]
    path = FOLDER / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


if __name__ == "__main__":
    for name_ in sys.argv[1:] or shrunk.CONFIGS:
        print(renew(name_))
