"""A network bound for images of one size: an image in, the tapped features out; head gradients in, its gradient out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import models
from models.runtime import load_mxnet
from styletransfer import pixels
from styletransfer.tiling import Span, Tile, Tiling, cover
from styletransfer.weights import Parameters

_BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's name for it; NumPy has none


def tapped(
    model: str, style_layers: Iterable[str], content_layers: Iterable[str], pooling: str
) -> tuple[list[str], Any]:
    """The names of the tapped layers, each once, and one symbol with as many outputs."""
    mx = load_mxnet()
    style, content = list(style_layers), list(content_layers)
    groups = models.load(model).get_symbol(style, content, pooling)
    names: list[str] = []
    symbols = []
    for layers, symbol in zip((style, content), groups):
        for index, layer in enumerate(layers):
            if layer not in names:
                names.append(layer)
                symbols.append(symbol[index])
    return names, mx.sym.Group(symbols)


class Network:
    """The executor of a network's tapped layers.

    Parameters
    ----------
    names, symbol
        The tapped layers, from :func:`tapped`.
    parameters : dict of arrays
        For images in the space in use; see :func:`parameters_for`.
    height, width : int
        The image's.
    context : mxnet Context
    trainable : bool
        Whether gradients will be asked for; without, less memory is taken.
    precision : str
        float32; or bfloat16, for all that lies between the image and the taps. Those themselves stay float32.
    """

    def __init__(
        self,
        names: list[str],
        symbol: Any,
        parameters: Parameters,
        height: int,
        width: int,
        context: Any,
        trainable: bool,
        precision: str = "float32",
    ) -> None:
        mx = load_mxnet()
        self.names = names
        self._trainable = trainable
        dtype: Any = np.float32
        if precision == "bfloat16":
            dtype = _BFLOAT16
            inside = symbol(data=mx.sym.amp_cast(mx.sym.Variable("data"), dtype=dtype))
            symbol = mx.sym.Group([mx.sym.amp_cast(output, dtype="float32") for output in inside])
        self.image = mx.nd.zeros((1, 3, height, width), ctx=context)
        self.gradient: Any = mx.nd.zeros(self.image.shape, ctx=context) if trainable else None
        arguments = {
            name: mx.nd.amp_cast(mx.nd.array(parameters[name], ctx=context), dtype=dtype)
            for name in symbol.list_arguments()
            if name != "data"
        }
        self._executor = symbol.bind(
            context,
            {**arguments, "data": self.image},
            args_grad={"data": self.gradient} if trainable else None,
            grad_req={**dict.fromkeys(arguments, "null"), "data": "write" if trainable else "null"},
        )
        self.features: dict[str, Any] = dict(zip(names, self._executor.outputs))

    def forward(self) -> None:
        """Fill `features` from `image`."""
        self._executor.forward(is_train=self._trainable)

    def backward(self, head_gradients: Mapping[str, Any]) -> None:
        """Fill `gradient` from one head gradient for every tapped layer, each of the shape of its features.

        Once for every :meth:`forward`: MXNet's poolings do not go back twice.
        """
        self._executor.backward([head_gradients[name] for name in self.names])


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

    def bind(
        self, style_layers: Sequence[str], content_layers: Sequence[str], height: int, width: int, trainable: bool
    ) -> TiledNetwork:
        """Bind the network for images of a size."""
        names, symbol = tapped(self.model, style_layers, content_layers, self.pooling)
        tiling = cover(models.load(self.model).SPEC, names, height, width, self.tile)
        network = Network(
            names, symbol, self.parameters, tiling.height, tiling.width, self.context, trainable, self.precision
        )
        return TiledNetwork(self, network, tiling, height, width, trainable)


class TiledNetwork:
    """A network that sees an image tile by tile, each through one window.

    Attributes
    ----------
    features : dict of arrays
        The tapped layers' in the window; zero wherever the tile does not own them.
    gradient : array (1, 3, height, width)
        The sum of what :meth:`backward` found since the first tile.
    """

    def __init__(
        self, source: Source, network: Network, tiling: Tiling, height: int, width: int, trainable: bool
    ) -> None:
        mx = load_mxnet()
        self.tiling = tiling
        self._network = network
        self._layers: dict[str, _Positions] = {}
        spec = models.load(source.model).SPEC
        for layer in network.names:
            _, rows, columns = spec.output_shape(layer, height, width)
            self._layers[layer] = _Positions(spec.receptive_field(layer).stride, rows, columns)
        self._owned: Any = None
        self.features = network.features
        self.gradient = network.gradient
        if not tiling.whole:
            self._masks = {
                layer: mx.nd.zeros((1, 1, *features.shape[2:]), ctx=source.context)
                for layer, features in network.features.items()
            }
            names = list(network.features)
            symbols = [mx.sym.broadcast_mul(mx.sym.Variable(name), mx.sym.Variable(f"mask_{name}")) for name in names]
            arguments = {**network.features, **{f"mask_{name}": mask for name, mask in self._masks.items()}}
            self._owned = mx.sym.Group(symbols).bind(source.context, arguments, grad_req="null")
            self.features = dict(zip(names, self._owned.outputs))
            if trainable:
                self.gradient = mx.nd.zeros((1, 3, height, width), ctx=source.context)

    def forward(self, image: Any, tile: Tile) -> None:
        """Fill `features` with those of a tile of an image (1, 3, height, width)."""
        if self._owned is None:
            image.copyto(self._network.image)
            self._network.forward()
            return
        rows, columns = self._window(tile)
        image[:, :, rows, columns].copyto(self._network.image)
        for layer, mask in self._masks.items():
            mask[:] = 0
            (mask_rows, mask_columns), _ = self.owned(layer, tile)
            mask[:, :, mask_rows, mask_columns] = 1
        self._network.forward()
        self._owned.forward(is_train=False)

    def backward(self, head_gradients: Mapping[str, Any], tile: Tile) -> None:
        """Add to `gradient` what the head gradients of the tile last seen give."""
        self._network.backward(head_gradients)
        if self._owned is not None:
            if tile is self.tiling.tiles[0]:
                self.gradient[:] = 0
            rows, columns = self._window(tile)
            self.gradient[:, :, rows, columns] += self._network.gradient

    def owned(self, layer: str, tile: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of a layer's values that a tile owns: in its window, and in the whole image."""
        place = self._layers[layer]
        sides = ((tile.rows, place.rows), (tile.columns, place.columns))
        in_window = tuple(span.owned_in_window(place.stride, values) for span, values in sides)
        in_image = tuple(span.owned(place.stride, values) for span, values in sides)
        return in_window, in_image  # type: ignore[return-value]

    def _window(self, tile: Tile) -> tuple[slice, slice]:
        def side(span: Span, length: int) -> slice:
            return slice(span.start, span.start + length)

        return side(tile.rows, self.tiling.height), side(tile.columns, self.tiling.width)


@dataclass(frozen=True)
class _Positions:
    """Where the values of a layer of the whole image lie: `rows` x `columns` of them, `stride` pixels apart."""

    stride: int
    rows: int
    columns: int
