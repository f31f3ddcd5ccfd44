"""Executors between the tapped features and the losses: Gram matrices, raw losses, and the head gradients they give.

The features, Gram matrices and targets are arrays that are bound as they are; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.runtime import load_mxnet
from styletransfer import losses
from styletransfer.tiling import Part


class Grams:
    """The raw Gram matrices of some layers' features, arrays (channels, channels)."""

    def __init__(self, features: Mapping[str, Any], layers: Iterable[str], context: Any) -> None:
        mx = load_mxnet()
        self._layers = list(layers)
        self._turned = self._products = None
        if self._layers:
            variables = [mx.sym.Variable(layer) for layer in self._layers]
            turned = mx.sym.Group([losses.channels_last(variable) for variable in variables])
            self._turned = turned.bind(context, {layer: features[layer] for layer in self._layers}, grad_req="null")
            products = mx.sym.Group(
                [losses.gram(variable, features[name].shape[1]) for name, variable in zip(self._layers, variables)]
            )
            arguments = dict(zip(self._layers, self._turned.outputs))
            self._products = products.bind(context, arguments, grad_req="null")

    def add(self, parts: Mapping[str, Part], sums: Mapping[str, Any]) -> None:
        """Add those of a part of each layer's features, as they are now, to `sums`."""
        if self._turned is None or self._products is None:
            return
        for layer, features in zip(self._layers, self._turned.forward(is_train=False)):
            _clear_all_but(features, *parts[layer])
        for layer, gram in zip(self._layers, self._products.forward(is_train=False)):
            sums[layer][:] += gram


def _clear_all_but(features: Any, rows: slice, columns: slice) -> None:
    """Set features (1, height, width, channels) to 0 outside some rows and columns."""
    _, height, width, _ = features.shape
    if rows.start > 0:
        features[:, : rows.start] = 0
    if rows.stop < height:
        features[:, rows.stop :] = 0
    if columns.start > 0:
        features[:, :, : columns.start] = 0
    if columns.stop < width:
        features[:, :, columns.stop :] = 0


class SquaredDistances:
    """The raw losses S = sum (value - target)^2 of named values, features or Gram matrices, and their gradients.

    Parameters
    ----------
    values, targets : dict of arrays
        With the same names and shapes.
    context : mxnet Context
    """

    def __init__(self, values: Mapping[str, Any], targets: Mapping[str, Any], context: Any) -> None:
        mx = load_mxnet()
        self.gradients = {name: mx.nd.zeros(value.shape, ctx=context) for name, value in values.items()}
        if not values:
            self._executor = None
            return
        symbols = [
            losses.squared_distance(mx.sym.Variable(f"value_{name}"), mx.sym.Variable(f"target_{name}"))
            for name in values
        ]
        arguments = {f"value_{name}": value for name, value in values.items()}
        arguments |= {f"target_{name}": targets[name] for name in values}
        self._executor = mx.sym.Group(symbols).bind(
            context,
            arguments,
            args_grad={f"value_{name}": gradient for name, gradient in self.gradients.items()},
            grad_req={name: "write" if name.startswith("value_") else "null" for name in arguments},
        )

    def forward(self) -> dict[str, Any]:
        """The raw losses, arrays (1,)."""
        return dict(zip(self.gradients, self._executor.forward(is_train=True))) if self._executor else {}

    def backward(self, coefficients: Sequence[Any]) -> None:
        """Fill `gradients` for the sum of coefficient x S; each coefficient is an array (1,)."""
        if self._executor:
            self._executor.backward(list(coefficients))


class HeadGradients:
    """What the network goes back with: for every tapped layer, the gradient of the losses with respect to its features.

    Parameters
    ----------
    features : dict of arrays
        The tapped layers'.
    of_grams : dict of arrays
        For the style layers, the gradient with respect to their Gram matrices.
    of_content : dict of arrays
        For the content layers, the gradient of the content losses with respect to the features.
    context : mxnet Context
    """

    def __init__(
        self, features: Mapping[str, Any], of_grams: Mapping[str, Any], of_content: Mapping[str, Any], context: Any
    ) -> None:
        mx = load_mxnet()
        self._content = dict(of_content)
        symbols: list[Any] = []
        arguments: dict[str, Any] = {}
        for layer, gradient in of_grams.items():
            names = {"features": features[layer], "gram": gradient}
            symbol = losses.gram_gradient(
                mx.sym.Variable(f"gram_{layer}"), mx.sym.Variable(f"features_{layer}"), features[layer].shape[1]
            )
            if layer in of_content:
                names["content"] = of_content[layer]
                symbol = symbol + mx.sym.Variable(f"content_{layer}")
            symbols.append(symbol)
            arguments |= {f"{kind}_{layer}": value for kind, value in names.items()}
        self._layers = list(of_grams)
        self._executor = mx.sym.Group(symbols).bind(context, arguments, grad_req="null") if symbols else None

    def forward(self) -> dict[str, Any]:
        """The head gradients of the features and gradients as they are now; valid until the next call."""
        found = self._executor.forward(is_train=True) if self._executor else []
        return {**self._content, **dict(zip(self._layers, found))}
