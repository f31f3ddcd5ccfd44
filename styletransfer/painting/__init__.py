"""Style pictures painted by program, so that the project ships its own. One module paints one style."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from styletransfer.errors import UserError, nearest

from . import dusk, mosaic, night, wave

SMALLEST, LARGEST = 32, 4096  # pixels, of either side

Painter = Callable[[int, int, np.random.Generator], NDArray[np.uint8]]

STYLES: dict[str, Painter] = {
    "night": night.paint,
    "wave": wave.paint,
    "mosaic": mosaic.paint,
    "dusk": dusk.paint,
}
DESCRIPTIONS = {
    name: (module.__doc__ or "").partition("\n")[0]
    for name, module in (("night", night), ("wave", wave), ("mosaic", mosaic), ("dusk", dusk))
}


def paint(style: str, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Paint a picture; the same arguments give the same picture.

    Parameters
    ----------
    style : a name in STYLES
    height, width : pixels. The composition stretches with the shape and is meant for 3 to 4
    seed : 0 or more

    Returns
    -------
    (height, width, 3) RGB

    Raises
    ------
    UserError
        For a style that there is not, a size out of bounds or a negative seed.
    """
    if style not in STYLES:
        raise UserError(f"style {style!r}: no such style; {nearest(style, STYLES)}")
    for name, side in (("height", height), ("width", width)):
        if not SMALLEST <= side <= LARGEST:
            raise UserError(f"{name} {side}: expected {SMALLEST} to {LARGEST} pixels")
    if seed < 0:
        raise UserError(f"seed {seed}: expected 0 or more")
    return STYLES[style](height, width, np.random.default_rng(seed))
