"""A picture in a trained style: from a photograph, of any size, to a picture of the same size."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import TransformerSpec
from styletransfer.engines import Engine, memory_factors
from styletransfer.engines.base import MemoryFactors
from styletransfer.engines.base import Stylizer as BoundNetwork
from styletransfer.feedforward import strips
from styletransfer.feedforward.extension import extended, inner
from styletransfer.feedforward.style_file import Style
from styletransfer.pictures import colors, pixels
from styletransfer.pictures.images import Picture
from styletransfer.support.byte_sizes import format_size
from styletransfer.support.errors import UserError

_SIZES = 2  # sizes for which networks stay bound: pictures of one camera are upright or not

# Measured as the growth of the peak resident memory in fresh processes, with both networks and pictures of 512 to 2048
# pixels.
_FLOAT = 4  # bytes
_PICTURE = 90  # bytes per pixel of the picture, its conversions and the network's input and output
_PICTURE_OF_STRIPS = 36  # the same in strips, without the arrays of :func:`strips.peak_memory`
_FEWEST = 64 * 2**20  # bytes for the windows of strips


class Stylizer:
    """A function that gives pictures the style of a style file.

    Parameters
    ----------
    precision : str
        float32 or bfloat16.
    memory : int, optional
        The bytes that may be used, besides those of any process. A picture for which the whole network would need more
        is processed in strips.
    """

    def __init__(self, style: Style, engine: Engine, precision: str, memory: int | None = None) -> None:
        self._style, self._engine, self._precision, self._memory = style, engine, precision, memory
        self._bound: OrderedDict[tuple[int, int], BoundNetwork] = OrderedDict()

    def __call__(self, picture: Picture) -> Picture:
        """Stylise a picture, (H, W, 3), RGB, 0..1.

        Raises UserError if it needs more memory than may be used, even in strips.
        """
        spec = self._style.spec
        height, width = picture.shape[:2]
        window = self._window_memory(height, width)
        image = extended(pixels.from_picture(picture, spec.pixels), spec)
        rows, columns = inner(spec, height, width)
        return pixels.to_picture(self._output(image, window)[:, :, rows, columns], spec.pixels)

    def _output(self, image: NDArray[np.float32], window: int | None) -> NDArray[np.float32]:
        """Stylise an extended image, in strips whose windows take `window` bytes; None: as a whole."""
        spec, (height, width) = self._style.spec, image.shape[2:]
        if window is not None:
            self._bound.clear()
            return strips.run(spec, self._style.parameters, image, self._engine, self._precision, window)
        if (height, width) not in self._bound:
            while len(self._bound) >= _SIZES:
                self._bound.popitem(last=False)
            self._bound[height, width] = self._engine.stylizer(
                spec, self._style.parameters, height, width, self._precision
            )
        self._bound.move_to_end((height, width))
        return self._bound[height, width](image)

    def _window_memory(self, height: int, width: int) -> int | None:
        """The bytes for the windows of strips, for a picture of that size; None if it fits into memory as a whole."""
        if self._memory is None:
            return None
        factors = memory_factors(self._engine.name, self._engine.device, self._precision)
        if whole_memory(self._style.spec, height, width, factors) <= self._memory:
            return None
        least = least_memory(self._style.spec, height, width)
        if least > self._memory:
            raise UserError(
                f"a picture of {width} x {height} pixels needs {format_size(least)} of memory in the style "
                f"{self._style.record['name']}, and {format_size(self._memory)} may be used; expected a smaller --size"
            )
        return max(_FEWEST, (self._memory - least + _FEWEST) // 2)


def whole_memory(spec: TransformerSpec, height: int, width: int, factors: MemoryFactors) -> int:
    """The bytes that a whole picture needs, approximately."""
    height, width = spec.extended(height), spec.extended(width)
    largest = max(math.prod(shape) for _, shape in spec.shapes(height, width))
    return int(_FLOAT * factors.stylised * largest) + _PICTURE * height * width


def least_memory(spec: TransformerSpec, height: int, width: int) -> int:
    """The bytes that a picture of that size needs at least, which is in strips."""
    height, width = spec.extended(height), spec.extended(width)
    return strips.peak_memory(spec, height, width) + _PICTURE_OF_STRIPS * height * width + _FEWEST


def finished(photograph: Picture, stylised: Picture, strength: float = 1.0, keep_colors: bool = False) -> Picture:
    """A stylised picture, blended towards its photograph.

    Parameters
    ----------
    photograph, stylised : arrays (H, W, 3), RGB, 0..1
    strength : float
        The share of the stylised picture, 0..1; the rest is the photograph.
    keep_colors : bool
        Whether only the luminance is that of the stylised picture, and the chroma that of the photograph.
    """
    if keep_colors:
        stylised = colors.with_luminance(photograph, colors.luminance(stylised))
    return stylised if strength == 1 else strength * stylised + (1 - strength) * photograph
