"""A network applied to a whole image, segment by segment and tile by tile, forward and backward."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from styletransfer.engines import Array, Bound, Engine, Head, Network, Scalar, Slices
from styletransfer.losses.tiling import Segment, Tile


@dataclass(frozen=True)
class Window:
    """A tile of a segment, after its forward pass."""

    engine: Engine
    bound: Bound
    segment: Segment
    tile: Tile

    def owned(self, layer: str) -> tuple[Slices, Slices]:
        """The rows and columns of a layer that the tile owns: relative to the window, and to the whole image."""
        _, height, width = self.segment.shape
        _, height, width = self.segment.spec.output_shape(layer, height, width)
        return _owned(self.tile, self._stride(layer), height, width)

    def seen(self, layer: str) -> Slices:
        """The rows and columns of a layer, relative to the whole image, that are in the window."""
        stride, tiling = self._stride(layer), self.segment.tiling
        _, height, width = self.segment.spec.output_shape(layer, tiling.height, tiling.width)
        top, left = self.tile.rows.start // stride, self.tile.columns.start // stride
        return slice(top, top + height), slice(left, left + width)

    def gram(self, layer: str, root: Array | None = None) -> Array:
        """The raw Gram matrix of the features that the tile owns, multiplied by `root`, (height, width) of the layer.

        The sum over all tiles is that of the whole image.
        """
        if self.segment.tiling.whole:
            return self.bound.gram(layer, root)
        inside, (rows, columns) = self.owned(layer)
        tiling = self.segment.tiling
        mask = self.engine.zeros(self.segment.spec.output_shape(layer, tiling.height, tiling.width)[1:])
        mask[inside] = 1.0 if root is None else root[rows, columns]
        return self.bound.gram(layer, mask)

    def squared_distance(self, layer: str, target: Array) -> Scalar:
        """|F - target|^2 over the part that the tile owns; `target` has the shape of the whole layer."""
        if self.segment.tiling.whole:
            return self.bound.squared_distance(layer, target)
        inside, owned = self.owned(layer)
        return self.bound.squared_distance(layer, self.engine.crop(target, *owned), inside)

    def in_window(self, values: Array, layer: str) -> Array:
        """The part of an array, of the shape of the whole layer, that is in the window."""
        return values if self.segment.tiling.whole else self.engine.crop(values, *self.seen(layer))

    def keep(self, kept: Array, layer: str) -> None:
        """Copy the features that the tile owns into `kept`, of the shape of the whole layer."""
        inside, (rows, columns) = self.owned(layer)
        kept[:, :, rows, columns] = self.engine.crop(self.bound.features(layer), *inside)

    def _stride(self, layer: str) -> int:
        return self.segment.spec.receptive_field(layer).stride


class TiledNetwork:
    """The passes of a network over whole images of one size.

    Only one segment is bound at a time. The last stays bound if it has one tile; then its forward pass is still valid
    at the backward pass, and the others are repeated.

    Parameters
    ----------
    segments : sequence of Segment
        From :func:`~styletransfer.losses.tiling.segments`.
    trainable : bool
        Whether there will be backward passes.
    by_gram : names of layers
        See :meth:`~styletransfer.engines.base.Network.bind`.
    """

    def __init__(
        self, network: Network, segments: Sequence[Segment], trainable: bool = True, by_gram: Collection[str] = ()
    ) -> None:
        self._network, self._segments, self._trainable = network, segments, trainable
        self._engine = network.engine
        self._by_gram = frozenset(by_gram).difference(segment.cut or "" for segment in segments)
        self._last: Bound | None = None
        self._given: list[Array] = []  # the input of every segment

    def forward(self, image: Array, look: Callable[[Window], None]) -> None:
        """Run the network on an image, (1, 3, height, width), and call `look` for every tile of every segment."""
        self._given = [image]
        for segment in self._segments:
            bound = self._bound(segment, self._trainable and segment.whole)
            output = self._engine.zeros(self._shape(segment)) if segment.cut else None
            for tile in segment.tiling:
                window = self._seen(bound, segment, tile, self._given[-1])
                look(window)
                if segment.cut:
                    window.keep(output, segment.cut)
            if segment.cut:
                del bound, window  # their memory is needed
                self._given.append(output)
                self._engine.release()

    def backward(self, heads: Callable[[Window], Mapping[str, Head]]) -> Array:
        """Compute the gradient with respect to the image of the last forward pass.

        Parameters
        ----------
        heads : function
            Gives the head gradients of the tapped layers in a window. They are those of the whole window: features
            whose receptive fields exceed the window have no effect on the part that the tile owns.
        """
        above: Array = None  # the gradient of the segment's output
        for segment in reversed(self._segments):
            values = self._given.pop()
            bound = self._bound(segment, trainable=True)
            gradient = None if segment.tiling.whole else self._engine.zeros(values.shape)
            for tile in segment.tiling:
                window = Window(self._engine, bound, segment, tile)
                if not segment.whole:  # otherwise the features are still valid
                    window = self._seen(bound, segment, tile, values)
                given_heads = dict(heads(window))
                if segment.cut:
                    head = given_heads.get(segment.cut, Head())
                    given = window.in_window(above, segment.cut)
                    given_heads[segment.cut] = dataclasses.replace(head, given=given)
                part = bound.backward(given_heads)
                if gradient is None:
                    gradient = part
                else:
                    inside, (rows, columns) = _owned(tile, 1, *segment.shape[1:])
                    gradient[:, :, rows, columns] = self._engine.crop(part, *inside)
            above = gradient
            if len(self._segments) > 1:
                self._last = None
                del bound, window
                self._engine.release()
        return above

    def _bound(self, segment: Segment, trainable: bool) -> Bound:
        if segment.whole and self._last is not None:
            return self._last
        channels, *_ = segment.shape
        shape = (channels, segment.tiling.height, segment.tiling.width)
        by_gram = self._by_gram.intersection(segment.outputs)
        bound = self._network.bind(segment.outputs, shape, segment.after, trainable, by_gram)
        if segment.whole:
            self._last = bound
        return bound

    def _seen(self, bound: Bound, segment: Segment, tile: Tile, values: Array) -> Window:
        """Run the forward pass on a window of `values`, the whole input of the segment."""
        tiling = segment.tiling
        if not tiling.whole:
            top, left = tile.rows.start, tile.columns.start
            values = self._engine.crop(values, slice(top, top + tiling.height), slice(left, left + tiling.width))
        bound.forward(values)
        return Window(self._engine, bound, segment, tile)

    def _shape(self, segment: Segment) -> tuple[int, ...]:
        """The shape of the whole output of a segment."""
        _, height, width = segment.shape
        return (1, *segment.spec.output_shape(segment.cut or "", height, width))


def _owned(tile: Tile, stride: int, height: int, width: int) -> tuple[Slices, Slices]:
    """The part that a tile owns of `height` x `width` values, `stride` apart: relative to its window, to the whole."""
    rows, columns = tile.rows, tile.columns
    inside = rows.owned_in_window(stride, height), columns.owned_in_window(stride, width)
    return inside, (rows.owned(stride, height), columns.owned(stride, width))
