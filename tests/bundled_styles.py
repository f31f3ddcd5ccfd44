"""The small picture by which tests recognise each bundled style."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import find_input
from styletransfer.engines import choose
from styletransfer.feedforward.style_file import Style
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.pictures import images

GOLDENS = Path(__file__).resolve().parent / "goldens" / "styles"
PHOTOGRAPH, SIZE = "input/coffee.jpg", (80, 120)


def stylised(style: Style) -> NDArray[np.uint8]:
    """Make that picture, (80, 120, 3), in float32 rounded to grey levels."""
    photograph = images.resize(images.read(find_input(PHOTOGRAPH)), *SIZE)
    return images.to_bytes(Stylizer(style, choose(precision="float32").load(), "float32")(photograph))
