"""Flaws of a picture that style and content distances do not show: chroma noise and clipped values.

- Chroma noise is what is left of the chroma planes R - Y' and B - Y' (Y' is the luminance) when a Gaussian blur with a
  standard deviation of one pixel is subtracted; its size is the root of the mean square over both planes. A painting
  has it too, so it is given relative to that of the painting at the same long edge: at 1 they have the same.
- Clipped values are those at 0 or 255, the ends of the range of 8 bits.
"""

from __future__ import annotations

import numpy as np

from styletransfer.pictures import colors, images
from styletransfer.pictures.images import Picture

_BLUR = 1.0  # pixels


def chroma_noise(picture: Picture) -> float:
    """The chroma noise of a picture (H, W, 3), RGB 0..1, in the same unit."""
    from scipy import ndimage

    chroma = np.asarray(picture, np.float64)[..., [0, 2]] - colors.luminance(picture)[..., None]
    fine = chroma - ndimage.gaussian_filter(chroma, _BLUR, axes=(0, 1))
    return float(np.sqrt(np.mean(fine**2)))


def clipped(picture: Picture) -> float:
    """The share of values of a picture (H, W, 3), 0..1, that are clipped."""
    values = images.to_bytes(picture)
    return float(np.mean((values == 0) | (values == 255)))
