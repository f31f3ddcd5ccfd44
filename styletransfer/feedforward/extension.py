"""Images as feed-forward networks expect them: extended by reflection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import TransformerSpec


def extended(image: NDArray[np.float32], spec: TransformerSpec) -> NDArray[np.float32]:
    """An image (1, 3, height, width), extended by reflection as the network expects it."""
    sides = [spec.padding(length) for length in image.shape[2:]]
    return np.pad(image, [(0, 0), (0, 0), *sides], mode="reflect")


def inner(spec: TransformerSpec, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an extended image that are the image itself, of the given size."""
    rows, columns = (slice(spec.margin, spec.margin + length) for length in (height, width))
    return rows, columns
