"""The loop: its records, stopping rules, resumption and divergence."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from helpers import ENGINE, BreaksAt, Quadratic, to_array, to_numpy

from styletransfer.config import OptimizerSettings, Schedule
from styletransfer.engines import Numbers
from styletransfer.losses.objective import Evaluation, Losses
from styletransfer.optimization.divergence_guard import MAX_ROLLBACKS
from styletransfer.optimization.loop import StoppingRule, optimize, relative_change
from styletransfer.optimization.optimizers import SGD, create
from styletransfer.support.errors import Diverged

START = np.random.default_rng(1).normal(0.0, 10.0, (1, 3, 4, 5))
OBJECTIVE = Quadratic(1.0, centre=3.0)
SETTINGS = OptimizerSettings(learning_rate=0.2, momentum=0.0, schedule=Schedule(step=2, factor=0.5))


def run(stop, objective=OBJECTIVE, settings=SETTINGS):
    """All records of a run and copies of the image at each."""
    image = to_array(START)
    records = [
        (record, record.values()) for record in optimize(ENGINE, image, objective, SGD(settings, ENGINE, image), stop)
    ]
    np.testing.assert_array_equal(records[-1][1], to_numpy(image))
    return [record for record, _ in records], [copy for _, copy in records]


def by_hand(count, settings=SETTINGS):
    """The images of plain gradient descent without a schedule, in NumPy float64."""
    images = [START]
    for _ in range(count):
        images.append(images[-1] - settings.learning_rate * (images[-1] - OBJECTIVE.centre))
    return images


def comparable(record):
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)} | {
        "seconds": None,
        "image": None,
    }


def test_the_first_record_is_the_initial_image():
    records, images = run(StoppingRule(max_iterations=3))
    first = records[0]
    np.testing.assert_array_equal(images[0], START.astype(np.float32))
    assert (first.step, first.scale) == (0, 0)
    assert first.losses.total == pytest.approx(0.5 * np.sum((START - 3.0) ** 2), rel=1e-6)
    assert math.isnan(first.relative_change) and math.isnan(first.learning_rate)


def test_every_record_describes_its_own_image():
    records, images = run(StoppingRule(max_iterations=5))
    assert [record.step for record in records] == [0, 1, 2, 3, 4, 5]
    for record, image in zip(records, images):
        distance = image.astype(np.float64) - 3.0
        assert record.losses.total == pytest.approx(0.5 * np.sum(distance**2), rel=1e-5)
        assert record.gradient_norm == pytest.approx(np.linalg.norm(distance), rel=1e-5)
    assert [record.learning_rate for record in records[1:]] == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.05])
    assert all(before.seconds <= after.seconds for before, after in itertools.pairwise(records))


def test_the_gradient_norm_is_the_one_before_clipping_and_without_tv():
    records, _ = run(
        StoppingRule(max_iterations=0),
        Quadratic(1.0, centre=3.0, tv=5.0),
        SETTINGS.model_copy(update={"clip_norm": 0.1}),
    )
    assert records[0].gradient_norm == pytest.approx(np.linalg.norm(START - 3.0), rel=1e-5)


def test_the_relative_change_is_that_of_the_images():
    records, images = run(StoppingRule(max_iterations=4))
    for record, (before, after) in zip(records[1:], itertools.pairwise(images)):
        change = np.linalg.norm(after.astype(np.float64) - before) / np.linalg.norm(after.astype(np.float64))
        assert record.relative_change == pytest.approx(change, rel=1e-4)
    assert relative_change(5.0, 1.0) == 0.2
    assert relative_change(0.0, 1.0) == math.inf


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_it_stops_after_the_last_iteration(limit):
    records, images = run(StoppingRule(max_iterations=limit))
    assert [record.step for record in records] == list(range(limit + 1))
    if limit == 0:
        np.testing.assert_array_equal(images[-1], START.astype(np.float32))


@pytest.mark.parametrize("threshold", [0.1, 0.01, 0.001])
def test_it_stops_at_the_first_step_that_changes_too_little(threshold):
    settings = SETTINGS.model_copy(update={"schedule": None})
    images = by_hand(100)
    changes = [np.linalg.norm(after - before) / np.linalg.norm(after) for before, after in itertools.pairwise(images)]
    expected = next(step for step, change in enumerate(changes, start=1) if change < threshold)
    records, _ = run(StoppingRule(max_iterations=100, relative_change=threshold), settings=settings)
    assert records[-1].step == expected
    assert records[-1].relative_change < threshold <= records[-2].relative_change


def test_without_a_threshold_it_continues_when_nothing_changes():
    records, _ = run(StoppingRule(max_iterations=4, relative_change=0.0), Quadratic(curvature=0.0))
    assert [record.step for record in records] == [0, 1, 2, 3, 4]
    assert records[-1].relative_change == 0


@pytest.mark.parametrize("done", [0, 1, 3, 6])
def test_resuming_after_a_step_gives_the_same_run(done):
    settings = SETTINGS.model_copy(update={"momentum": 0.9, "weight_decay": 0.01})
    objective, stop = Quadratic(1.5, centre=3.0, tv=0.1), StoppingRule(max_iterations=6)
    expected, images = run(stop, objective, settings)

    image = to_array(START)
    optimizer = SGD(settings, ENGINE, image)
    for record in optimize(ENGINE, image, objective, optimizer, stop):
        if record.step == done:
            state, middle = optimizer.state(), to_numpy(image)
    image = to_array(middle)
    optimizer = SGD(settings, ENGINE, image)
    optimizer.restore(state)
    found = list(optimize(ENGINE, image, objective, optimizer, stop, after=done))
    assert list(map(comparable, found)) == list(map(comparable, expected[done + 1 :]))
    np.testing.assert_array_equal(to_numpy(image), images[-1])


def test_elapsed_time_accumulates_and_the_scale_is_recorded():
    image = to_array(START)
    (record,) = optimize(
        ENGINE,
        image,
        OBJECTIVE,
        SGD(SETTINGS, ENGINE, image),
        StoppingRule(max_iterations=1),
        scale=2,
        after=0,
        elapsed=100.0,
    )
    assert record.scale == 2
    assert 100 <= record.seconds < 160


NOT_FINITE = pytest.mark.parametrize(
    "broken", [{"loss": math.nan}, {"loss": math.inf}, {"gradient": math.nan}, {"gradient": math.inf}]
)


@NOT_FINITE
def test_a_non_finite_start_has_diverged(broken):
    image = to_array(START)
    records = optimize(
        ENGINE, image, BreaksAt(OBJECTIVE, [0], **broken), SGD(SETTINGS, ENGINE, image), StoppingRule(max_iterations=5)
    )
    first = next(records)
    assert first.step == 0 and first.diverged
    with pytest.raises(Diverged, match=r"^step 0: .* not finite, before any update"):
        next(records)
    np.testing.assert_array_equal(to_numpy(image), START.astype(np.float32))


@NOT_FINITE
def test_a_non_finite_step_is_rolled_back(broken):
    settings = SETTINGS.model_copy(update={"schedule": None, "momentum": 0.9})
    records, images = run(StoppingRule(max_iterations=5), BreaksAt(OBJECTIVE, [2], **broken), settings)
    assert [record.step for record in records] == [0, 1, 2, 3, 4, 5]
    assert [record.learning_rate for record in records[1:]] == [0.2, 0.2, 0.1, 0.1, 0.1]
    bad = records[2]
    assert bad.rollback.startswith("step 2: ") and "back to step 0" in bad.rollback
    assert not (math.isfinite(bad.losses.total) and math.isfinite(bad.gradient_norm))
    assert math.isnan(bad.relative_change)
    assert not any(record.rollback for record in records if record is not bad)
    expected, after = run(StoppingRule(max_iterations=3), settings=settings.model_copy(update={"learning_rate": 0.1}))
    np.testing.assert_array_equal(images[2:], after)
    assert [record.relative_change for record in records[3:]] == [record.relative_change for record in expected[1:]]


def test_a_rollback_never_satisfies_the_stopping_rule():
    stop = StoppingRule(max_iterations=4, relative_change=1e9)
    records, _ = run(stop, BreaksAt(OBJECTIVE, [1], loss=math.nan))
    assert [record.step for record in records] == [0, 1, 2]


def test_the_last_step_may_be_rolled_back():
    records, images = run(StoppingRule(max_iterations=12), BreaksAt(OBJECTIVE, [12], loss=math.nan))
    assert records[-1].step == 12 and "back to step 10" in records[-1].rollback
    np.testing.assert_array_equal(images[-1], images[10])


def test_far_too_large_steps_diverge_and_leave_the_best_image():
    image = to_array(START)
    settings = SETTINGS.model_copy(update={"learning_rate": 1000.0, "schedule": None})
    records = []
    with pytest.raises(Diverged, match=r"5 rollbacks .* did not help; try a smaller optimizer\.learning_rate"):
        for record in optimize(
            ENGINE, image, OBJECTIVE, SGD(settings, ENGINE, image), StoppingRule(max_iterations=2000)
        ):
            records.append(record)
    np.testing.assert_array_equal(to_numpy(image), START.astype(np.float32))
    assert [record.step for record in records] == list(range(len(records)))
    *_, before, last = records
    assert last.diverged and last.losses.total > 100 * records[0].losses.total
    assert not before.diverged and sum(bool(record.rollback) for record in records) == MAX_ROLLBACKS


@pytest.mark.parametrize("name", ["sgd", "adam", "accept_reject", "lbfgs"])
def test_a_step_waits_for_the_device_once(monkeypatch, name):
    """The first step of L-BFGS waits for its length too."""
    waits, numbers_of = [], ENGINE.numbers
    monkeypatch.setattr(ENGINE, "numbers", lambda scalars: waits.append(scalars) or numbers_of(scalars))
    curvatures = to_array(np.linspace(0.5, 2.0, START.size).reshape(START.shape))

    def objective(image):
        numbers, distance = Numbers(ENGINE), image - 3.0
        gradient = curvatures * distance
        read = numbers.ask([ENGINE.dot(distance, gradient), ENGINE.norm(gradient)])
        return Evaluation(numbers, lambda: (Losses({("content", "bowl"): 0.5 * read()[0]}, 0.0), read()[1]), gradient)

    image = to_array(START)
    optimizer = create(OptimizerSettings(name=name, learning_rate=0.1), ENGINE, image, "rgb255")
    made = [len(waits) for _ in optimize(ENGINE, image, objective, optimizer, StoppingRule(max_iterations=4))]
    assert made == [1, *range(3 if name == "lbfgs" else 2, 7)][:5]
