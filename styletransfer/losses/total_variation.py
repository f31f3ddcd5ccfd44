"""Total variation: what an image (1, 3, H, W) pays for neighbouring values that differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from models.runtime import load_mxnet
from styletransfer.losses import symbols
from styletransfer.network.arithmetic import inner_product, squared_norm


class TotalVariation(Protocol):
    """An energy of the image and its gradient."""

    def energy_and_gradient(self, image: Any) -> tuple[float, Any]:
        """The energy and its gradient, an array of the shape of the image, valid until the next call."""


class Laplacian:
    """1/2 <x, K x> with the Laplacian kernel K of the MXNet example, whose gradient is K x.

    The example itself only adds K x to the gradient; the energy is what that descends.
    """

    def __init__(self, image_shape: tuple[int, ...], context: Any) -> None:
        mx = load_mxnet()
        symbol = symbols.laplacian(mx.sym.Variable("image"))
        self._executor = symbol.simple_bind(context, grad_req="null", image=image_shape)
        self._executor.arg_dict["laplacian_kernel"][:] = np.broadcast_to(symbols.LAPLACIAN, (3, 1, 3, 3))

    def energy_and_gradient(self, image: Any) -> tuple[float, Any]:
        image.copyto(self._executor.arg_dict["image"])
        (gradient,) = self._executor.forward(is_train=False)
        return 0.5 * inner_product(image, gradient), gradient


class Squared:
    """The sum of the squared differences of neighbours, in both directions."""

    def __init__(self, image_shape: tuple[int, ...], context: Any) -> None:
        mx = load_mxnet()
        self._gradient = mx.nd.zeros(image_shape, ctx=context)

    def energy_and_gradient(self, image: Any) -> tuple[float, Any]:
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


def _add_along(gradient: Any, axis: int, derivative: Any) -> None:
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

    def __init__(self, image_shape: tuple[int, ...], context: Any) -> None:
        mx = load_mxnet()
        self._gradient = mx.nd.zeros(image_shape, ctx=context)

    def energy_and_gradient(self, image: Any) -> tuple[float, Any]:
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


KINDS: Mapping[str, Callable[[tuple[int, ...], Any], TotalVariation]] = {
    "laplacian": Laplacian,
    "squared": Squared,
    "power": Power,
}
