"""Total variation: energies of the differences between neighbouring values of an image (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np

from models.runtime import Array, Context, load_mxnet
from styletransfer.losses import symbols
from styletransfer.network.arithmetic import inner_product, squared_norm


class TotalVariation(Protocol):
    """An energy of the image and its gradient."""

    held: ClassVar[float]  # values of 4 bytes per value of the image, as `tests/peak_memory.py` measures

    def energy_and_gradient(self, image: Array) -> tuple[float, Array]:
        """The energy and its gradient, an array of the shape of the image, valid until the next call."""


class Laplacian:
    """1/2 <x, K x> with the Laplacian kernel K of the MXNet example, whose gradient is K x.

    The example only adds K x to the gradient; this is the energy whose gradient it is.
    """

    held: ClassVar[float] = 5.0

    def __init__(self, image_shape: tuple[int, ...], context: Context) -> None:
        mx = load_mxnet()
        symbol = symbols.laplacian(mx.sym.Variable("image"))
        self._executor = symbol.simple_bind(context, grad_req="null", image=image_shape)
        self._executor.arg_dict["laplacian_kernel"][:] = np.broadcast_to(symbols.LAPLACIAN, (3, 1, 3, 3))

    def energy_and_gradient(self, image: Array) -> tuple[float, Array]:
        image.copyto(self._executor.arg_dict["image"])
        (gradient,) = self._executor.forward(is_train=False)
        return 0.5 * inner_product(image, gradient), gradient


class Squared:
    """The sum of the squared differences of neighbours, in both directions."""

    held: ClassVar[float] = 6.0

    def __init__(self, image_shape: tuple[int, ...], context: Context) -> None:
        mx = load_mxnet()
        self._gradient = mx.nd.zeros(image_shape, ctx=context)

    def energy_and_gradient(self, image: Array) -> tuple[float, Array]:
        energy = 0.0
        self._gradient[:] = 0
        for axis in (2, 3):
            length = image.shape[axis]
            if length < 2:
                continue
            difference = image.slice_axis(axis, 1, length) - image.slice_axis(axis, 0, length - 1)
            energy += squared_norm(difference)
            _add_along(self._gradient, axis, 2 * difference)
        return energy, self._gradient


def _add_along(gradient: Array, axis: int, derivative: Array) -> None:
    """Add the derivative of a neighbour difference to both neighbours."""
    if axis == 2:
        gradient[:, :, 1:] += derivative
        gradient[:, :, :-1] -= derivative
    else:
        gradient[:, :, :, 1:] += derivative
        gradient[:, :, :, :-1] -= derivative


class Power:
    """The sum of (dx^2 + dy^2)^1.25 over all values that have a neighbour below and to the right (Keras 1.1)."""

    EXPONENT = 1.25
    held: ClassVar[float] = 9.0

    def __init__(self, image_shape: tuple[int, ...], context: Context) -> None:
        mx = load_mxnet()
        self._gradient = mx.nd.zeros(image_shape, ctx=context)

    def energy_and_gradient(self, image: Array) -> tuple[float, Array]:
        self._gradient[:] = 0
        if min(image.shape[2:]) < 2:
            return 0.0, self._gradient
        corner = image[:, :, :-1, :-1]
        down, right = corner - image[:, :, 1:, :-1], corner - image[:, :, :-1, 1:]
        squares = down * down + right * right
        slope = (2 * self.EXPONENT) * squares ** (self.EXPONENT - 1)
        down, right = slope * down, slope * right
        self._gradient[:, :, :-1, :-1] += down + right
        self._gradient[:, :, 1:, :-1] -= down
        self._gradient[:, :, :-1, 1:] -= right
        return float((squares**self.EXPONENT).sum().asscalar()), self._gradient


KINDS: Mapping[str, type[Laplacian | Squared | Power]] = {
    "laplacian": Laplacian,
    "squared": Squared,
    "power": Power,
}
