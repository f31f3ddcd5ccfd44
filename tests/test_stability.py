"""The stability loss: shifts, and its value and gradient beside their definition."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import ENGINE, relative_error, to_array, to_numpy

import models
from models import feedforward
from styletransfer.config.training import Stability
from styletransfer.training.network import TrainableTransformer
from styletransfer.training.stability import StabilityLoss, overlap, shift_image

SIDE = 32


@pytest.mark.parametrize("rows", [-5, 0, 3])
@pytest.mark.parametrize("columns", [-2, 0, 7])
def test_what_is_in_sight_before_and_after_is_the_same(rows: int, columns: int) -> None:
    image = np.random.default_rng(0).random((1, 3, 20, 24), np.float32)
    frame = shift_image(image, rows, columns)
    assert frame.shape == image.shape
    for top in range(20):
        for left in range(24):
            if 0 <= top + rows < 20 and 0 <= left + columns < 24:
                np.testing.assert_array_equal(frame[:, :, top, left], image[:, :, top + rows, left + columns])
    (top, top_moved), (left, left_moved) = overlap(rows, 20), overlap(columns, 24)
    seen = frame[:, :, top_moved, left_moved]
    assert seen.shape[2:] == (20 - abs(rows), 24 - abs(columns))
    np.testing.assert_array_equal(seen, image[:, :, top, left])


def network() -> TrainableTransformer:
    spec = models.load_transformer("small").SPEC
    bound = TrainableTransformer(ENGINE, spec, SIDE, SIDE, "float32")
    initial = feedforward.initial_parameters(spec, np.random.default_rng(0))
    bound.set_parameters(ENGINE.flat(to_array(initial[name]) for name in spec.parameters))
    return bound


def crop() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 50, (1, 3, SIDE, SIDE)).astype(np.float32)


def test_without_motion_and_noise_there_is_no_loss() -> None:
    loss = StabilityLoss(ENGINE, network(), Stability(weight=7, shift=0, noise=0), seed=0)
    value, gradient = loss(crop(), network().forward(crop()), 0, 0)
    assert value == 0 and not to_numpy(gradient).any() and not to_numpy(loss.network.gradient).any()


def test_the_loss_is_the_mean_squared_difference() -> None:
    """The loss compares the result of a noisy crop with one that is 0."""
    one = StabilityLoss(ENGINE, network(), Stability(weight=7, shift=0, noise=9), seed=0)
    result = to_numpy(network().forward(crop()))
    value, gradient = one(crop(), to_array(np.zeros_like(result)), 4, 2)
    noise = np.random.default_rng([0, 4, 2])
    noise.integers(0, 0, 2, endpoint=True)
    noisy = to_numpy(network().forward(crop() + noise.normal(0, 9, crop().shape).astype(np.float32)))
    assert value == pytest.approx(7 * np.mean((noisy / 255) ** 2), rel=1e-5)
    assert relative_error(to_numpy(gradient), -2 * 7 * noisy / 255**2 / noisy.size) < 1e-5


def test_every_crop_moves_in_its_own_way_and_again_in_the_same() -> None:
    loss = StabilityLoss(ENGINE, network(), Stability(weight=1, shift=8, noise=3), seed=0)
    result = network().forward(crop())
    values = [loss(crop(), result, *numbers)[0] for numbers in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert values[0] == values[3] and len(set(values)) == 3 and min(values) > 0
