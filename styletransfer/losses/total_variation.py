"""Total variation: energies of the differences between neighbouring values of an image (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np

from styletransfer.engines import Array, Engine, Scalar

# The negative 4-neighbour Laplacian over 8, as in the MXNet example.
LAPLACIAN = ((0.0, -1 / 8, 0.0), (-1 / 8, 4 / 8, -1 / 8), (0.0, -1 / 8, 0.0))


class TotalVariation(Protocol):
    """An energy of the image and its gradient."""

    held: ClassVar[float]  # values of 4 bytes per value of the image, as `tests/peak_memory.py` measures

    def energy_and_gradient(self, image: Array) -> tuple[Scalar, Array]:
        """The energy and its gradient, an array of the shape of the image."""


class Laplacian:
    """1/2 <x, K x> with the Laplacian kernel K of the MXNet example, whose gradient is K x.

    The example only adds K x to the gradient; this is the energy whose gradient it is. Padded with zeros.
    """

    held: ClassVar[float] = 5.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kernel = engine.array(np.broadcast_to(LAPLACIAN, (3, 1, 3, 3)))

    def energy_and_gradient(self, image: Array) -> tuple[Scalar, Array]:
        gradient = self._engine.filtered(image, self._kernel)
        return 0.5 * self._engine.dot(image, gradient), gradient


class Squared:
    """The sum of the squared differences of neighbours, in both directions."""

    held: ClassVar[float] = 6.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def energy_and_gradient(self, image: Array) -> tuple[Scalar, Array]:
        energy: Scalar = 0.0
        gradient = self._engine.zeros(image.shape)
        if image.shape[2] > 1:
            difference = image[:, :, 1:] - image[:, :, :-1]
            energy = energy + self._engine.dot(difference, difference)
            gradient[:, :, 1:] += 2 * difference
            gradient[:, :, :-1] -= 2 * difference
        if image.shape[3] > 1:
            difference = image[:, :, :, 1:] - image[:, :, :, :-1]
            energy = energy + self._engine.dot(difference, difference)
            gradient[:, :, :, 1:] += 2 * difference
            gradient[:, :, :, :-1] -= 2 * difference
        return energy, gradient


class Power:
    """The sum of (dx^2 + dy^2)^1.25 over all values that have a neighbour below and to the right (Keras 1.1)."""

    EXPONENT = 1.25
    held: ClassVar[float] = 9.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def energy_and_gradient(self, image: Array) -> tuple[Scalar, Array]:
        gradient = self._engine.zeros(image.shape)
        if min(image.shape[2:]) < 2:
            return 0.0, gradient
        corner = image[:, :, :-1, :-1]
        down, right = corner - image[:, :, 1:, :-1], corner - image[:, :, :-1, 1:]
        squares = down * down + right * right
        slope = (2 * self.EXPONENT) * squares ** (self.EXPONENT - 1)
        down, right = slope * down, slope * right
        gradient[:, :, :-1, :-1] += down + right
        gradient[:, :, 1:, :-1] -= down
        gradient[:, :, :-1, 1:] -= right
        root = squares ** (self.EXPONENT / 2)
        return self._engine.dot(root, root), gradient


KINDS: Mapping[str, type[Laplacian | Squared | Power]] = {
    "laplacian": Laplacian,
    "squared": Squared,
    "power": Power,
}
