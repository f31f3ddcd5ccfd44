"""SGD against hand computation and against MXNet's own optimiser; its state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import Quadratic, mx, relative_error, to_mx

from styletransfer.config import OptimizerSettings, Schedule
from styletransfer.optimizers import SGD, clipped, gradient_norm, norm_limit, scheduled_rate

SHAPE = (1, 3, 4, 5)
START = np.random.default_rng(1).normal(0.0, 10.0, SHAPE)
SETTINGS = OptimizerSettings(
    learning_rate=0.07, momentum=0.9, weight_decay=0.05, schedule=Schedule(step=3, factor=0.5), clip_norm=20.0
)


def settings(**changes):
    plain = OptimizerSettings(learning_rate=0.1, momentum=0.0, weight_decay=0.0, clip_norm=None, schedule=None)
    return plain.model_copy(update=changes)


def steps(optimizer, image, objective, count):
    """Make so many steps; the last move."""
    evaluation = objective(image)
    for _ in range(count):
        (move,) = optimizer.advance(image, evaluation, objective)
        evaluation = move.evaluation
    return move


def by_hand(x, objective, chosen, count):
    """The image after so many steps, in NumPy float64."""
    velocity = np.zeros_like(x)
    for update in range(1, count + 1):
        gradient = objective.curvature * (x - objective.centre)
        norm = math.sqrt(np.sum(gradient**2))
        if chosen.clip_norm is not None and norm > chosen.clip_norm:
            gradient *= chosen.clip_norm / norm
        gradient += (objective.tv or 0.0) * x
        rate = chosen.learning_rate
        if chosen.schedule is not None:
            for past in range(1, update):  # it falls behind every update that is a multiple of the step
                rate *= chosen.schedule.factor if past % chosen.schedule.step == 0 else 1.0
        velocity = chosen.momentum * velocity - rate * (gradient + chosen.weight_decay * x)
        x = x + velocity
    return x


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("tv", [None, 0.2])
@pytest.mark.parametrize(
    "chosen",
    [
        settings(),
        settings(momentum=0.9),
        settings(weight_decay=0.3),
        settings(clip_norm=20.0),
        settings(schedule=Schedule(step=3, factor=0.5)),
        SETTINGS,
    ],
    ids=["plain", "momentum", "weight decay", "clipping", "schedule", "everything"],
)
def test_steps_are_those_made_by_hand(chosen, tv, count):
    objective = Quadratic(1.5, centre=3.0, tv=tv)
    image = to_mx(START)
    steps(SGD(chosen, image), image, objective, count)
    expected = by_hand(START, objective, chosen, count)
    assert relative_error(image.asnumpy() - START, expected - START) < 1e-5


def test_the_first_step_in_numbers():
    image = mx.nd.full((1, 3, 1, 1), 2.0)
    optimizer = SGD(settings(learning_rate=0.1, momentum=0.5, weight_decay=0.25), image)
    steps(optimizer, image, Quadratic(1.0, centre=1.0), 1)
    np.testing.assert_allclose(image.asnumpy(), 2.0 - 0.1 * (1.0 + 0.25 * 2.0), rtol=1e-6)  # 1.85
    steps(optimizer, image, Quadratic(1.0, centre=1.0), 1)
    np.testing.assert_allclose(image.asnumpy(), 1.85 + 0.5 * -0.15 - 0.1 * (0.85 + 0.25 * 1.85), rtol=1e-6)


def test_sixty_steps_are_those_of_mxnet():
    objective = Quadratic(1.5, centre=3.0)
    schedule = mx.lr_scheduler.FactorScheduler(step=25, factor=0.9)
    theirs = mx.optimizer.SGD(learning_rate=0.02, momentum=0.9, wd=0.0005, lr_scheduler=schedule)
    chosen = settings(
        learning_rate=0.02, momentum=0.9, weight_decay=0.0005, schedule=Schedule(step=25, factor=0.9), clip_norm=None
    )
    image, expected = to_mx(START), to_mx(START)
    optimizer, state = SGD(chosen, image), theirs.create_state(0, expected)
    for _ in range(60):
        move = steps(optimizer, image, objective, 1)
        theirs.update(0, expected, objective(expected).gradient, state)
        assert move.learning_rate == pytest.approx(theirs.learning_rate, rel=1e-12)
        np.testing.assert_allclose(image.asnumpy(), expected.asnumpy(), rtol=1e-6, atol=1e-6)


def test_the_rate_falls_first_behind_a_whole_step_of_the_schedule():
    schedule = Schedule(step=80, factor=0.9)
    rates = [scheduled_rate(2.0, schedule, update) for update in (1, 2, 80, 81, 160, 161)]
    assert rates == pytest.approx([2.0, 2.0, 2.0, 1.8, 1.8, 1.62], rel=1e-12)
    assert scheduled_rate(2.0, None, 1000) == 2.0


def test_a_move_reports_its_rate_and_the_evaluation_behind_it():
    image, objective = to_mx(START), Quadratic()
    optimizer = SGD(settings(schedule=Schedule(step=1, factor=0.5)), image)
    for rate in (0.1, 0.05, 0.025):
        move = steps(optimizer, image, objective, 1)
        assert move.learning_rate == pytest.approx(rate)
        assert move.evaluation.losses == objective(image).losses


def test_the_gradient_norm_is_that_of_float64():
    values = np.random.default_rng(2).normal(0.0, 30.0, (1, 3, 600, 800)).astype(np.float32)
    assert gradient_norm(to_mx(values)) == pytest.approx(np.linalg.norm(values.astype(np.float64)), rel=1e-6)


def test_clipping_shortens_what_is_too_long_and_nothing_else():
    gradient = to_mx(START)
    norm = np.linalg.norm(START)
    for share in (0.5, 0.995):
        np.testing.assert_allclose(clipped(gradient, norm * share).asnumpy(), START * share, rtol=1e-5)
    for limit in (None, norm * 1.01, math.inf):
        np.testing.assert_array_equal(clipped(gradient, limit).asnumpy(), gradient.asnumpy())
    assert not clipped(gradient * 0, 1.0).asnumpy().any()


def test_the_limit_may_be_the_number_of_values():
    assert norm_limit(settings(clip_norm="elements"), 60) == 60.0
    assert norm_limit(settings(clip_norm=7.5), 60) == 7.5
    assert norm_limit(settings(clip_norm=None), 60) is None
    image = to_mx(START)
    steps(SGD(settings(clip_norm="elements"), image), image, Quadratic(1000.0), 1)
    assert np.linalg.norm(image.asnumpy() - START) == pytest.approx(0.1 * START.size, rel=1e-5)


def test_the_gradient_of_the_tv_is_added_after_clipping():
    image = to_mx(START)
    steps(SGD(settings(clip_norm=2.0), image), image, Quadratic(50.0, tv=3.0), 1)
    expected = -0.1 * (2.0 * START / np.linalg.norm(START) + 3.0 * START)
    assert relative_error(image.asnumpy() - START, expected) < 1e-5


def test_a_restored_optimizer_goes_on_bit_by_bit(tmp_path):
    objective = Quadratic(1.5, centre=3.0, tv=0.2)
    image = to_mx(START)
    optimizer = SGD(SETTINGS, image)
    steps(optimizer, image, objective, 4)
    middle = image.asnumpy()
    np.savez(tmp_path / "state.npz", **optimizer.state())
    expected_move = steps(optimizer, image, objective, 5)

    again = to_mx(middle)
    restored = SGD(SETTINGS, again)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        restored.restore(state)
    move = steps(restored, again, objective, 5)
    np.testing.assert_array_equal(again.asnumpy(), image.asnumpy())
    assert move.learning_rate == expected_move.learning_rate
    assert move.evaluation.losses == expected_move.evaluation.losses


def test_a_saved_state_does_not_move_with_the_optimizer():
    image = to_mx(START)
    optimizer = SGD(SETTINGS, image)
    steps(optimizer, image, Quadratic(), 2)
    state = optimizer.state()
    before = {key: np.array(values) for key, values in state.items()}
    steps(optimizer, image, Quadratic(), 2)
    for key, values in before.items():
        np.testing.assert_array_equal(state[key], values)
