"""Executors between the tapped features and the losses: Gram matrices, raw losses, and their gradients.

They are bound directly to the arrays of features, Gram matrices and targets; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.runtime import Array, Context, Executor, load_mxnet
from styletransfer.losses import symbols
from styletransfer.network.precision import FLOAT32, cast, cast_symbol
from styletransfer.network.tiling import Slices


class Grams:
    """The raw Gram matrices of some layers' features, arrays (channels, channels).

    Parameters
    ----------
    features : dict of arrays
    layers : names of the layers
    context : mxnet Context
    masked : bool
        Whether :meth:`add` is given slices of the features; otherwise it takes all of them.
    """

    def __init__(self, features: Mapping[str, Array], layers: Iterable[str], context: Context, masked: bool) -> None:
        mx = load_mxnet()
        self._masks: dict[str, Array] = {}
        self._executors: dict[str, Executor] = {}
        largest: Executor = None  # the others share its memory
        for layer in sorted(layers, key=lambda layer: features[layer].size, reverse=True):
            _, channels, height, width = features[layer].shape
            variable, dtype = mx.sym.Variable("features"), features[layer].dtype
            arguments = {"features": features[layer]}
            if masked:
                self._masks[layer] = arguments["mask"] = mx.nd.zeros((1, height, width, 1), ctx=context)
                exact = cast_symbol(variable, dtype, FLOAT32)
                symbol = symbols.masked_gram(exact, mx.sym.Variable("mask"), channels)
            else:
                symbol = cast_symbol(symbols.gram(variable, channels), dtype, FLOAT32)
            self._executors[layer] = symbol.bind(context, arguments, grad_req="null", shared_exec=largest)
            largest = largest or self._executors[layer]

    def add(self, slices: Mapping[str, Slices], sums: Mapping[str, Array]) -> None:
        """Add the Gram matrices of slices of the current features to `sums`."""
        for layer, mask in self._masks.items():
            rows, columns = slices[layer]
            mask[:] = 0
            mask[:, rows, columns] = 1
        for layer, executor in self._executors.items():
            (gram,) = executor.forward(is_train=False)
            sums[layer][:] += gram


class SquaredDistances:
    """The raw losses S = sum (value - target)^2 of named values, features or Gram matrices, and their gradients.

    Parameters
    ----------
    values, targets : dict of arrays
        With the same names and shapes.
    context : mxnet Context
    """

    def __init__(self, values: Mapping[str, Array], targets: Mapping[str, Array], context: Context) -> None:
        mx = load_mxnet()
        self.gradients = {
            name: cast(mx.nd.zeros(value.shape, ctx=context), value.dtype) for name, value in values.items()
        }
        if not values:
            self._executor = None
            return
        distances = [
            symbols.squared_distance(
                cast_symbol(mx.sym.Variable(f"value_{name}"), value.dtype, FLOAT32), mx.sym.Variable(f"target_{name}")
            )
            for name, value in values.items()
        ]
        arguments = {f"value_{name}": value for name, value in values.items()}
        arguments |= {f"target_{name}": targets[name] for name in values}
        self._executor = mx.sym.Group(distances).bind(
            context,
            arguments,
            args_grad={f"value_{name}": gradient for name, gradient in self.gradients.items()},
            grad_req={name: "write" if name.startswith("value_") else "null" for name in arguments},
        )

    def forward(self) -> dict[str, Array]:
        """The raw losses, arrays (1,)."""
        return dict(zip(self.gradients, self._executor.forward(is_train=True))) if self._executor else {}

    def backward(self, coefficients: Sequence[Array]) -> None:
        """Fill `gradients` for the sum of coefficient x S; each coefficient is an array (1,)."""
        if self._executor:
            self._executor.backward(list(coefficients))
