"""The optimisers against the reference, hand computation, MXNet, PyTorch and SciPy; their states."""

from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import pytest
from helpers import ENGINE, BreaksAt, Quadratic, evaluation_of, mxnet, relative_error, to_array, to_numpy
from reference import descent, formulas, spaces

from styletransfer.config import OptimizerSettings, Schedule
from styletransfer.losses.objective import Losses
from styletransfer.optimization.loop import StoppingRule, optimize
from styletransfer.optimization.optimizers import LBFGS, LBFGSB, SGD, AcceptReject, Adam, create
from styletransfer.optimization.optimizers.base import Box, descent_direction, norm_limit
from styletransfer.optimization.optimizers.descent import scheduled_rate
from styletransfer.optimization.optimizers.lbfgs import TRIALS
from styletransfer.pictures import pixels

SHAPE = (1, 3, 4, 5)
START = np.random.default_rng(1).normal(0.0, 10.0, SHAPE)
ROUNDED = START.astype(np.float32).astype(np.float64)
SETTINGS = OptimizerSettings(
    learning_rate=0.07, momentum=0.9, weight_decay=0.05, schedule=Schedule(step=3, factor=0.5), clip_norm=20.0
)


def settings(**changes):
    plain = OptimizerSettings(
        learning_rate=0.1, momentum=0.0, weight_decay=0.0, clip_norm=None, schedule=None, bounds="none"
    )
    return plain.model_copy(update=changes)


def steps(optimizer, image, objective, count):
    """Make `count` steps; the last move."""
    evaluation = objective(image)
    for _ in range(count):
        (move,) = optimizer.advance(image, evaluation, objective)
        evaluation = move.evaluation
    return move


def exactly(objective):
    """The evaluation of a quadratic objective, in float64, for the reference."""

    def evaluate(x):
        gradient = objective.curvature * (x - objective.centre)
        return formulas.Evaluation({}, math.nan, gradient, (objective.tv or 0.0) * x)

    return evaluate


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("bounds", ["none", "displayable"])
@pytest.mark.parametrize("tv", [None, 0.2])
@pytest.mark.parametrize("name", ["sgd", "adam", "accept_reject"])
@pytest.mark.parametrize(
    "chosen",
    [
        settings(),
        settings(momentum=0.9),
        settings(weight_decay=0.3),
        settings(clip_norm=20.0),
        settings(schedule=Schedule(step=3, factor=0.5)),
        settings(beta1=0.5, beta2=0.9),
        SETTINGS,
    ],
    ids=["plain", "momentum", "weight decay", "clipping", "schedule", "memory", "everything"],
)
def test_steps_match_the_reference(chosen, name, tv, bounds, count):
    if name == "adam":
        pytest.importorskip("torch")
    chosen = chosen.model_copy(update={"name": name, "bounds": bounds})
    objective = Quadratic(1.5, centre=300.0, tv=tv)  # beyond white, so that some values come to a bound
    image = to_array(START)
    steps(create(chosen, ENGINE, image, "bgr255"), image, objective, count)
    own = {**chosen.model_dump(), "displayable": spaces.displayable("bgr255")}
    expected, *_ = descent.descend(own, exactly(objective), START[0], count)[-1]
    assert relative_error(to_numpy(image)[0] - START[0], expected - START[0]) < 1e-5


def test_the_first_step_of_sgd_by_hand():
    image = to_array(np.full((1, 3, 1, 1), 2.0))
    optimizer = SGD(settings(learning_rate=0.1, momentum=0.5, weight_decay=0.25), ENGINE, image)
    steps(optimizer, image, Quadratic(1.0, centre=1.0), 1)
    np.testing.assert_allclose(to_numpy(image), 2.0 - 0.1 * (1.0 + 0.25 * 2.0), rtol=1e-6)  # 1.85
    steps(optimizer, image, Quadratic(1.0, centre=1.0), 1)
    np.testing.assert_allclose(to_numpy(image), 1.85 + 0.5 * -0.15 - 0.1 * (0.85 + 0.25 * 1.85), rtol=1e-6)


def test_the_first_step_of_adam_by_hand():
    image = to_array(np.full((1, 3, 1, 1), 2.0))
    chosen = settings(learning_rate=0.1, beta1=0.5, beta2=0.75, epsilon=0.5)
    steps(Adam(chosen, ENGINE, image), image, Quadratic(1.0, centre=1.0), 1)
    # The mean is 0.5, the variance 0.25; epsilon joins its root before the correction sqrt(1 - 0.75) / (1 - 0.5) = 1.
    np.testing.assert_allclose(to_numpy(image), 2.0 - 0.1 * 0.5 / (0.5 + 0.5), rtol=1e-6)


def test_adam_matches_pytorch():
    pytest.importorskip("torch")
    image = to_array(START)
    steps(Adam(OptimizerSettings(learning_rate=0.1), ENGINE, image), image, Quadratic(1.5, centre=3.0), 5)
    expected, *_ = descent.adam(exactly(Quadratic(1.5, centre=3.0)), START, 5, learning_rate=0.1)[-1]
    assert relative_error(to_numpy(image) - START, expected - START) < 1e-5


@pytest.mark.parametrize("space", ["rgb255", "rgb256", "bgr255", "torchvision"])
def test_each_value_is_accepted_or_rejected_on_its_own(space):
    black, white = spaces.displayable(space)
    #        outside, inside, across, inside, outside
    before = np.array([0.004, 0.004, 0.5, 0.996, 0.996])
    change = np.array([-0.008, 0.008, -0.3, -0.008, 0.008])
    expected = np.where([False, True, True, True, False], before + change, before)
    before, expected = (black + (white - black) * shares.reshape(1, 1, 5) for shares in (before, expected))
    image, gradient = to_array(before[None]), to_array(-(white - black) * change.reshape(1, 1, 5))[None]
    optimizer = AcceptReject(settings(learning_rate=1.0), ENGINE, image, Box(space, ENGINE))
    steps(optimizer, image, lambda _: evaluation_of(Losses({}, 0.0), gradient), 1)
    np.testing.assert_allclose(to_numpy(image)[0], expected, rtol=1e-5)


def test_black_and_white_are_displayable():
    image = ENGINE.zeros((1, 3, 2, 1))
    gradient = -to_array(np.stack(spaces.displayable("rgb255"), axis=1)).reshape((1, 3, 2, 1))
    steps(
        AcceptReject(settings(learning_rate=1.0), ENGINE, image, Box("rgb255", ENGINE)),
        image,
        lambda _: evaluation_of(Losses({}, 0.0), gradient),
        1,
    )
    np.testing.assert_array_equal(to_numpy(image), -to_numpy(gradient))


def test_sixty_steps_match_mxnet():
    objective = Quadratic(1.5, centre=3.0)
    mx = mxnet()
    schedule = mx.lr_scheduler.FactorScheduler(step=25, factor=0.9)

    def gradient_of(values):
        return mx.nd.array(to_numpy(objective(to_array(values.asnumpy())).gradient))

    theirs = mx.optimizer.SGD(learning_rate=0.02, momentum=0.9, wd=0.0005, lr_scheduler=schedule)
    chosen = settings(
        learning_rate=0.02, momentum=0.9, weight_decay=0.0005, schedule=Schedule(step=25, factor=0.9), clip_norm=None
    )
    image, expected = to_array(START), mx.nd.array(START)
    optimizer, state = SGD(chosen, ENGINE, image), theirs.create_state(0, expected)
    for _ in range(60):
        move = steps(optimizer, image, objective, 1)
        theirs.update(0, expected, gradient_of(expected), state)
        assert move.learning_rate == pytest.approx(theirs.learning_rate, rel=1e-12)
        np.testing.assert_allclose(to_numpy(image), expected.asnumpy(), rtol=1e-6, atol=4e-6)  # values to 30


def test_the_rate_first_drops_after_a_full_period_of_the_schedule():
    schedule = Schedule(step=80, factor=0.9)
    rates = [scheduled_rate(2.0, schedule, update) for update in (1, 2, 80, 81, 160, 161)]
    assert rates == pytest.approx([2.0, 2.0, 2.0, 1.8, 1.8, 1.62], rel=1e-12)
    assert scheduled_rate(2.0, None, 1000) == 2.0


def test_a_move_reports_its_rate_and_the_new_evaluation():
    image, objective = to_array(START), Quadratic()
    optimizer = SGD(settings(schedule=Schedule(step=1, factor=0.5)), ENGINE, image)
    for rate in (0.1, 0.05, 0.025):
        move = steps(optimizer, image, objective, 1)
        assert move.learning_rate == pytest.approx(rate)
        assert move.evaluation.losses == objective(image).losses


def test_clipping_scales_only_gradients_above_the_limit():
    norm = np.linalg.norm(START)

    def clipped(gradient, limit):
        return descent_direction(evaluation_of(Losses({}, 0.0), gradient), limit)

    gradient = to_array(START)
    for share in (0.5, 0.995):
        np.testing.assert_allclose(to_numpy(clipped(gradient, norm * share)), START * share, rtol=1e-5)
    for limit in (None, norm * 1.01, math.inf):
        np.testing.assert_array_equal(to_numpy(clipped(gradient, limit)), to_numpy(gradient))
    assert not to_numpy(clipped(gradient * 0, 1.0)).any()


def test_the_limit_may_be_the_number_of_values():
    assert norm_limit(settings(clip_norm="elements"), 60) == 60.0
    assert norm_limit(settings(clip_norm=7.5), 60) == 7.5
    assert norm_limit(settings(clip_norm=None), 60) is None
    image = to_array(START)
    steps(SGD(settings(clip_norm="elements"), ENGINE, image), image, Quadratic(1000.0), 1)
    assert np.linalg.norm(to_numpy(image) - START) == pytest.approx(0.1 * START.size, rel=1e-5)


def test_the_gradient_of_the_tv_is_added_after_clipping():
    image = to_array(START)
    steps(SGD(settings(clip_norm=2.0), ENGINE, image), image, Quadratic(50.0, tv=3.0), 1)
    expected = -0.1 * (2.0 * START / np.linalg.norm(START) + 3.0 * START)
    assert relative_error(to_numpy(image) - START, expected) < 1e-5


def valley(image):
    """An ill-conditioned sum of c x^2 / 2 + x^4 / 100, with 0.1 x^2 / 2 as TV; computed in float64."""
    x = to_numpy(image).astype(np.float64)
    steepness = np.geomspace(0.1, 100.0, x.size).reshape(x.shape)
    losses = Losses({("content", "valley"): float(np.sum(steepness * x**2 / 2 + x**4 / 100))}, float(np.sum(x**2)) / 20)
    return evaluation_of(losses, to_array(steepness * x + x**3 / 25), to_array(x / 10))


def valley_exactly(x):
    """The same objective for the reference, with the same rounding."""
    found = valley(to_array(x))
    gradient = to_numpy(found.gradient + found.tv_gradient).astype(np.float64)
    return formulas.Evaluation(found.losses.layers, found.scaled_total, gradient, np.zeros_like(gradient))


each_stepwise = pytest.mark.parametrize("name", ["sgd", "adam", "accept_reject", "lbfgs"])


@each_stepwise
def test_a_restored_optimizer_resumes_bit_for_bit(name, tmp_path):
    chosen = SETTINGS.model_copy(update={"name": name})
    image, objective = to_array(START), valley
    optimizer = create(chosen, ENGINE, image, "rgb255")
    steps(optimizer, image, objective, 4)
    middle = to_numpy(image)
    np.savez(tmp_path / "state.npz", **optimizer.state())
    expected_move = steps(optimizer, image, objective, 5)

    again = to_array(middle)
    restored = create(chosen, ENGINE, again, "rgb255")
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        restored.restore(state)
    move = steps(restored, again, objective, 5)
    np.testing.assert_array_equal(to_numpy(again), to_numpy(image))
    assert move.learning_rate == expected_move.learning_rate
    assert move.evaluation.losses == expected_move.evaluation.losses


@each_stepwise
def test_a_saved_state_is_a_copy(name):
    image = to_array(START)
    optimizer = create(SETTINGS.model_copy(update={"name": name}), ENGINE, image, "rgb255")
    steps(optimizer, image, Quadratic(), 2)
    state = optimizer.state()
    before = {key: np.array(values) for key, values in state.items()}
    steps(optimizer, image, Quadratic(), 2)
    for key, values in before.items():
        np.testing.assert_array_equal(state[key], values)


def course(chosen, stop, restored=None):
    """Record a run, with copies of image and state; `restored` is one of these, to resume from."""
    image = to_array(START)
    optimizer = create(chosen, ENGINE, image, "rgb255")
    after = None
    if restored is not None:
        after, _, middle, state = restored
        ENGINE.assign(image, middle)
        optimizer.restore(state)
    return [
        (record.step, record.losses, record.values(), optimizer.state())
        for record in optimize(ENGINE, image, valley, optimizer, StoppingRule(max_iterations=stop), after=after)
    ]


# L-BFGS of our own.

OWN = settings(name="lbfgs", history=3, first_step=3.0)


@pytest.mark.parametrize(("history", "count"), [(1, 12), (3, 24), (10, 24)])
def test_lbfgs_matches_the_reference(history, count):
    """Up to the step at which rounding errors have been amplified too much."""
    chosen = OWN.model_copy(update={"history": history})
    found, expected = course(chosen, count), descent.descend(chosen.model_dump(), valley_exactly, ROUNDED, count)
    assert len(found) == len(expected) == count + 1
    assert expected[-1].evaluation.total < 2e-3 * expected[0].evaluation.total
    for (_, losses, image, _), (point, evaluation, _) in zip(found, expected):
        assert relative_error(image, point) < 2e-5
        assert losses.total == pytest.approx(evaluation.total, rel=2e-5)


def test_the_initial_matrix_adds_a_blur_by_a_tent_and_is_positive_definite():
    height, width = 3, 7
    optimizer, size = LBFGS(OWN, ENGINE, ENGINE.zeros((1, 3, height, width))), 3 * height * width
    units = np.eye(size).reshape(size, 1, 3, height, width)
    found = np.stack([to_numpy(optimizer._smoothed(to_array(unit))).ravel() for unit in units])
    down, across = (
        np.array([[max(3 - abs(i - j), 0) / 9 for i in range(length)] for j in range(length)])
        for length in (height, width)
    )
    np.testing.assert_allclose(found, np.eye(size) + 3 * np.kron(np.eye(3), np.kron(down, across)), atol=1e-6)
    np.testing.assert_allclose(found, found.T, atol=1e-6)
    assert np.linalg.eigvalsh(found).min() > 1 - 1e-6


@pytest.mark.parametrize(("first_step", "length"), [(0.5, 0.5 * START.size**0.5), (None, 1.0)])
def test_the_first_step_of_lbfgs_follows_the_smoothed_gradient_with_the_given_length(first_step, length):
    image = to_array(START)
    optimizer = LBFGS(OWN.model_copy(update={"first_step": first_step}), ENGINE, image)
    move = steps(optimizer, image, Quadratic(centre=300.0), 1)
    downwards = descent.smoothing(300.0 - START)
    assert move.learning_rate == 1.0
    assert relative_error(to_numpy(image) - START, downwards * length / np.linalg.norm(downwards)) < 1e-4


@pytest.mark.parametrize("first_step", [1e-3, 3.0, 1e4])
def test_every_step_of_lbfgs_decreases_the_total(first_step):
    totals = [losses.total for _, losses, *_ in course(OWN.model_copy(update={"first_step": first_step}), 30)]
    assert len(totals) == 31 and all(after < before for before, after in itertools.pairwise(totals))


def test_lbfgs_finds_the_minimum_of_a_quadratic_and_ends_there():
    image = to_array(START)
    optimizer = LBFGS(OWN, ENGINE, image)
    records = [
        record.step for record in optimize(ENGINE, image, Quadratic(1.5, 3.0, tv=0.5), optimizer, StoppingRule(100))
    ]
    assert len(records) < 40
    np.testing.assert_allclose(to_numpy(image), 1.5 * 3.0 / (1.5 + 0.5), rtol=1e-3)


def test_lbfgs_does_not_move_if_the_gradient_is_zero():
    image = to_array(START)
    objective = BreaksAt(Quadratic(), [0], gradient=0.0)
    assert not list(LBFGS(OWN, ENGINE, image).advance(image, objective(image), objective))
    assert len(objective.seen) == 1
    np.testing.assert_array_equal(to_numpy(image), to_numpy(to_array(START)))


@pytest.mark.parametrize("before", [0, 2])
def test_lbfgs_does_not_move_if_the_gradient_has_the_wrong_sign(before):
    image = to_array(START)
    optimizer = LBFGS(OWN, ENGINE, image)
    if before:
        steps(optimizer, image, valley, before)
    here, asked = ENGINE.copy(image), []

    def misleading(image):
        asked.append(image)
        return evaluation_of(Quadratic(centre=here)(image).losses, to_array(np.ones(SHAPE)), None)

    assert not list(optimizer.advance(image, misleading(image), misleading))
    np.testing.assert_array_equal(to_numpy(image), to_numpy(here))
    assert len(asked) == 1 + TRIALS * (2 if before else 1)
    assert len(optimizer.state()["changes"]) == 0


@pytest.mark.parametrize("broken", [{"loss": math.nan}, {"loss": math.inf}, {"gradient": math.nan}], ids=str)
def test_a_non_finite_trial_of_lbfgs_is_shortened(broken):
    image, whole, objective = to_array(START), to_array(START), BreaksAt(Quadratic(), [1, 2, 4], **broken)
    steps(LBFGS(OWN, ENGINE, whole), whole, Quadratic(), 1)
    optimizer = LBFGS(OWN, ENGINE, image)
    move = steps(optimizer, image, objective, 1)
    assert move.learning_rate == pytest.approx(0.01)
    assert relative_error(to_numpy(image) - START, 0.01 * (to_numpy(whole) - START)) < 1e-4
    (move,) = optimizer.advance(image, move.evaluation, objective)
    assert move.learning_rate == pytest.approx(0.1) and len(objective.seen) == 6
    assert math.isfinite(move.evaluation.losses.total) and np.isfinite(to_numpy(move.evaluation.gradient)).all()


def test_if_no_trial_is_accepted_lbfgs_clears_its_history():
    image, calls = to_array(START), itertools.count()

    def objective(image):
        evaluation = valley(image)
        broken = next(calls) in range(3, 3 + TRIALS)
        return evaluation_of(Losses({}, math.nan), evaluation.gradient, None) if broken else evaluation

    optimizer = LBFGS(OWN, ENGINE, image)
    evaluation = steps(optimizer, image, objective, 2).evaluation
    assert len(optimizer.state()["changes"]) == 2
    before = to_numpy(image)
    (move,) = optimizer.advance(image, evaluation, objective)
    (change,) = optimizer.state()["changes"]
    np.testing.assert_array_equal(change, (to_numpy(image) - before)[0])
    downwards = -descent.smoothing(to_numpy(evaluation.gradient + evaluation.tv_gradient).astype(np.float64))
    expected = move.learning_rate * OWN.first_step * START.size**0.5 * downwards / np.linalg.norm(downwards)
    assert relative_error(change, expected[0]) < 1e-4


def test_pairs_without_positive_curvature_are_not_stored():
    """Where the slope keeps increasing, every step is twice as long as the previous one."""
    image = to_array(START)
    optimizer = LBFGS(OWN, ENGINE, image)
    for number in range(4):
        before = to_numpy(image)
        steps(optimizer, image, Quadratic(-1.0), 1)
        expected = 2**number * OWN.first_step * START.size**0.5
        assert np.linalg.norm(to_numpy(image) - before) == pytest.approx(expected, rel=1e-5)
        assert len(optimizer.state()["changes"]) == 0


def test_a_full_step_near_the_lowest_total_is_accepted():
    """Rounding may increase a total slightly that should decrease; a shorter step would not help."""
    image = to_array(START)

    def rounded(rise):
        def evaluate(image):
            found = Quadratic(1.0)(image)
            higher = 100.0 if (to_numpy(image) == START.astype(np.float32)).all() else 100.0 * (1 + rise)
            return evaluation_of(Losses({("content", "rounded"): higher}, 0.0), found.gradient, None)

        return evaluate

    for rise, taken in ((0.9e-3, True), (1.1e-3, False)):
        image[:] = to_array(START)
        moves = list(LBFGS(OWN, ENGINE, image).advance(image, rounded(rise)(image), rounded(rise)))
        assert [move.learning_rate for move in moves] == ([1.0] if taken else [])


def test_lbfgs_stores_its_last_pairs():
    found = course(OWN, 8)
    images = [image[0] for _, _, image, _ in found]
    gradients = [
        to_numpy(sum((valley(to_array([image])).gradient, valley(to_array([image])).tv_gradient)))[0]
        for image in images
    ]
    for step, _, _, state in found:
        first = max(0, step - OWN.history)
        assert len(state["changes"]) == len(state["differences"]) == step - first
        for number in range(first, step):
            np.testing.assert_array_equal(state["changes"][number - first], images[number + 1] - images[number])
            np.testing.assert_array_equal(
                state["differences"][number - first], gradients[number + 1] - gradients[number]
            )


def test_lbfgs_does_not_use_the_gradient_array_of_an_earlier_evaluation():
    gradient = ENGINE.zeros(SHAPE)

    def fleeting(image):
        evaluation = Quadratic(1.5, centre=3.0)(image)
        ENGINE.assign(gradient, evaluation.gradient)
        return evaluation_of(evaluation.losses, gradient, None)

    found, expected = to_array(START), to_array(START)
    steps(LBFGS(OWN, ENGINE, found), found, fleeting, 3)
    steps(LBFGS(OWN, ENGINE, expected), expected, Quadratic(1.5, centre=3.0), 3)
    np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


@pytest.mark.parametrize("done", range(8))
def test_lbfgs_restored_after_any_step_resumes_bit_for_bit(done):
    """Also before its first step, and after its history was full."""
    whole = course(OWN, 9)
    np.testing.assert_equal(course(OWN, 9, restored=whole[done]), whole[done + 1 :])


# Bounds.


def bowl(seed: int):
    """A coupled quadratic objective whose lowest point lies outside the displayable range in about half of its values.

    Returns the objective for arrays, and value and gradient in float64.
    """
    generator = np.random.default_rng(seed)
    size = START.size
    roots = generator.standard_normal((size, size)) / size**0.5
    matrix, centre = roots @ roots.T + 0.3 * np.eye(size), generator.normal(0.0, 250.0, size)

    def exact(flat):
        gradient = matrix @ (flat - centre)
        return 0.5 * float((flat - centre) @ gradient), gradient

    def objective(image):
        value, gradient = exact(to_numpy(image).astype(np.float64).ravel())
        return evaluation_of(Losses({("content", "bowl"): value}, 0.0), to_array(gradient.reshape(SHAPE)), None)

    return objective, exact


@pytest.mark.parametrize("name", ["lbfgs", "lbfgsb", "adam", "sgd"])
@pytest.mark.parametrize("space", ["rgb255", "torchvision"])
def test_with_bounds_every_image_is_displayable_and_the_last_is_the_best_of_these(name, space):
    from scipy.optimize import minimize

    black, white = (limit.astype(np.float32) for limit in spaces.displayable(space))
    objective, exact = bowl(3)
    limits = [np.broadcast_to(limit, SHAPE).ravel() for limit in (black, white)]
    best = minimize(exact, np.zeros(START.size), jac=True, bounds=[*zip(*limits)], options={"ftol": 1e-15}).fun
    image = to_array(10 * START)
    chosen = settings(name=name, bounds="displayable", first_step=None, learning_rate=0.3, schedule=None)
    optimizer, found = create(chosen, ENGINE, image, space), math.inf
    low, high = pixels.displayable_range(space)
    assert (to_numpy(image) >= low).all() and (to_numpy(image) <= high).all()
    evaluation = objective(image)
    for _ in range({"adam": 1500}.get(name, 150)):
        for move in optimizer.advance(image, evaluation, objective):
            evaluation = move.evaluation
            assert (to_numpy(image) >= low).all() and (to_numpy(image) <= high).all()
        found = min(found, evaluation.losses.total)
    assert found == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("bounds", ["none", "displayable"])
def test_the_first_trial_of_lbfgsb_has_its_length(bounds):
    image, objective = to_array(START), Quadratic(70.0, centre=3.0)
    optimizer = create(settings(name="lbfgsb", bounds=bounds, first_step=0.5), ENGINE, image, "rgb255")
    next(optimizer.advance(image, objective(image), objective))
    assert np.linalg.norm(to_numpy(image) - START) == pytest.approx(0.5 * START.size**0.5, rel=1e-4)


def test_without_bounds_an_image_leaves_the_displayable_range():
    image = to_array(START)
    steps(
        create(settings(bounds="none", learning_rate=0.5), ENGINE, image, "rgb255"),
        image,
        Quadratic(1.0, centre=900.0),
        3,
    )
    assert (to_numpy(image) > 255).all()


# SciPy's L-BFGS-B.

ROUNDS = settings(name="lbfgsb", evaluations=5, history=3, rounds=3)


def test_lbfgsb_evaluates_the_same_points_as_scipy():
    expected = descent.descend(ROUNDS.model_dump(), valley_exactly, ROUNDED, 100)
    found = course(ROUNDS, 100)
    assert len(found) == len(expected) > 3 * ROUNDS.evaluations
    for (step, losses, image, state), (point, evaluation, _) in zip(found, expected):
        if state["rounds"] == 0:
            np.testing.assert_array_equal(image, point.astype(np.float32), err_msg=f"step {step}")
        # Between rounds the image is rounded to float32.
        assert relative_error(image, point) < 1e-5
        assert losses.layers == pytest.approx(evaluation.losses, rel=1e-4)


@pytest.mark.parametrize("rounds", [1, 2])
def test_lbfgsb_ends_after_its_rounds(rounds):
    found = course(ROUNDS.model_copy(update={"rounds": rounds}), 100)
    assert int(found[-1][3]["rounds"]) == rounds - 1
    assert len(found) < len(course(ROUNDS, 100))
    image = to_array(START)
    optimizer = LBFGSB(ROUNDS.model_copy(update={"rounds": rounds}), ENGINE, image)
    for _ in range(rounds):
        assert list(optimizer.advance(image, valley(image), valley))
    assert not list(optimizer.advance(image, valley(image), valley))


def test_a_round_of_lbfgsb_ends_where_scipy_does():
    """After a failed line search, here because the gradient has the wrong sign, that is the start of the search."""
    image = ENGINE.zeros(SHAPE)
    optimizer = LBFGSB(ROUNDS, ENGINE, image)

    def misleading(image):
        return evaluation_of(Quadratic()(image).losses, to_array(np.ones(SHAPE)), None)

    visited = [to_numpy(image) for _ in optimizer.advance(image, misleading(image), misleading)]
    assert visited[-1].any()
    assert not to_numpy(image).any()


LENGTH = 12  # of ROUNDS, into the third round


@pytest.mark.parametrize("done", range(LENGTH))
def test_lbfgsb_restored_after_any_evaluation_resumes_bit_for_bit(done):
    expected = course(ROUNDS, LENGTH)
    found = course(ROUNDS, LENGTH, restored=expected[done])
    assert [step for step, *_ in found] == list(range(done + 1, LENGTH + 1))
    for (_, losses, image, state), (_, expected_losses, expected_image, expected_state) in zip(
        found, expected[done + 1 :]
    ):
        assert losses == expected_losses
        np.testing.assert_array_equal(image, expected_image)
        np.testing.assert_equal(state, expected_state)


def test_an_abandoned_lbfgsb_leaves_no_thread():
    before = threading.active_count()
    image = to_array(START)
    moves = LBFGSB(ROUNDS, ENGINE, image).advance(image, valley(image), valley)
    next(moves)
    assert threading.active_count() == before + 1
    moves.close()
    assert threading.active_count() == before


def test_lbfgsb_leaves_no_thread_after_an_exception_of_the_objective():
    before = threading.active_count()
    asked = []

    def failing(image):
        asked.append(image)
        if len(asked) == 3:
            raise ArithmeticError
        return valley(image)

    image = to_array(START)
    with pytest.raises(ArithmeticError):
        list(LBFGSB(ROUNDS, ENGINE, image).advance(image, valley(image), failing))
    assert threading.active_count() == before


# Going back.


@pytest.mark.parametrize("name", ["sgd", "adam", "accept_reject"])
def test_a_rollback_restores_everything_but_the_step_size(name):
    """The smaller step size persists in saved and resized states."""
    objective = Quadratic(1.5, centre=3.0)
    image, chosen = to_array(START), settings(name=name, schedule=Schedule(step=3, factor=0.5))
    optimizer = create(chosen, ENGINE, image, "rgb255")
    steps(optimizer, image, objective, 2)
    state, kept = optimizer.rollback_state(), ENGINE.copy(image)
    steps(optimizer, image, objective, 5)
    optimizer.roll_back(state, 0.5)
    optimizer.roll_back(state, 0.5)
    found = {**optimizer.state(), **optimizer.resized_state(*SHAPE[2:])}
    assert found.pop("shortening") == 0.25
    for key, value in found.items():
        np.testing.assert_array_equal(value, state[key])
    (move,) = optimizer.advance(kept, objective(kept), objective)
    assert move.learning_rate == 0.1 / 4


def test_after_a_rollback_lbfgsb_starts_a_round_at_the_image():
    objective = Quadratic(1.5, centre=3.0)
    image = to_array(START)
    optimizer = LBFGSB(settings(name="lbfgsb", evaluations=20), ENGINE, image)
    moves = optimizer.advance(image, objective(image), objective)
    next(moves), next(moves)
    state, kept = optimizer.rollback_state(), to_numpy(image)
    moves.close()
    optimizer.roll_back(state, 0.5)
    ENGINE.assign(image, kept)
    assert optimizer.state()["evaluations"] == 0 and optimizer.resized_state(9, 9)["shortening"] == 0.5
    moves = optimizer.advance(image, objective(image), objective)
    next(moves)
    np.testing.assert_array_equal(optimizer.state()["round_start"], kept)
    moves.close()


def test_after_a_rollback_lbfgs_has_a_shorter_first_step_and_no_history():
    image, again = to_array(START), to_array(START)
    optimizer = LBFGS(OWN, ENGINE, image)
    rollback_state = optimizer.rollback_state()
    steps(optimizer, image, Quadratic(centre=300.0), 1)
    whole = to_numpy(image) - START
    assert rollback_state.keys() == {"shortening"}
    optimizer.roll_back(rollback_state, 0.5)
    optimizer.roll_back(rollback_state, 0.5)
    assert optimizer.state()["shortening"] == 0.25 and len(optimizer.state()["changes"]) == 0
    steps(optimizer, again, Quadratic(centre=300.0), 1)
    assert relative_error(to_numpy(again) - START, whole / 4) < 1e-5


def test_lbfgs_keeps_its_step_size_but_not_its_history_at_another_size():
    image, larger = to_array(START), ENGINE.zeros((1, 3, 9, 11))
    optimizer, other = LBFGS(OWN, ENGINE, image), LBFGS(OWN, ENGINE, larger)
    optimizer.roll_back(optimizer.rollback_state(), 0.5)
    steps(optimizer, image, valley, 2)
    assert len(optimizer.state()["changes"]) == 2
    other.restore(optimizer.resized_state(9, 11))
    assert other.state()["shortening"] == 0.5
    assert other.state()["changes"].shape == other.state()["differences"].shape == (0, 3, 9, 11)
    steps(other, larger, Quadratic(centre=300.0), 1)
    assert np.linalg.norm(to_numpy(larger)) == pytest.approx(
        0.5 * OWN.first_step * math.prod(larger.shape) ** 0.5, rel=1e-5
    )
