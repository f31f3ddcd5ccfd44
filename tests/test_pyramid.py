"""The scales of a run: their sizes, what is carried over from one to the next, and resuming within any of them."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from helpers import BreaksAt, to_numpy
from shrunk import curve_of, shrunk

from styletransfer.optimization.optimizers import SGD, Adam
from styletransfer.pictures import images
from styletransfer.session import binding, inputs
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve
from styletransfer.support.errors import Diverged, UserError

OPTIMIZERS = {
    "sgd": "{name: sgd, learning_rate: 0.3, clip_norm: 2000, schedule: {step: 4, factor: 0.5}}",
    "adam": "{name: adam, learning_rate: 3}",
    "lbfgs": "{name: lbfgs, history: 3}",
    "lbfgsb": "{name: lbfgsb, evaluations: 5}",
    "accept_reject": "{name: accept_reject, learning_rate: 3}",
}
STOPS_AT_ONCE = "stop={max_iterations: 9, relative_change: 1e9}"
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def pyramid_config(optimizer="sgd", *changes):
    scales = ["scales=[24, 40, 67]", "stop.max_iterations=[7, 6, 5]", f"optimizer={OPTIMIZERS[optimizer]}"]
    return shrunk("slim", ["style.weight=60", "init.kind=content", *scales, *changes])


def pyramid_of(settings, state=None, **more):
    plan = resolve(settings, begun=state)
    return Pyramid(plan, inputs.read_pictures(plan), inputs.load_parameters(plan), state, **more)


def pictures_of(settings):
    return inputs.read_pictures(resolve(settings))


def test_long_edges_double_up_to_that_of_the_result():
    assert shrunk("slim", ["scales=3", "size=500"]).long_edges == [125, 250, 500]
    assert shrunk("slim").long_edges == [67]
    assert shrunk("coursera_vgg19", ["scales=2", "shape=[60, 90]"]).long_edges == [45, 90]


def test_steps_are_for_every_scale_or_for_each():
    assert shrunk("slim", ["scales=3", "size=500", "stop.max_iterations=9"]).steps == [9, 9, 9]
    assert shrunk("slim", ["scales=2", "size=500", "stop.max_iterations=[9, 3]"]).steps == [9, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["scales=[67, 24]"], "must increase and end with the long edge of the result, 67"),
        (["scales=[24, 24, 67]"], "must increase"),
        (["scales=[24, 60]"], "must increase and end"),
        (["scales=2", "stop.max_iterations=[1, 2, 3]"], "stop.max_iterations: 3 numbers for 2 scales"),
        (["stop.max_iterations=[]"], "stop.max_iterations"),
        (["scales=0"], "scales: 0: Input should be"),
    ],
)
def test_invalid_scales_are_rejected(changes, message):
    with pytest.raises(UserError) as error:
        shrunk("slim", changes)
    assert message in str(error.value)


def test_a_listed_scale_too_small_for_the_network_is_rejected():
    with pytest.raises(UserError, match="scales: a long edge of 8 gives 8 x 5 pixels, too small for the layer proj5_1"):
        pictures_of(shrunk("slim", ["scales=[8, 67]"]))


def test_a_number_of_scales_omits_those_too_small():
    settings = shrunk("slim", ["scales=4", "stop.max_iterations=[9, 8, 7, 6]"])
    assert [scale.width for scale in resolve(settings).scales] == [34, 67]
    assert pyramid_of(settings).steps == [7, 6]


def test_pictures_keep_their_proportions_at_every_scale():
    settings = shrunk("slim", ["scales=[40, 80]", "size=80", "style.size=60"])
    small, large = pictures_of(settings)
    assert max(large.content.shape) == 80 and max(small.content.shape) == 40
    assert max(large.styles[0][1].shape) == 60 and max(small.styles[0][1].shape) == 30
    matched = pictures_of(shrunk("starry_mxnet", ["scales=[40, 80]", "size=80"]))
    assert [scale.styles[0][1].shape[:2] for scale in matched] == [scale.content.shape[:2] for scale in matched]
    fixed = pictures_of(shrunk("coursera_vgg19", ["scales=[45, 90]", "shape=[60, 90]"]))
    assert [scale.content.shape[:2] for scale in fixed] == [(30, 45), (60, 90)]


@every_optimizer
def test_every_scale_makes_its_steps_and_the_loss_decreases(optimizer):
    records = [
        (record.step, record.scale, record.losses.total) for record in pyramid_of(pyramid_config(optimizer)).records()
    ]
    steps, scales, totals = zip(*records)
    assert list(steps) == list(range(19))
    assert list(scales) == [0] * 8 + [1] * 6 + [2] * 5
    assert totals[7] < totals[0] and totals[18] < totals[0]


def test_the_image_and_the_velocity_are_carried_to_the_next_scale():
    pyramid = pyramid_of(pyramid_config())
    steps = pyramid.records()
    small = list(itertools.islice(steps, 8))[-1]
    image, velocity = to_numpy(small.image), pyramid.state().optimizer["velocity"]
    next(steps)
    assert pyramid.image.shape[3] == 40
    moved = to_numpy(pyramid.image) - images.enlarged(image, *pyramid.image.shape[2:])
    carried = images.enlarged(velocity, *pyramid.image.shape[2:])
    # The first step of the new scale is momentum x velocity, less rate x gradient.
    assert float((moved * carried).sum()) > 0.3 * np.linalg.norm(moved) * np.linalg.norm(carried)
    assert pyramid.state().optimizer["updates"] == 8


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_carried_state_differs_only_in_size(kind):
    run = pyramid_of(pyramid_config(kind.__name__.lower()))
    list(run.records())
    state, optimizer = run.state(), run._run.optimizer
    carried = optimizer.resized_state(90, 100)
    for name, value in carried.items():
        assert value.shape == ((1, 3, 90, 100) if value.ndim else ())
        if not value.ndim:
            assert value == state.optimizer[name]


def test_enlarging_keeps_values_outside_the_displayable_range():
    array = np.random.default_rng(0).normal(0, 300, (1, 3, 9, 11)).astype(np.float32)
    assert images.enlarged(array, 9, 11) is array
    large = images.enlarged(array, 27, 33)
    assert large.shape == (1, 3, 27, 33) and large.dtype == np.float32
    np.testing.assert_allclose(large[:, :, 1::3, 1::3], array, rtol=1e-5)  # the middle of every old pixel
    flat = images.enlarged(np.full((1, 3, 4, 5), -7.5, np.float32), 10, 10)
    np.testing.assert_allclose(flat, -7.5)


@every_optimizer
@pytest.mark.parametrize("stop", [3, 7, 8, 13])
def test_resuming_from_a_state_gives_the_same_run(optimizer, stop):
    settings = pyramid_config(optimizer)
    whole = [
        (record.step, record.scale, record.losses, record.gradient_norm) for record in pyramid_of(settings).records()
    ]
    first = pyramid_of(settings)
    records = first.records()
    for record in records:
        if record.step == stop:
            break
    state = first.state()
    records.close()
    second = pyramid_of(settings, state=state, last_change=record.relative_change)
    rest = [(record.step, record.scale, record.losses, record.gradient_norm) for record in second.records()]
    assert rest == whole[stop + 1 :]


@every_optimizer
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_resuming_from_the_last_step_of_a_scale_ends_with_the_same_image(optimizer, stop):
    """L-BFGS-B is in a line search there, far from the best image, which it restores."""
    settings = pyramid_config(optimizer, "stop.max_iterations=[1, 3, 2]", "optimizer.first_step=200")
    whole = pyramid_of(settings)
    records, states = zip(*((told(record), whole.state()) for record in whole.records()))
    second = pyramid_of(settings, state=states[stop])
    assert [told(record) for record in second.records()] == list(records[stop + 1 :])
    np.testing.assert_array_equal(to_numpy(second.image), to_numpy(whole.image))


@every_optimizer
def test_resuming_when_the_stopping_rule_holds_ends_with_the_same_image(optimizer):
    settings = pyramid_config(optimizer, "scales=1", STOPS_AT_ONCE, "optimizer.first_step=200")
    whole = pyramid_of(settings)
    (*_, last) = [(record.relative_change, whole.state()) for record in whole.records()]
    second = pyramid_of(settings, state=last[1], last_change=last[0])
    assert not list(second.records())
    np.testing.assert_array_equal(to_numpy(second.image), to_numpy(whole.image))


def test_a_stopping_rule_ends_a_scale_not_the_run():
    settings = pyramid_config("sgd", "stop.relative_change=1e9")
    scales = [record.scale for record in pyramid_of(settings).records()]
    assert scales == [0, 0, 1, 2]


def test_one_scale_equals_a_run_without_scales():
    plain, listed = shrunk("slim"), shrunk("slim", ["scales=[67]", "stop.max_iterations=[6]"])
    assert curve_of(plain).rows[-1][2] == curve_of(listed).rows[-1][2]


def test_starting_at_small_scales_reaches_a_lower_loss():
    alone = shrunk("slim", ["size=96", "stop.max_iterations=6"])
    climbed = shrunk("slim", ["size=96", "scales=[48, 96]", "stop.max_iterations=[20, 6]"])
    assert curve_of(climbed).rows[-1][2] < curve_of(alone).rows[-1][2]


def test_a_scale_with_a_non_finite_start_has_diverged(monkeypatch):
    broken_at(monkeypatch, [8])  # the first that the second scale sees
    pyramid = pyramid_of(pyramid_config())
    with pytest.raises(Diverged, match=r"^step 7: .*before any update at this size"):
        list(pyramid.records())
    assert pyramid.image.shape[3] == 40 and np.isfinite(to_numpy(pyramid.image)).all()


def test_divergence_at_a_scale_leaves_its_best_image(monkeypatch):
    broken_at(monkeypatch, range(11, 99))
    settings = pyramid_config("sgd", "stop.max_iterations=[7, 9, 5]")
    pyramid = pyramid_of(settings)
    records = []
    with pytest.raises(Diverged, match="rollbacks with smaller steps did not help"):
        for record in pyramid.records():
            records.append((record.step, bool(record.rollback)))
    assert [step for step, rollback in records if rollback] == [10, 11, 12, 13, 14]
    undisturbed = pyramid_of(pyramid_config("sgd", "stop.max_iterations=[7, 0, 0]"))
    small = to_numpy(list(itertools.islice(undisturbed.records(), 8))[-1].image)
    np.testing.assert_array_equal(to_numpy(pyramid.image), images.enlarged(small, *pyramid.image.shape[2:]))


@every_optimizer
def test_resuming_around_rollbacks_gives_the_same_run(optimizer, monkeypatch):
    broken_at(monkeypatch, [3, 12, 19] if optimizer == "lbfgs" else [3, 11, 18])  # never the first image of a scale
    settings = pyramid_config(optimizer)
    whole = pyramid_of(settings)
    records, states = zip(*((told(record), whole.state()) for record in whole.records()))
    bad = [step for step, *_, rollback in records if rollback]
    assert bad == ([] if optimizer == "lbfgs" else [3, 10, 16])  # the line search of lbfgs makes no bad step
    for done in (2, 3, 7, 10, 12, 16):
        rest = pyramid_of(settings, state=states[done])
        assert [told(record) for record in rest.records()] == list(records[done + 1 :])


def broken_at(monkeypatch, numbers):
    """Replace the losses of some images in the objectives of all scales, which share one image counter."""
    broken, prepare = BreaksAt(None, numbers, loss=math.inf), binding.bind

    def prepared(*arguments):
        made = prepare(*arguments)

        def objective(image):
            broken.objective = made.objective
            return broken(image)

        return dataclasses.replace(made, objective=objective)

    monkeypatch.setattr(binding, "bind", prepared)


def told(record):
    """The contents of a record without the time; numbers as text, since NaN does not equal itself."""
    numbers = (record.relative_change, record.gradient_norm, record.learning_rate)
    return (record.step, record.scale, record.losses, *map(repr, numbers), record.rollback)
