"""A feed-forward network in training: its parameters as one vector, and the gradient of the loss with respect to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models import feedforward_mxnet
from models.feedforward_spec import TransformerSpec
from models.runtime import Array, Context, load_mxnet
from styletransfer.feedforward.network import constant_arrays, dtype_of, extended, inner


class TrainableTransformer:
    """The executor of a feed-forward network for images of one size, forward and backward.

    The parameters are float32; with bfloat16, they are rounded on their way into the convolutions.

    Parameters
    ----------
    spec : TransformerSpec
    height, width : int
        Of the images, which are extended here.
    context : mxnet Context
    precision : str
        float32 or bfloat16.

    Attributes
    ----------
    gradient : array (number of parameters,)
        The sum over all calls of :meth:`backward` since :meth:`set_parameters`.
    """

    def __init__(self, spec: TransformerSpec, height: int, width: int, context: Context, precision: str) -> None:
        mx = load_mxnet()
        self._spec = spec
        self._inner = inner(spec, height, width)
        shape = (1, 3, spec.extended(height), spec.extended(width))
        self._image = mx.nd.zeros(shape, ctx=context)
        self._head = mx.nd.zeros(shape, ctx=context)
        self._arrays = {name: mx.nd.zeros(shape, ctx=context) for name, shape in spec.parameters.items()}
        self._gradients = {name: mx.nd.zeros(shape, ctx=context) for name, shape in spec.parameters.items()}
        constants, states = constant_arrays(spec, context)
        arguments = {**self._arrays, **constants, "data": self._image}
        self._executor = feedforward_mxnet.build(spec, dtype_of(precision)).bind(
            context,
            arguments,
            args_grad=self._gradients,
            grad_req={name: "write" if name in self._arrays else "null" for name in arguments},
            aux_states=states,
        )
        self.gradient: Array = mx.nd.zeros(sum(array.size for array in self._arrays.values()), ctx=context)

    def set_parameters(self, values: Array) -> None:
        """Take over the parameters from a vector, and set the gradient to 0."""
        begin = 0
        for array in self._arrays.values():
            array[:] = values[begin : begin + array.size].reshape(array.shape)
            begin += array.size
        self.gradient[:] = 0

    def forward(self, image: NDArray[np.float32]) -> Array:
        """The stylised image of an image, both (1, 3, height, width)."""
        self._image[:] = extended(image, self._spec)
        (output,) = self._executor.forward(is_train=True)
        (rows, columns), mx = self._inner, load_mxnet()
        begin, end = (0, 0, rows.start, columns.start), (1, 3, rows.stop, columns.stop)
        return mx.nd.slice(output, begin=begin, end=end)

    def backward(self, head: Array) -> None:
        """Add the gradient of a loss of the image last seen, given that with respect to the stylised image."""
        rows, columns = self._inner
        self._head[:, :, rows, columns] = head
        self._executor.backward([self._head])
        self.gradient[:] += vector_of(self._gradients)


def vector_of(arrays: Mapping[str, Array]) -> Array:
    """Arrays, in order, as one vector."""
    return load_mxnet().nd.concat(*(array.reshape(-1) for array in arrays.values()), dim=0)


def parameters_of(spec: TransformerSpec, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The parameters in a vector, by name."""
    found, begin = {}, 0
    for name, shape in spec.parameters.items():
        size = int(np.prod(shape))
        found[name] = values[begin : begin + size].reshape(shape)
        begin += size
    return found
