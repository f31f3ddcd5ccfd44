"""Feed-forward networks as MXNet executors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import feedforward, feedforward_mxnet
from models.feedforward_spec import Layer, TransformerSpec
from models.runtime import Array, Context, load_mxnet
from styletransfer.engines.base import Parameters, Statistics


def _constant_arrays(spec: TransformerSpec, context: Context) -> tuple[dict[str, Array], dict[str, Array]]:
    """The arguments of the symbol that are not parameters, and its auxiliary states, which are not used."""
    mx = load_mxnet()
    arguments = {name: mx.nd.array(values, ctx=context) for name, values in feedforward.constants(spec).items()}
    states = {
        f"{layer.name}_{kind}": fill(layer.channels, ctx=context)
        for layer in spec.layers
        if layer.normalized
        for kind, fill in (("mean", mx.nd.zeros), ("var", mx.nd.ones))
    }
    return arguments, states


class Stylizer:
    """See :class:`~styletransfer.engines.base.Stylizer`."""

    def __init__(
        self, spec: TransformerSpec, parameters: Parameters, height: int, width: int, context: Context
    ) -> None:
        mx = load_mxnet()
        constants, states = _constant_arrays(spec, context)
        self._image = mx.nd.zeros((1, 3, height, width), ctx=context)
        arguments = {name: mx.nd.array(values, ctx=context) for name, values in parameters.items()}
        self._executor = feedforward_mxnet.build(spec).bind(
            context, {**arguments, **constants, "data": self._image}, grad_req="null", aux_states=states
        )

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        self._image[:] = image
        (output,) = self._executor.forward(is_train=True)  # normalizes by the statistics of this image
        return output.asnumpy()


class StripLayer:
    """See :class:`~styletransfer.engines.base.StripLayer`."""

    def __init__(
        self,
        spec: TransformerSpec,
        parameters: Parameters,
        before: Layer | None,
        layer: Layer,
        statistics: Statistics | None,
        keep: bool,
        context: Context,
    ) -> None:
        mx = load_mxnet()
        self._context, self._keep = context, keep
        values = mx.sym.Variable("values")
        self._states: dict[str, Array] = {}
        if before is None:
            values = values * (1 / spec.input_scale)
        else:
            values = feedforward_mxnet.activated(
                before, values, mx.sym.Variable("added") if before.adds else None, given=True
            )
            if before.normalized and statistics is not None:
                self._states = {
                    f"{before.name}_{kind}": mx.nd.array(array, ctx=context)
                    for kind, array in zip(("mean", "var"), statistics)
                }
        convolved = feedforward_mxnet.convolved(layer, values)
        if layer is spec.layers[-1]:
            convolved = feedforward_mxnet.image_of(spec, convolved)
        self._symbol = mx.sym.Group([convolved, values] if keep else [convolved])
        names = set(self._symbol.list_arguments())
        arrays = {**parameters, **feedforward.constants(spec)}
        self._arguments = {name: mx.nd.array(array, ctx=context) for name, array in arrays.items() if name in names}
        self._inputs: dict[str, Array] = {name: None for name in ("values", "added") if name in names}
        self._executor: Any = None

    def __call__(
        self, values: NDArray[np.float32], added: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        if self._executor is None:
            self._inputs = {name: load_mxnet().nd.zeros(values.shape, ctx=self._context) for name in self._inputs}
            self._executor = self._symbol.bind(
                self._context, {**self._arguments, **self._inputs}, grad_req="null", aux_states=self._states
            )
        self._inputs["values"][:] = values
        if "added" in self._inputs:
            self._inputs["added"][:] = added
        results = self._executor.forward(is_train=False)
        return results[0].asnumpy(), results[1].asnumpy() if self._keep else None


class TrainableStylizer:
    """See :class:`~styletransfer.engines.base.TrainableStylizer`."""

    def __init__(self, spec: TransformerSpec, height: int, width: int, context: Context) -> None:
        mx = load_mxnet()
        self._image, self._head = (mx.nd.zeros((1, 3, height, width), ctx=context) for _ in range(2))
        self._arrays, self._gradients = (
            {name: mx.nd.zeros(shape, ctx=context) for name, shape in spec.parameters.items()} for _ in range(2)
        )
        constants, states = _constant_arrays(spec, context)
        arguments = {**self._arrays, **constants, "data": self._image}
        self._executor = feedforward_mxnet.build(spec).bind(
            context,
            arguments,
            args_grad=self._gradients,
            grad_req={name: "write" if name in self._arrays else "null" for name in arguments},
            aux_states=states,
        )
        self.gradient: Array = mx.nd.zeros(sum(array.size for array in self._arrays.values()), ctx=context)

    def set_parameters(self, values: Array) -> None:
        begin = 0
        for array in self._arrays.values():
            array[:] = values[begin : begin + array.size].reshape(array.shape)
            begin += array.size
        self.gradient[:] = 0

    def forward(self, image: NDArray[np.float32]) -> Array:
        self._image[:] = image
        (output,) = self._executor.forward(is_train=True)
        return output

    def backward(self, head: Array) -> None:
        head.copyto(self._head)
        self._executor.backward([self._head])
        flat = (gradient.reshape(-1) for gradient in self._gradients.values())
        self.gradient[:] += load_mxnet().nd.concat(*flat, dim=0)
