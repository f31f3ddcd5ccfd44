"""Tiling: a network processes a large image in overlapping windows, with the result of the whole image.

The network is cut into segments after some of its poolings. A segment processes all of its input, tile by tile, before
the next one starts; its output is small enough to be kept whole.

A tile is computed in a window and owns a part of it; the rest of the window is a halo. The halo is wide enough that no
value the tile owns, of any layer, and no value that contributes to the gradient of what it owns, depends on anything
beyond the window. Every value of every layer is owned by exactly one tile. So Gram matrices, which are sums over
positions, are summed over tiles, and gradients are assembled from the owned parts. Windows begin at multiples of the
segment's stride, so that their pooling windows are those of the whole image, and have one size, so that one executor
serves all of them. At the border of the image, a window ends where the image ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.spec import ModelSpec


@dataclass(frozen=True)
class Span:
    """A tile along one axis of the image, in pixels: the start of its window, and the part [begin, end) it owns."""

    start: int
    begin: int
    end: int

    def owned(self, stride: int, values: int) -> slice:
        """The part the tile owns of a layer's `values` along this axis, `stride` pixels apart."""
        return slice(min(self.begin // stride, values), min(-(-self.end // stride), values))

    def owned_in_window(self, stride: int, values: int) -> slice:
        """The part the tile owns, relative to the start of the window."""
        owned, start = self.owned(stride, values), self.start // stride
        return slice(owned.start - start, owned.stop - start)


@dataclass(frozen=True)
class Tile:
    """A window of an image, and the part of it that the tile owns."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class Tiling:
    """Tiles that cover an image, with windows of `height` x `width` pixels."""

    height: int
    width: int
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Tile]:
        return (Tile(rows, columns) for rows in self.rows for columns in self.columns)

    @property
    def whole(self) -> bool:
        """Return whether one tile is the whole image."""
        return len(self) == 1

    @property
    def window_pixels(self) -> int:
        """The number of pixels of all windows together."""
        return len(self) * self.height * self.width


@dataclass(frozen=True)
class Segment:
    """Consecutive layers of a network, and the tiling of their input.

    Attributes
    ----------
    spec : ModelSpec
        The network after `after`.
    after : str, or None
        The layer that is its input; None: the image.
    layers : tuple of str
        The tapped layers it contains.
    cut : str, or None
        The layer at which it ends, the input of the next segment; None for the last.
    shape : tuple of int
        (channels, height, width) of its input.
    tiling : Tiling
        Of its input; a "pixel" is a position of the input.
    """

    spec: ModelSpec
    after: str | None
    layers: tuple[str, ...]
    cut: str | None
    shape: tuple[int, int, int]
    tiling: Tiling

    @property
    def outputs(self) -> tuple[str, ...]:
        """The layers that are tapped for the losses or for the next segment, each once."""
        return tuple(dict.fromkeys([*self.layers, *([self.cut] if self.cut else [])]))

    @property
    def whole(self) -> bool:
        """Return whether the backward pass can use its forward pass: it is the last segment and has one tile."""
        return self.cut is None and self.tiling.whole


def segments(spec: ModelSpec, layers: Iterable[str], height: int, width: int, tile: int | None) -> list[Segment]:
    """Split a network, up to its deepest tapped layer, into segments, and cover their inputs with tiles.

    The windows of the first segment have sides of at most `tile`; those of the other segments are as large as possible
    without having more values, over all layers, than those of the first. Consecutive segments that need only one window
    are merged.

    Raises ValueError if windows of that side own nothing: `tile` must be at least :func:`smallest_tile`.

    Parameters
    ----------
    layers : names of the tapped layers
    height, width : int
        Of the image.
    tile : int, or None
        The longest side of a window of the image, in pixels; None: no tiling.
    """
    layers = list(dict.fromkeys(layers))
    if tile is None or max(height, width) <= tile:
        return [Segment(spec, None, tuple(layers), None, (3, height, width), _whole(height, width))]
    deepest = spec.deepest(layers)
    ends = [*_cuts(spec, deepest), None]
    budget = _density(spec, ends[0] or deepest) * tile**2
    while len(ends) > 2:  # merge the last two, but never with the first, which needs tiles
        _, rows, columns = _input_shape(spec, ends[-3], height, width)
        if rows * columns * _density(_after(spec, ends[-3]), deepest) > budget:
            break
        del ends[-2]
    parts: list[Segment] = []
    start = None
    for end in ends:
        rest = _after(spec, start)
        last = end or deepest
        inside = [layer for layer in layers if layer in _up_to(rest, last)]
        shape = _input_shape(spec, start, height, width)
        window = (tile, tile)
        if start is not None:
            least = smallest_side(rest, [*inside, last])
            window = _window(shape[1], shape[2], budget / _density(rest, last), least)
        tiling = cover(rest, [*inside, last], shape[1], shape[2], window)
        parts.append(Segment(rest, start, tuple(inside), end, shape, tiling))
        start = end
    return parts


def cover(spec: ModelSpec, layers: Iterable[str], height: int, width: int, window: tuple[int, int]) -> Tiling:
    """Cover an image with tiles for a whole network, with windows of at most the given (height, width).

    Raises ValueError if windows of that size own nothing: sides must be at least :func:`smallest_side`.
    """
    halo = _halo(spec, list(layers))
    rows, row_spans = _spans(height, window[0], *halo)
    columns, column_spans = _spans(width, window[1], *halo)
    return Tiling(rows, columns, row_spans, column_spans)


def smallest_tile(spec: ModelSpec, layers: Iterable[str]) -> int:
    """The shortest side of a window of the image, in pixels, in which a tile of the first segment owns something."""
    layers = list(layers)
    first = next(iter(_cuts(spec, spec.deepest(layers))), None)
    if first is None:
        return smallest_side(spec, layers)
    return smallest_side(spec, [first, *(layer for layer in layers if layer in _up_to(spec, first))])


def smallest_side(spec: ModelSpec, layers: Iterable[str]) -> int:
    """The shortest side of a window in which a tile owns something, whatever the size of the image."""
    stride, before, after = _halo(spec, list(layers))
    return before + after + 3 * stride


def _whole(height: int, width: int) -> Tiling:
    return Tiling(height, width, (Span(0, 0, height),), (Span(0, 0, width),))


def _cuts(spec: ModelSpec, deepest: str) -> list[str]:
    """The cuts before the deepest tapped layer."""
    return [cut for cut in spec.cuts if spec.layer_names.index(cut) < spec.layer_names.index(deepest)]


def _up_to(spec: ModelSpec, layer: str) -> tuple[str, ...]:
    return spec.layer_names[: spec.layer_names.index(layer) + 1]


def _after(spec: ModelSpec, start: str | None) -> ModelSpec:
    return spec if start is None else spec.after(start)


def _input_shape(spec: ModelSpec, start: str | None, height: int, width: int) -> tuple[int, int, int]:
    return (3, height, width) if start is None else spec.output_shape(start, height, width)


def _density(spec: ModelSpec, deepest: str) -> float:
    """The values of all layers of a network, up to a tap, per pixel of a large image."""
    below = spec.taps[: spec.layer_names.index(deepest) + 1]
    return sum(tap.channels / spec.receptive_field(tap.name).stride ** 2 for tap in below)


def _window(rows: int, columns: int, area: float, least: int) -> tuple[int, int]:
    """The sides of a window of the given area within an image, square if possible, neither shorter than `least`."""
    side = math.sqrt(area)
    if min(rows, columns) >= side:
        height = width = side
    elif rows < columns:
        height, width = rows, area / max(1, rows)
    else:
        height, width = area / max(1, columns), columns
    return max(least, int(height)), max(least, int(width))


def _halo(spec: ModelSpec, layers: list[str]) -> tuple[int, int, int]:
    """The deepest layer's stride, and the halo before the first and after the last owned pixel.

    All values that depend on an owned pixel contribute to its gradient; their receptive fields must lie in the window.
    """
    fields = [spec.receptive_field(layer) for layer in layers]
    stride = max(field.stride for field in fields)
    before, after = 0, 0
    for field in fields:
        first = -(-(field.offset - field.size + 1) // field.stride)  # the first value that depends on pixel 0
        last = (field.offset - 1) // field.stride  # the last that depends on pixel -1
        before = max(before, field.offset - first * field.stride)
        after = max(after, last * field.stride - field.offset + field.size)
    return stride, -(-before // stride) * stride, after


def _spans(length: int, tile: int, stride: int, before: int, after: int) -> tuple[int, tuple[Span, ...]]:
    """The side of the windows, and the tiles along one axis of the image."""
    if length <= tile:
        return length, (Span(0, 0, length),)

    def advance(side: int) -> int:
        return (side - after) // stride * stride - before

    def count(side: int) -> int:
        return 1 - (side - length) // advance(side)  # 1 + the rest of the image over the advance, rounded up

    side = tile - (tile - length) % stride  # the last window ends with the image and begins at a multiple of the stride
    if advance(side) <= 0:
        raise ValueError(f"tiles of {tile} pixels own nothing: {before} + {after} are halo")
    tiles = count(side)
    while advance(side - stride) > 0 and count(side - stride) == tiles:  # the smallest windows for this number of tiles
        side -= stride
    starts = [number * advance(side) for number in range(tiles - 1)] + [length - side]
    begins = [0, *(number * advance(side) + before for number in range(1, tiles))]
    return side, tuple(Span(*span) for span in zip(starts, begins, [*begins[1:], length]))
