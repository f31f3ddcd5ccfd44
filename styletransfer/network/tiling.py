"""How a network sees a large image bit by bit, so that what is computed is what the whole image gives.

The network is cut into sections behind some of its poolings. A section goes over all that it is given, tile by tile,
before the next begins; what it puts out is small enough to be kept whole.

A tile is computed in a window and owns a part of it. Windows overlap: what a tile owns is so far from its window's
inner edges that every value that it owns, of any layer, and every value that the gradient of what it owns comes from,
sees nothing beyond them. Every value of every layer is owned once. So Gram matrices, which are sums over positions, add
up over tiles, and gradients are put together from what the tiles own. Windows begin at multiples of the section's
stride, so that they pool as the whole does, and are all of one size, so that one executor serves for all; at the
image's own border, a window ends where the image ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from models.spec import ModelSpec

Part = tuple[slice, slice]  # rows and columns of a layer


@dataclass(frozen=True)
class Span:
    """A tile along one side of the image, pixels: where its window begins, and the part [begin, end) it owns."""

    start: int
    begin: int
    end: int

    def owned(self, stride: int, values: int) -> slice:
        """Which of the `values` along this side of a layer, `stride` pixels apart, the tile owns."""
        return slice(min(self.begin // stride, values), min(-(-self.end // stride), values))

    def owned_in_window(self, stride: int, values: int) -> slice:
        """The same, counted from the window's beginning."""
        owned, start = self.owned(stride, values), self.start // stride
        return slice(owned.start - start, owned.stop - start)


@dataclass(frozen=True)
class Tile:
    """A window of an image, and what of it the tile owns."""

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
        """Whether one tile is the whole image."""
        return len(self) == 1

    @property
    def seen(self) -> int:
        """The pixels of all windows together."""
        return len(self) * self.height * self.width


@dataclass(frozen=True)
class Section:
    """A part of a network, and the tiles in which it sees what it is given.

    Attributes
    ----------
    spec : ModelSpec
        The network behind `after`.
    after : str, or None
        The layer whose values it is given; None: the image.
    layers : tuple of str
        The tapped layers that lie in it.
    cut : str, or None
        The layer at which it ends, which the next section is given; None for the last.
    shape : tuple of int
        (channels, height, width) of what it is given.
    tiling : Tiling
        Of that; a "pixel" is a position of it.
    """

    spec: ModelSpec
    after: str | None
    layers: tuple[str, ...]
    cut: str | None
    shape: tuple[int, int, int]
    tiling: Tiling

    @property
    def outputs(self) -> tuple[str, ...]:
        """The layers that are tapped for the losses or for the next section, each once."""
        return tuple(dict.fromkeys([*self.layers, *([self.cut] if self.cut else [])]))

    @property
    def whole(self) -> bool:
        """Whether nothing of its forward pass is lost before the way back: it is the last, and has one tile."""
        return self.cut is None and self.tiling.whole


def sections(spec: ModelSpec, layers: Iterable[str], height: int, width: int, tile: int | None) -> list[Section]:
    """Divide a network, as far as its deepest tapped layer, and cover what its sections are given by tiles.

    The windows of the first section have sides of at most `tile`; those of the others are as large as the values of
    their layers are no more than those of the first's. Where sections in a row need only one window between them, they
    are one.

    Parameters
    ----------
    spec : ModelSpec
    layers : names of the tapped layers
    height, width : int
        The image's.
    tile : int, or None
        The longest side of a window of the image, pixels; None: the whole network sees the whole image.

    Raises
    ------
    ValueError
        If windows of that side own nothing: it must be at least :func:`smallest_tile`.
    """
    layers = list(dict.fromkeys(layers))
    if tile is None or max(height, width) <= tile:
        return [Section(spec, None, tuple(layers), None, (3, height, width), _whole(height, width))]
    deepest = spec.deepest(layers)
    ends = [*_cuts(spec, deepest), None]
    room = _density(spec, ends[0] or deepest) * tile**2
    while len(ends) > 2:  # the last two in one, but never with the first, which needs tiles
        _, rows, columns = _given(spec, ends[-3], height, width)
        if rows * columns * _density(_behind(spec, ends[-3]), deepest) > room:
            break
        del ends[-2]
    found: list[Section] = []
    start = None
    for end in ends:
        behind = _behind(spec, start)
        last = end or deepest
        inside = [layer for layer in layers if layer in _as_far_as(behind, last)]
        shape = _given(spec, start, height, width)
        window = (tile, tile)
        if start is not None:
            least = smallest_side(behind, [*inside, last])
            window = _window(shape[1], shape[2], room / _density(behind, last), least)
        tiling = cover(behind, [*inside, last], shape[1], shape[2], window)
        found.append(Section(behind, start, tuple(inside), end, shape, tiling))
        start = end
    return found


def cover(spec: ModelSpec, layers: Iterable[str], height: int, width: int, window: tuple[int, int]) -> Tiling:
    """Cover an image with tiles for all of a network, seen through windows of at most that height and width.

    Raises
    ------
    ValueError
        If windows of that side own nothing: it must be at least :func:`smallest_side`.
    """
    margins = _margins(spec, list(layers))
    rows, row_spans = _spans(height, window[0], *margins)
    columns, column_spans = _spans(width, window[1], *margins)
    return Tiling(rows, columns, row_spans, column_spans)


def smallest_tile(spec: ModelSpec, layers: Iterable[str]) -> int:
    """The shortest side of a window of the image, pixels, with which the first section owns something."""
    layers = list(layers)
    first = next(iter(_cuts(spec, spec.deepest(layers))), None)
    if first is None:
        return smallest_side(spec, layers)
    return smallest_side(spec, [first, *(layer for layer in layers if layer in _as_far_as(spec, first))])


def smallest_side(spec: ModelSpec, layers: Iterable[str]) -> int:
    """The shortest side of a window in which a tile of any image owns something."""
    stride, before, behind = _margins(spec, list(layers))
    return before + behind + 3 * stride


def _whole(height: int, width: int) -> Tiling:
    return Tiling(height, width, (Span(0, 0, height),), (Span(0, 0, width),))


def _cuts(spec: ModelSpec, deepest: str) -> list[str]:
    """Those that lie before the deepest tapped layer."""
    return [cut for cut in spec.cuts if spec.layer_names.index(cut) < spec.layer_names.index(deepest)]


def _as_far_as(spec: ModelSpec, layer: str) -> tuple[str, ...]:
    return spec.layer_names[: spec.layer_names.index(layer) + 1]


def _behind(spec: ModelSpec, start: str | None) -> ModelSpec:
    return spec if start is None else spec.after(start)


def _given(spec: ModelSpec, start: str | None, height: int, width: int) -> tuple[int, int, int]:
    return (3, height, width) if start is None else spec.output_shape(start, height, width)


def _density(spec: ModelSpec, deepest: str) -> float:
    """The values of all layers of a network, as far as a tap, for each pixel of a large image."""
    values, stride = 0.0, 1
    for tap in spec.taps[: spec.layer_names.index(deepest) + 1]:
        stride *= tap.stride
        values += tap.channels / stride**2
    return values


def _window(rows: int, columns: int, area: float, least: int) -> tuple[int, int]:
    """The sides of a window of that area in an image, a square if it can be, neither shorter than `least`."""
    side = math.sqrt(area)
    if min(rows, columns) >= side:
        height = width = side
    elif rows < columns:
        height, width = rows, area / max(1, rows)
    else:
        height, width = area / max(1, columns), columns
    return max(least, int(height)), max(least, int(width))


def _margins(spec: ModelSpec, layers: list[str]) -> tuple[int, int, int]:
    """The deepest layer's stride; and how far is seen before the first and behind the last owned pixel.

    An owned pixel's gradient comes from all values that see it; what they see must lie in the window.
    """
    fields = [spec.receptive_field(layer) for layer in layers]
    stride = max(field.stride for field in fields)
    before, behind = 0, 0
    for field in fields:
        first = -(-(field.offset - field.size + 1) // field.stride)  # the first value that sees pixel 0
        last = (field.offset - 1) // field.stride  # the last that sees pixel -1
        before = max(before, field.offset - first * field.stride)
        behind = max(behind, last * field.stride - field.offset + field.size)
    return stride, -(-before // stride) * stride, behind


def _spans(length: int, tile: int, stride: int, before: int, behind: int) -> tuple[int, tuple[Span, ...]]:
    """The side of the windows, and the tiles along a side of the image."""
    if length <= tile:
        return length, (Span(0, 0, length),)

    def advance(side: int) -> int:
        return (side - behind) // stride * stride - before

    def count(side: int) -> int:
        return 1 - (side - length) // advance(side)  # 1 + the rest of the image over the advance, rounded up

    side = tile - (tile - length) % stride  # the last window ends with the image and begins at a multiple of the stride
    if advance(side) <= 0:
        raise ValueError(f"tiles of {tile} pixels own nothing: {before} + {behind} are overlap")
    tiles = count(side)
    while advance(side - stride) > 0 and count(side - stride) == tiles:  # no larger than so many tiles need
        side -= stride
    starts = [number * advance(side) for number in range(tiles - 1)] + [length - side]
    begins = [0, *(number * advance(side) + before for number in range(1, tiles))]
    return side, tuple(Span(*span) for span in zip(starts, begins, [*begins[1:], length]))
