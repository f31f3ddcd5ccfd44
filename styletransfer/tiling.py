"""How an image is covered by tiles, so that what is computed tile by tile is what the whole image gives.

A tile is computed in a window and owns a part of it. Windows overlap: what a tile owns is so far from its window's
inner edges that no owned value of any layer sees beyond them. Every value of every layer is owned once. Windows begin
at multiples of the deepest layer's stride, so that they pool as the whole image does, and are all of one size, so that
one executor serves for all; at the image's own border, a window ends where the image ends.

Gram matrices are sums over positions, so they add up over tiles; and an owned value's gradient lies within its
window, so gradients add up too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.spec import ModelSpec


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
    tiles: tuple[Tile, ...]

    @property
    def whole(self) -> bool:
        """Whether one tile is the whole image."""
        return len(self.tiles) == 1


def cover(spec: ModelSpec, layers: Iterable[str], height: int, width: int, tile: int | None) -> Tiling:
    """Cover an image.

    Parameters
    ----------
    spec : ModelSpec
    layers : names of the tapped layers
    height, width : int
        The image's.
    tile : int, or None
        The longest side of a window, pixels; None: one window for all.

    Raises
    ------
    ValueError
        If windows of that side own nothing: it must be at least :func:`smallest_tile`.
    """
    layers = list(layers)
    rows, row_spans = _spans(height, tile, *_margins(spec, layers))
    columns, column_spans = _spans(width, tile, *_margins(spec, layers))
    return Tiling(rows, columns, tuple(Tile(row, column) for row in row_spans for column in column_spans))


def smallest_tile(spec: ModelSpec, layers: Iterable[str]) -> int:
    """The shortest side of a window, pixels, in which a tile of any image owns something."""
    stride, before, behind = _margins(spec, list(layers))
    return before + behind + 3 * stride


def _margins(spec: ModelSpec, layers: list[str]) -> tuple[int, int, int]:
    """The deepest layer's stride, and how far owned values see before the first and behind the last owned pixel."""
    fields = [spec.receptive_field(layer) for layer in layers]
    stride = max(field.stride for field in fields)
    before = max(-(-field.offset // stride) * stride for field in fields)
    behind = max(0, *(field.size - field.offset - field.stride for field in fields))
    return stride, before, behind


def _spans(length: int, tile: int | None, stride: int, before: int, behind: int) -> tuple[int, list[Span]]:
    """The side of the windows, and the tiles along a side of the image."""
    if tile is None or length <= tile:
        return length, [Span(0, 0, length)]

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
    return side, [Span(*span) for span in zip(starts, begins, [*begins[1:], length])]
