"""A network bound for images of one size: an image in, the tapped features out; their gradients in, its own out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import models
from models.runtime import load_mxnet
from styletransfer.network.precision import DTYPES, FLOAT32, cast, cast_symbol
from styletransfer.network.tiling import Part, Section, Tile, sections
from styletransfer.pictures import pixels
from styletransfer.weights import Parameters


def tapped(
    model: str, style_layers: Iterable[str], content_layers: Iterable[str], pooling: str, after: str | None = None
) -> tuple[list[str], Any]:
    """The names of the tapped layers, each once, and one symbol with as many outputs, built from `after` on."""
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


def gram_tap(features: Any, kernel: Any, bias: Any, channels: int) -> Any:
    """A copy of the features F through which a loss of their Gram matrix G = F F^T goes back to them.

    It is a 1 x 1 convolution. On the way forward its kernel, (channels, channels, 1, 1), must be the identity. On the
    way back it must be 2 D, where D, symmetric, is the gradient of the loss with respect to G, and the head gradient
    must be F: what the convolution then hands on is 2 D F, the gradient with respect to the features (equation 6 of the
    paper, but for its norm). So the product is made, and added to what comes from deeper layers, in the memory layout
    of the network's own convolutions. A head gradient 2 D F from outside would first be brought into MXNet's own
    layout, and be added there, in bfloat16 at many times the cost.

    The bias, (channels,), must be 0. Without one MXNet finds the gradient of the kernel too, asked for or not.
    """
    mx = load_mxnet()
    return mx.sym.Convolution(features, kernel, bias, kernel=(1, 1), num_filter=channels)


@dataclass(frozen=True)
class Heads:
    """What a network goes back with: for every tapped layer one of the two, or both, which add up.

    Attributes
    ----------
    of_features : dict of arrays (1, channels, height, width)
        The gradient with respect to the features: the head gradient.
    of_grams : dict of arrays (channels, channels)
        The gradient with respect to the raw Gram matrix of the features; symmetric.
    """

    of_features: Mapping[str, Any]
    of_grams: Mapping[str, Any]


class Network:
    """The executor of a network's tapped layers.

    Parameters
    ----------
    names, symbol
        The tapped layers, from :func:`tapped`.
    parameters : dict of arrays
        For images in the space in use; see :func:`parameters_for`.
    shape : tuple of int
        (channels, height, width) of the image, or of whatever the symbol begins with.
    context : mxnet Context
    trainable : bool
        Whether gradients will be asked for; without, less memory is taken.
    precision : str
        float32; or bfloat16, for all that lies between the image and the taps, which are bfloat16 too.
    by_features, by_grams : names of the layers for which :meth:`backward` will be given the one or the other
        Without, all are gone back to by their features.

    Attributes
    ----------
    image, gradient : arrays (1, channels, height, width)
    features : dict of arrays
        The tapped layers'.
    """

    def __init__(
        self,
        names: list[str],
        symbol: Any,
        parameters: Parameters,
        shape: tuple[int, int, int],
        context: Any,
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
        self.gradient: Any = mx.nd.zeros(self.image.shape, ctx=context) if trainable else None
        _, shapes, _ = symbol.infer_shape(data=self.image.shape)
        channels = {name: shape[1] for name, shape in zip(names, shapes)}
        symbol = symbol(data=cast_symbol(mx.sym.Variable("data"), FLOAT32, dtype))
        arguments = {
            name: cast(mx.nd.array(parameters[name], ctx=context), dtype)
            for name in symbol.list_arguments()
            if name != "data"
        }
        self._kernels: dict[str, Any] = {}
        outputs: list[Any] = []
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
        self.features: dict[str, Any] = {name: found[place] for name, place in places.items()}

    def forward(self) -> None:
        """Fill `features` from `image`."""
        for kernel in self._kernels.values():
            self._fill(kernel, load_mxnet().nd.eye(kernel.shape[0], ctx=kernel.context))
        self._executor.forward(is_train=self._trainable)

    def backward(self, heads: Heads) -> None:
        """Fill `gradient`, when `features` are those that the gradients given are of.

        Once for every :meth:`forward`: MXNet's poolings do not go back twice.
        """
        given = []
        for name, features in self.features.items():
            if name in self._by_features:
                given.append(cast(heads.of_features[name], self._dtype))
            if name in self._kernels:
                self._fill(self._kernels[name], 2 * heads.of_grams[name])
                given.append(features)
        self._executor.backward(given)

    def _fill(self, kernel: Any, matrix: Any) -> None:
        cast(matrix.reshape(kernel.shape), self._dtype).copyto(kernel)


def parameters_for(model: str, parameters: Parameters, space: str) -> Parameters:
    """A network's native parameters with the first convolution made for images in `space`."""
    spec = models.load(model).SPEC
    weight, bias = list(spec.parameters)[:2]
    adapted = pixels.adapt_first_layer(parameters[weight], parameters[bias], spec.pixels, space)
    return {**parameters, **dict(zip((weight, bias), adapted))}


@dataclass(frozen=True)
class Source:
    """A network as an objective needs it: which one, its parameters for the space in use, its pooling, the device.

    `tile` is the longest side, in pixels, of what it is asked to see at once; None: all. `precision` is float32 or
    bfloat16.
    """

    model: str
    pooling: str
    parameters: Parameters
    context: Any
    tile: int | None = None
    precision: str = "float32"

    def sections(self, layers: Iterable[str], height: int, width: int) -> list[Section]:
        """In which parts, as far as the deepest of `layers`, it sees images of a size."""
        return sections(models.load(self.model).SPEC, layers, height, width, self.tile)

    def bind(
        self, section: Section, trainable: bool, by_features: Collection[str], by_grams: Collection[str]
    ) -> TiledNetwork:
        """Bind one of its sections; see :class:`Network`."""
        names, symbol = tapped(self.model, section.outputs, [], self.pooling, section.after)
        channels, *_ = section.shape
        shape = (channels, section.tiling.height, section.tiling.width)
        network = Network(
            names, symbol, self.parameters, shape, self.context, trainable, self.precision, by_features, by_grams
        )
        return TiledNetwork(section, network)


def part_of(array: Any, rows: slice, columns: slice) -> Any:
    """Some rows and columns of an array (1, channels, height, width), copied.

    Indexing would give a view where it can, which MXNet cannot have of arrays in a layout of its kernels.
    """
    begin, end = ((None, None, *(getattr(side, name) for side in (rows, columns))) for name in ("start", "stop"))
    return load_mxnet().nd.slice(array, begin=begin, end=end)


def _owned(tile: Tile, stride: int, shape: Sequence[int]) -> tuple[Part, Part]:
    """What a tile owns of values `stride` pixels apart, of which there are `shape`: in its window, and of all."""
    (rows, height), (columns, width) = zip((tile.rows, tile.columns), shape)
    inside = rows.owned_in_window(stride, height), columns.owned_in_window(stride, width)
    return inside, (rows.owned(stride, height), columns.owned(stride, width))


class TiledNetwork:
    """A section of a network that sees what it is given tile by tile, each through one window.

    Attributes
    ----------
    section : Section
    features : dict of arrays
        The tapped layers' in the window. Of those that the tile does not own, some are not what the whole gives.
    """

    def __init__(self, section: Section, network: Network) -> None:
        self.section = section
        self.features = network.features
        self._network = network

    def shape(self, layer: str) -> tuple[int, int, int, int]:
        """(1, channels, height, width) of all that a layer puts out."""
        _, height, width = self.section.shape
        return (1, *self.section.spec.output_shape(layer, height, width))

    def forward(self, values: Any, tile: Tile) -> None:
        """Fill `features` with those of a tile of what the section is given."""
        rows, columns = self._window(tile)
        part_of(values, rows, columns).copyto(self._network.image)
        self._network.forward()

    def backward(self, heads: Heads, tile: Tile, gradient: Any) -> None:
        """Fill in what the tile last seen owns of the gradient of the whole, of the shape of what the section is given.

        The head gradients are those of the window, of what the tile owns and of what it does not; where what is seen
        goes beyond the window they do not matter.
        """
        self._network.backward(heads)
        (rows, columns), (all_rows, all_columns) = _owned(tile, 1, self.section.shape[1:])
        gradient[:, :, all_rows, all_columns] = part_of(self._network.gradient, rows, columns)

    def keep(self, kept: Any, layer: str, tile: Tile) -> None:
        """Copy what the tile owns of a layer into an array, float32, of the shape of all that the layer puts out."""
        (rows, columns), (all_rows, all_columns) = self.owned(layer, tile)
        kept[:, :, all_rows, all_columns] = part_of(cast(self.features[layer], FLOAT32), rows, columns)

    def owned(self, layer: str, tile: Tile) -> tuple[Part, Part]:
        """Rows and columns of a layer's values that a tile owns: in its window, and in the whole image."""
        return _owned(tile, self._stride(layer), self.shape(layer)[2:])

    def parts(self, tile: Tile) -> dict[str, tuple[Part, Part]]:
        """What :meth:`owned` says of every layer."""
        return {layer: self.owned(layer, tile) for layer in self.section.layers}

    def seen(self, layer: str, tile: Tile) -> Part:
        """Which rows and columns of a layer of the whole image lie in the window of a tile."""
        stride = self._stride(layer)
        starts = (tile.rows.start // stride, tile.columns.start // stride)
        rows, columns = (slice(start, start + n) for start, n in zip(starts, self.features[layer].shape[2:]))
        return rows, columns

    def _stride(self, layer: str) -> int:
        return self.section.spec.receptive_field(layer).stride

    def _window(self, tile: Tile) -> tuple[slice, slice]:
        tiling = self.section.tiling
        return (
            slice(tile.rows.start, tile.rows.start + tiling.height),
            slice(tile.columns.start, tile.columns.start + tiling.width),
        )
