"""A network bound for images of one size: from the image to the features, and from their gradients to its gradient."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import models
from models.runtime import Array, Context, Symbol, load_mxnet
from styletransfer.network.precision import DTYPES, FLOAT32, cast, cast_symbol
from styletransfer.network.tiling import Segment, Slices, Tile, segments
from styletransfer.pictures import pixels
from styletransfer.weights import Parameters


def tapped(
    model: str, style_layers: Iterable[str], content_layers: Iterable[str], pooling: str, after: str | None = None
) -> tuple[list[str], Symbol]:
    """The names of the tapped layers, each once, and a symbol with as many outputs, starting after `after`."""
    mx = load_mxnet()
    style, content = list(style_layers), list(content_layers)
    groups = models.load(model).get_symbol(style, content, pooling, after)
    names: list[str] = []
    symbols = []
    for layers, symbol in zip((style, content), groups):
        for index, layer in enumerate(layers):
            if layer not in names:
                names.append(layer)
                symbols.append(symbol[index])
    return names, mx.sym.Group(symbols)


def gram_tap(features: Symbol, kernel: Symbol, bias: Symbol, channels: int) -> Symbol:
    """A copy of the features F that propagates the gradient of a loss of their Gram matrix G = F F^T back to them.

    It is a 1 x 1 convolution. In the forward pass its kernel, (channels, channels, 1, 1), must be the identity. In the
    backward pass it must be 2 D, where D, symmetric, is the gradient of the loss with respect to G, and the head
    gradient must be F: the convolution then passes on 2 D F, the gradient with respect to the features (equation 6 of
    the paper, up to its normalization). So this product is computed, and added to the gradient from deeper layers, in
    the memory layout of the network's own convolutions. If 2 D F were passed as a head gradient, it would first be
    converted to MXNet's default layout and added there, at many times the cost in bfloat16.

    The bias, (channels,), must be 0. Without one, MXNet computes the gradient of the kernel even if it is not needed.
    """
    mx = load_mxnet()
    return mx.sym.Convolution(features, kernel, bias, kernel=(1, 1), num_filter=channels)


@dataclass(frozen=True)
class Heads:
    """The input of a backward pass: for every tapped layer one of two gradients, or both, which are then added.

    Attributes
    ----------
    of_features : dict of arrays (1, channels, height, width)
        The gradient with respect to the features: the head gradient.
    of_grams : dict of arrays (channels, channels)
        The gradient with respect to the raw Gram matrix of the features; symmetric.
    """

    of_features: Mapping[str, Array]
    of_grams: Mapping[str, Array]


class Network:
    """The executor of a network's tapped layers.

    Parameters
    ----------
    names, symbol
        The tapped layers, from :func:`tapped`.
    parameters : dict of arrays
        For images in the pixel space in use; see :func:`parameters_for`.
    shape : tuple of int
        (channels, height, width) of the symbol's input: the image, or the features of a layer.
    context : mxnet Context
    trainable : bool
        Whether there will be backward passes; without them, less memory is used.
    precision : str
        float32 or bfloat16, of everything between the image and the taps, and of the tapped features themselves.
    by_features, by_grams : names of layers
        For which :meth:`backward` will be given `of_features` and `of_grams`; by default, `of_features` for all.

    Attributes
    ----------
    image, gradient : arrays (1, channels, height, width)
    features : dict of arrays
        Of the tapped layers.
    """

    def __init__(
        self,
        names: list[str],
        symbol: Symbol,
        parameters: Parameters,
        shape: tuple[int, int, int],
        context: Context,
        trainable: bool,
        precision: str = "float32",
        by_features: Collection[str] | None = None,
        by_grams: Collection[str] = (),
    ) -> None:
        mx = load_mxnet()
        self._trainable = trainable
        self._dtype = dtype = DTYPES[precision]
        self._by_features = frozenset(names if by_features is None else by_features)
        self.image = mx.nd.zeros((1, *shape), ctx=context)
        self.gradient: Array = mx.nd.zeros(self.image.shape, ctx=context) if trainable else None
        _, shapes, _ = symbol.infer_shape(data=self.image.shape)
        channels = {name: shape[1] for name, shape in zip(names, shapes)}
        symbol = symbol(data=cast_symbol(mx.sym.Variable("data"), FLOAT32, dtype))
        arguments = {
            name: cast(mx.nd.array(parameters[name], ctx=context), dtype)
            for name in symbol.list_arguments()
            if name != "data"
        }
        self._kernels: dict[str, Array] = {}
        outputs: list[Symbol] = []
        places = {}  # of the features among the outputs
        for name, features in zip(names, symbol):
            if name in self._by_features or not trainable:
                outputs.append(features)
            if name in by_grams and trainable:
                size = channels[name]
                kernel, bias = f"gram_{name}_kernel", f"gram_{name}_bias"
                self._kernels[name] = arguments[kernel] = cast(mx.nd.zeros((size, size, 1, 1), ctx=context), dtype)
                arguments[bias] = cast(mx.nd.zeros(size, ctx=context), dtype)
                outputs.append(gram_tap(features, mx.sym.Variable(kernel), mx.sym.Variable(bias), size))
            places[name] = len(outputs) - 1
        self._executor = mx.sym.Group(outputs).bind(
            context,
            {**arguments, "data": self.image},
            args_grad={"data": self.gradient} if trainable else None,
            grad_req={**dict.fromkeys(arguments, "null"), "data": "write" if trainable else "null"},
        )
        found = self._executor.outputs
        self.features: dict[str, Array] = {name: found[place] for name, place in places.items()}

    def forward(self) -> None:
        """Fill `features` from `image`."""
        for kernel in self._kernels.values():
            self._fill(kernel, load_mxnet().nd.eye(kernel.shape[0], ctx=kernel.context))
        self._executor.forward(is_train=self._trainable)

    def backward(self, heads: Heads) -> None:
        """Fill `gradient` from gradients with respect to the current `features`.

        At most once after every :meth:`forward`: MXNet's poolings do not support a second backward pass.
        """
        given = []
        for name, features in self.features.items():
            if name in self._by_features:
                given.append(cast(heads.of_features[name], self._dtype))
            if name in self._kernels:
                self._fill(self._kernels[name], 2 * heads.of_grams[name])
                given.append(features)
        self._executor.backward(given)

    def _fill(self, kernel: Array, matrix: Array) -> None:
        cast(matrix.reshape(kernel.shape), self._dtype).copyto(kernel)


def parameters_for(model: str, parameters: Parameters, space: str) -> Parameters:
    """A network's native parameters with the first convolution adapted to images in `space`."""
    spec = models.load(model).SPEC
    weight, bias = list(spec.parameters)[:2]
    adapted = pixels.adapt_first_layer(parameters[weight], parameters[bias], spec.pixels, space)
    return {**parameters, **dict(zip((weight, bias), adapted))}


@dataclass(frozen=True)
class Backbone:
    """What an objective needs of a network: its name, pooling, parameters for the pixel space in use, and the device.

    `tile` is the longest side of a tile in pixels; None: no tiles. `precision` is float32 or bfloat16.
    """

    model: str
    pooling: str
    parameters: Parameters
    context: Context
    tile: int | None = None
    precision: str = "float32"

    def segments(self, layers: Iterable[str], height: int, width: int) -> list[Segment]:
        """The segments of the network, up to the deepest of `layers`, for images of the given size."""
        return segments(models.load(self.model).SPEC, layers, height, width, self.tile)

    def bind(
        self, segment: Segment, trainable: bool, by_features: Collection[str], by_grams: Collection[str]
    ) -> TiledNetwork:
        """Bind one of its segments; see :class:`Network`."""
        names, symbol = tapped(self.model, segment.outputs, [], self.pooling, segment.after)
        channels, *_ = segment.shape
        shape = (channels, segment.tiling.height, segment.tiling.width)
        network = Network(
            names, symbol, self.parameters, shape, self.context, trainable, self.precision, by_features, by_grams
        )
        return TiledNetwork(segment, network)


def crop(array: Array, rows: slice, columns: slice) -> Array:
    """Some rows and columns of an array (1, channels, height, width), copied.

    Indexing would return a view if possible, which MXNet does not support for arrays in the layouts of its kernels.
    """
    begin, end = ((None, None, *(getattr(side, name) for side in (rows, columns))) for name in ("start", "stop"))
    return load_mxnet().nd.slice(array, begin=begin, end=end)


def _owned(tile: Tile, stride: int, shape: Sequence[int]) -> tuple[Slices, Slices]:
    """The part a tile owns of `shape` values, `stride` pixels apart: relative to its window, and to all of them."""
    (rows, height), (columns, width) = zip((tile.rows, tile.columns), shape)
    inside = rows.owned_in_window(stride, height), columns.owned_in_window(stride, width)
    return inside, (rows.owned(stride, height), columns.owned(stride, width))


class TiledNetwork:
    """A segment of a network that processes its input tile by tile, in windows of one size.

    Attributes
    ----------
    segment : Segment
    features : dict of arrays
        Of the tapped layers, in the window. Outside the part that the tile owns they may differ from those of the
        whole input.
    """

    def __init__(self, segment: Segment, network: Network) -> None:
        self.segment = segment
        self.features = network.features
        self._network = network

    def shape(self, layer: str) -> tuple[int, int, int, int]:
        """(1, channels, height, width) of the whole output of a layer."""
        _, height, width = self.segment.shape
        return (1, *self.segment.spec.output_shape(layer, height, width))

    def forward(self, values: Array, tile: Tile) -> None:
        """Fill `features` for a tile of `values`, the input of the segment."""
        rows, columns = self._window(tile)
        crop(values, rows, columns).copyto(self._network.image)
        self._network.forward()

    def backward(self, heads: Heads, tile: Tile, gradient: Array) -> None:
        """Fill the part of `gradient`, shaped as the segment's input, that the tile of the last forward pass owns.

        The head gradients are those of the whole window. Where the receptive fields of features exceed the window they
        have no effect on that part.
        """
        self._network.backward(heads)
        (rows, columns), (all_rows, all_columns) = _owned(tile, 1, self.segment.shape[1:])
        gradient[:, :, all_rows, all_columns] = crop(self._network.gradient, rows, columns)

    def keep(self, kept: Array, layer: str, tile: Tile) -> None:
        """Copy the part of a layer that the tile owns into `kept`, float32, shaped as the layer's whole output."""
        (rows, columns), (all_rows, all_columns) = self.owned(layer, tile)
        kept[:, :, all_rows, all_columns] = crop(cast(self.features[layer], FLOAT32), rows, columns)

    def owned(self, layer: str, tile: Tile) -> tuple[Slices, Slices]:
        """The rows and columns of a layer that a tile owns: relative to its window, and to the whole image."""
        return _owned(tile, self._stride(layer), self.shape(layer)[2:])

    def owned_by_layer(self, tile: Tile) -> dict[str, tuple[Slices, Slices]]:
        """:meth:`owned` for every layer."""
        return {layer: self.owned(layer, tile) for layer in self.segment.layers}

    def seen(self, layer: str, tile: Tile) -> Slices:
        """The rows and columns of a layer, for the whole image, that are in the window of a tile."""
        stride = self._stride(layer)
        starts = (tile.rows.start // stride, tile.columns.start // stride)
        rows, columns = (slice(start, start + n) for start, n in zip(starts, self.features[layer].shape[2:]))
        return rows, columns

    def _stride(self, layer: str) -> int:
        return self.segment.spec.receptive_field(layer).stride

    def _window(self, tile: Tile) -> tuple[slice, slice]:
        tiling = self.segment.tiling
        return (
            slice(tile.rows.start, tile.rows.start + tiling.height),
            slice(tile.columns.start, tile.columns.start + tiling.width),
        )
