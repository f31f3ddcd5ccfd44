"""A feed-forward network on images that do not fit into memory at once: layer by layer, in horizontal strips.

Instance normalization needs the mean and the variance of whole channels. So one layer is finished before the next one
begins: its convolution is computed strip by strip, from a window that is wider than the strip by what the kernel sees;
what the strip owns is kept in an array for the whole image, and its sums and sums of squares are added up. The next
layer normalizes what it reads with those. Everything that a window gives is what the whole image would give, so results
differ from the whole network by rounding only.

At any time, the input and the output of one layer are held for the whole image, and the inputs of at most two residual
blocks, in float32, besides what one window needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import Layer, TransformerSpec
from styletransfer.engines import Engine
from styletransfer.engines.base import Parameters, Statistics, StripLayer

_BYTES = 4
_WINDOW_ARRAYS = 12  # arrays of the size of a window's input and output that are held at a time; measured
_LEAST_ROWS = 8  # of a strip, in positions of the smaller of input and output


@dataclass(frozen=True)
class Strip:
    """Rows in units of the smaller of a layer's input and output: those it owns, and the start of its window."""

    begin: int
    end: int
    start: int

    def owned(self, factor: int) -> slice:
        """The rows it owns, where there are `factor` of them for every unit."""
        return slice(self.begin * factor, self.end * factor)

    def owned_in_window(self, factor: int) -> slice:
        """The same, relative to the start of its window."""
        return slice((self.begin - self.start) * factor, (self.end - self.start) * factor)


def strips(rows: int, owned: int, halo: int) -> tuple[int, list[Strip]]:
    """The height of the windows, which is the same for all, and the strips that cover `rows`.

    Parameters
    ----------
    owned : int
        Most rows that a strip owns.
    halo : int
        Rows that a window needs before and after those that its strip owns.
    """
    height = min(rows, owned + 2 * halo)
    if height == rows:
        return rows, [Strip(0, rows, 0)]
    parts = []
    for begin in range(0, rows, owned):
        start = min(max(0, begin - halo), rows - height)
        parts.append(Strip(begin, min(begin + owned, rows), start))
    return height, parts


def peak_memory(spec: TransformerSpec, height: int, width: int) -> int:
    """The bytes of the arrays that are held for a whole extended image, without those of a window."""
    return max(held * _BYTES for *_, held in _held(spec, height, width))


def run(
    spec: TransformerSpec,
    parameters: Parameters,
    image: NDArray[np.float32],
    engine: Engine,
    precision: str,
    window_memory: int,
) -> NDArray[np.float32]:
    """The stylised image of an extended image, both (1, 3, height, width).

    Parameters
    ----------
    parameters : dict of arrays
    precision : str
        float32 or bfloat16.
    window_memory : int
        The bytes that a window may take, approximately; at least a few rows are processed at a time.
    """
    values = image
    before: Layer | None = None
    statistics: Statistics | None = None
    kept: dict[str, NDArray[np.float32]] = {}  # the outputs of layers that a later one adds
    for number, layer in enumerate(spec.layers):
        later = _added_from(spec, number - 1)
        kept = {name: output for name, output in kept.items() if name in later}
        keep = before is not None and before.name in later
        if before is not None and keep:
            kept[before.name] = np.empty(values.shape, np.float32)
        compute = engine.strip_layer(spec, parameters, before, layer, statistics, precision, keep)
        values, statistics = _in_strips(compute, before, layer, values, kept, window_memory)
        before = layer
    return values


def _added_from(spec: TransformerSpec, number: int) -> set[str | None]:
    """The names of the layers whose outputs the layer of that number, or a later one, adds."""
    return {layer.adds for layer in spec.layers[max(0, number) :]}


def _held(spec: TransformerSpec, height: int, width: int) -> Iterator[tuple[str, int]]:
    """For every layer its name and the values held while it is computed."""
    values = 3 * height * width
    kept: dict[str, int] = {}
    before: Layer | None = None
    for number, (layer, shape) in enumerate(spec.shapes(height, width)):
        later = _added_from(spec, number - 1)
        kept = {name: size for name, size in kept.items() if name in later}
        if before is not None and before.name in later:
            kept[before.name] = values
        given, values = values, math.prod(shape)
        yield layer.name, given + values + sum(kept.values())
        before = layer


def _in_strips(
    compute: StripLayer,
    before: Layer | None,
    layer: Layer,
    values: NDArray[np.float32],
    kept: dict[str, NDArray[np.float32]],
    window_memory: int,
) -> tuple[NDArray[np.float32], Statistics]:
    """Compute one layer strip by strip.

    Parameters
    ----------
    compute : StripLayer
        The normalization and the activation of `before`, and the convolution of `layer`.
    values : array (1, channels, height, width)
        The convolution of `before`, or the image.
    kept : dict of arrays
        The outputs of layers that a later one adds; that of `before` is filled in if `compute` returns it.

    Returns
    -------
    array (1, channels, height, width)
        The convolution of `layer`.
    statistics
        Its mean and variance by channel.
    """
    _, channels, height, width = values.shape
    rows, columns = height // layer.stride, width // layer.stride
    output = np.empty((1, layer.channels, rows * layer.resize, columns * layer.resize), np.float32)
    row_values = width * channels * layer.stride + layer.channels * layer.phases * columns
    owned = max(_LEAST_ROWS, window_memory // (row_values * _BYTES * _WINDOW_ARRAYS))
    halo = -(-layer.reach // layer.stride)
    window, parts = strips(rows, owned, halo)
    sums = np.zeros((2, layer.channels))
    for strip in parts:
        read = slice(strip.start * layer.stride, (strip.start + window) * layer.stride)
        added = kept[before.adds][:, :, read] if before is not None and before.adds is not None else None
        convolved, given = compute(values[:, :, read], added)
        part = convolved[:, :, strip.owned_in_window(layer.resize)]
        output[:, :, strip.owned(layer.resize)] = part
        sums += [part.sum((0, 2, 3), np.float64), np.square(part, dtype=np.float64).sum((0, 2, 3))]
        if given is not None:
            assert before is not None
            kept[before.name][:, :, strip.owned(layer.stride)] = given[:, :, strip.owned_in_window(layer.stride)]
    mean, square = sums / output[0, 0].size
    return output, (mean, np.maximum(square - mean**2, 0))
