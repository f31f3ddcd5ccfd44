#!/usr/bin/env python3
"""Regenerate the goldens: the loss curve of every config, scaled down by tests/shrunk.py, and a picture in every style.

    python tests/goldens/renew.py [CONFIG or STYLE ...]

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
from bundled_styles import GOLDENS, stylised
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from styletransfer.engines import load
from styletransfer.feedforward import style_file
from styletransfer.session import curves

# L-BFGS amplifies rounding, so its curves differ more between machines; so do these configs, by test_agreement.py.
TOLERANCES = {
    "lbfgs": 1e-3,
    "lbfgsb": 1e-2,
    "best": 5e-3,
    "starry": 3e-2,
    "regions": 3e-2,
    "coursera_vgg19": 5e-3,
    "gatys": 5e-3,
}
USUAL_TOLERANCE = 2e-4


def renew(name: str) -> Path:
    """Run one config and write its curve."""
    config = shrunk.shrunk(name)
    curve = shrunk.curve_of(config)
    tolerance = TOLERANCES.get(name, TOLERANCES.get(config.optimizer.name, USUAL_TOLERANCE))
    lines = [
        f"# configs/{name}.yaml, shrunk to {config.steps[0]} steps by tests/shrunk.py; by tests/goldens/renew.py",
        f"# {_versions()}",
        f"# rtol {tolerance:g}",
        ",".join(map(curves.name_of, curve.columns)),
        *(",".join(map(repr, row)) for row in curve.rows),
    ]
    path = FOLDER / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def renew_style(name: str) -> Path:
    """Stylise the photograph of the goldens and write the picture, with its origin as a text inside."""
    origin = PngInfo()
    style = style_file.read(style_file.find(name))
    origin.add_text("Comment", f"style {name}, sha256 {style.record['sha256']}; {_versions()}")
    path = GOLDENS / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(stylised(style)).save(path, pnginfo=origin)
    return path


def _versions() -> str:
    return f"MXNet {load('mxnet').version()}, numpy {np.__version__}, {platform.machine()}, float32"


if __name__ == "__main__":
    for name_ in sys.argv[1:] or [*shrunk.CONFIGS, *style_file.names()]:
        print(renew_style(name_) if name_ in style_file.names() else renew(name_))
