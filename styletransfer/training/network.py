"""A feed-forward network in training, for crops, and its parameters as one vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import TransformerSpec
from styletransfer.engines import Array, Engine
from styletransfer.feedforward.extension import extended, inner


class TrainableTransformer:
    """A feed-forward network in training, for images of one size, which it extends.

    The parameters are float32; with bfloat16, they are rounded on their way into the convolutions.

    Parameters
    ----------
    height, width : int
        Of the images.
    precision : str
        float32 or bfloat16.
    """

    def __init__(self, engine: Engine, spec: TransformerSpec, height: int, width: int, precision: str) -> None:
        self._engine, self._spec = engine, spec
        self._inner = inner(spec, height, width)
        self._sides = spec.extended(height), spec.extended(width)
        self._network = engine.trainable_stylizer(spec, *self._sides, precision)
        self.set_parameters = self._network.set_parameters

    @property
    def gradient(self) -> Array:
        """The sum over all calls of :meth:`backward` since `set_parameters`, (number of parameters,)."""
        return self._network.gradient

    def forward(self, image: NDArray[np.float32]) -> Array:
        """Stylise an image, (1, 3, height, width)."""
        return self._engine.crop(self._network.forward(extended(image, self._spec)), *self._inner)

    def backward(self, head: Array) -> None:
        """Add the gradient of a loss, given its gradient with respect to the last stylised image."""
        rows, columns = self._inner
        whole = self._engine.zeros((1, 3, *self._sides))
        whole[:, :, rows, columns] = head
        self._network.backward(whole)


def parameters_of(spec: TransformerSpec, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The parameters in a vector, by name."""
    parameters, begin = {}, 0
    for name, shape in spec.parameters.items():
        size = int(np.prod(shape))
        parameters[name] = values[begin : begin + size].reshape(shape)
        begin += size
    return parameters
