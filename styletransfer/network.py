"""A network bound for images of one size: an image in, the tapped features out; head gradients in, its gradient out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import models
from models.runtime import load_mxnet
from styletransfer import pixels
from styletransfer.weights import Parameters


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
    ) -> None:
        self.names = names
        self._trainable = trainable
        arguments = symbol.list_arguments()
        requests = {name: "write" if trainable and name == "data" else "null" for name in arguments}
        self._executor = symbol.simple_bind(context, grad_req=requests, data=(1, 3, height, width))
        for name in arguments:
            if name != "data":
                self._executor.arg_dict[name][:] = parameters[name]
        self.image = self._executor.arg_dict["data"]
        self.gradient = self._executor.grad_dict["data"]
        self.features: dict[str, Any] = dict(zip(names, self._executor.outputs))

    def forward(self) -> None:
        """Fill `features` from `image`."""
        self._executor.forward(is_train=self._trainable)

    def backward(self, head_gradients: Mapping[str, Any]) -> None:
        """Fill `gradient` from one head gradient for every tapped layer, each of the shape of its features."""
        self._executor.backward([head_gradients[name] for name in self.names])


def parameters_for(model: str, parameters: Parameters, space: str) -> Parameters:
    """A network's native parameters with the first convolution made for images in `space`."""
    spec = models.load(model).SPEC
    weight, bias = list(spec.parameters)[:2]
    adapted = pixels.adapt_first_layer(parameters[weight], parameters[bias], spec.pixels, space)
    return {**parameters, **dict(zip((weight, bias), adapted))}
