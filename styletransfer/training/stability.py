"""The change of the result when a photograph moves a little, as between two frames of a video.

With this loss a network is trained to give the same strokes to the same places of a scene wherever they are in the
picture, and not to amplify the camera's noise. Similar losses are in M. Ruder, A. Dosovitskiy, T. Brox: Artistic Style
Transfer for Videos and Spherical Images, 2018 (motion by optical flow). Here the motion is a shift by whole pixels, so
that nothing needs to be interpolated.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from styletransfer.config.training import Stability
from styletransfer.engines import Array, Engine
from styletransfer.training.network import TrainableTransformer

GROUPED_LAYER = ("stability", "output")  # the name of this loss in records and curves


class StabilityLoss:
    """The weighted mean squared difference of the results of a crop and of the same crop, moved and with noise.

    Parameters
    ----------
    network : TrainableTransformer
        Another one for crops of the same size, whose parameters are set with those of the first.

    Attributes
    ----------
    network : TrainableTransformer
        Its gradient is that of this loss by way of the moved crops.
    """

    def __init__(self, engine: Engine, network: TrainableTransformer, settings: Stability, seed: int) -> None:
        self._engine, self.network, self._settings, self._seed = engine, network, settings, seed

    def __call__(self, crop: NDArray[np.float32], result: Array, batch: int, number: int) -> tuple[float, Array]:
        """The loss of one crop, and its gradient with respect to the result; that of the network is added up.

        Parameters
        ----------
        crop : array (1, 3, height, width)
        result : array (1, 3, height, width)
            Of the crop.
        batch, number : int
            Those of the crop, which determine motion and noise.
        """
        generator = np.random.default_rng([self._seed, batch, number])
        reach = self._settings.shift
        rows, columns = (int(value) for value in generator.integers(-reach, reach, 2, endpoint=True))
        noise = generator.normal(0, self._settings.noise, crop.shape).astype(np.float32)
        frame = shift_image(crop, rows, columns) + noise
        other = self.network.forward(frame)
        (top, top_moved), (left, left_moved) = overlap(rows, crop.shape[2]), overlap(columns, crop.shape[3])
        difference = other[:, :, top_moved, left_moved] - result[:, :, top, left]
        share = self._settings.weight / (255**2 * math.prod(difference.shape))
        (energy,) = self._engine.numbers([self._engine.dot(difference, difference)])
        gradient, gradient_moved = self._engine.zeros(result.shape), self._engine.zeros(result.shape)
        gradient[:, :, top, left] = difference * (-2 * share)
        gradient_moved[:, :, top_moved, left_moved] = difference * (2 * share)
        self.network.backward(gradient_moved)
        return share * energy, gradient


def shift_image(image: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Shift an image (1, 3, height, width): position (i, j) shows what was at (i + rows, j + columns).

    What was out of sight is filled by reflection.
    """
    height, width = image.shape[2:]
    extended = np.pad(image, [(0, 0), (0, 0), (abs(rows),) * 2, (abs(columns),) * 2], mode="reflect")
    top, left = abs(rows) + rows, abs(columns) + columns
    return extended[:, :, top : top + height, left : left + width]


def overlap(shift: int, length: int) -> tuple[slice, slice]:
    """Give the positions on a side that stay in sight during a shift: before it, and after it."""
    return slice(max(0, shift), length + min(0, shift)), slice(max(0, -shift), length - max(0, shift))
