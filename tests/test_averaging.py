"""The exponential moving average of images: its closed form, its state, and what becomes of it in runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import ENGINE, BreaksAt, Quadratic, random_parameters, to_array, to_numpy

from styletransfer import config as configs
from styletransfer.config import OptimizerSettings
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.loop import StoppingRule, optimize
from styletransfer.optimization.optimizers import create
from styletransfer.pictures import images
from styletransfer.session.inputs import Pictures
from styletransfer.session.picture_sizes import Scale
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve
from styletransfer.support.errors import Diverged, UserError

START = np.random.default_rng(1).normal(0.0, 10.0, (1, 3, 4, 5))
OBJECTIVE = Quadratic(1.5, centre=3.0)
KINDS = {
    "sgd": OptimizerSettings(name="sgd", learning_rate=0.1, momentum=0.8),
    "adam": OptimizerSettings(name="adam", learning_rate=0.5),
}
both = pytest.mark.parametrize("name", KINDS)


def started(name, average):
    image = to_array(START)
    return image, create(KINDS[name].model_copy(update={"average": average}), ENGINE, image, "rgb255")


def iterates(name, count):
    """The images of a run without averaging, that at the start included."""
    image, optimizer = started(name, 0.0)
    return [record.values() for record in optimize(ENGINE, image, OBJECTIVE, optimizer, StoppingRule(count))]


def weighted(images_so_far, decay):
    """The bias-corrected average, by its definition, in float64."""
    shares = decay ** np.arange(len(images_so_far))[::-1]
    return np.tensordot(shares / shares.sum(), np.array(images_so_far, dtype=np.float64), axes=1)


@both
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_it_is_the_bias_corrected_average_of_all_images(name, decay):
    image, optimizer = started(name, decay)
    found = [record.values() for record in optimize(ENGINE, image, OBJECTIVE, optimizer, StoppingRule(30))]
    plain = iterates(name, 30)
    for step in (0, 1, 2, 7, 30):
        np.testing.assert_allclose(found[step], weighted(plain[: step + 1], decay), rtol=1e-5, atol=1e-5)


def test_it_is_that_of_style_transfer_pytorch():
    """Its class EMA keeps the sum that is not corrected, from 0, and divides where it is read."""
    image, optimizer = started("adam", 0.9)
    found = [record.values() for record in optimize(ENGINE, image, OBJECTIVE, optimizer, StoppingRule(12))][-1]
    value, remaining = np.zeros_like(START), 1.0
    for each in iterates("adam", 12):
        remaining *= 0.9
        value = 0.9 * value + (1 - 0.9) * each
    np.testing.assert_allclose(found, value / (1 - remaining), rtol=1e-5, atol=1e-5)


@both
def test_the_optimizer_does_not_see_it(name):
    image, optimizer = started(name, 0.9)
    losses = [record.losses.total for record in optimize(ENGINE, image, OBJECTIVE, optimizer, StoppingRule(12))]
    other, plain = started(name, 0.0)
    assert losses == [record.losses.total for record in optimize(ENGINE, other, OBJECTIVE, plain, StoppingRule(12))]
    np.testing.assert_array_equal(to_numpy(image), to_numpy(other))


@both
def test_a_state_goes_on_exactly(name):
    image, optimizer = started(name, 0.9)
    for _ in optimize(ENGINE, image, OBJECTIVE, optimizer, StoppingRule(7)):
        pass
    values, state = to_numpy(image), optimizer.state()
    for _ in optimize(ENGINE, image, OBJECTIVE, optimizer, StoppingRule(15), after=7):
        pass
    again, restored = to_array(values), started(name, 0.9)[1]
    restored.restore(state)
    for _ in optimize(ENGINE, again, OBJECTIVE, restored, StoppingRule(15), after=7):
        pass
    np.testing.assert_array_equal(to_numpy(restored.result(again)), to_numpy(optimizer.result(image)))
    np.testing.assert_array_equal(to_numpy(again), to_numpy(image))


@both
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_step_that_is_rolled_back_does_not_count(name, loss):
    image, optimizer = started(name, 0.9)
    broken = BreaksAt(OBJECTIVE, [13], loss=loss, gradient=math.nan)
    *_, last = optimize(ENGINE, image, broken, optimizer, StoppingRule(13))
    assert last.rollback
    np.testing.assert_allclose(
        to_numpy(optimizer.result(image)), weighted(iterates(name, 10), 0.9), rtol=1e-5, atol=1e-5
    )


def test_where_the_run_diverges_it_is_the_best():
    image, optimizer = started("sgd", 0.9)
    with pytest.raises(Diverged):
        for _ in optimize(
            ENGINE,
            image,
            BreaksAt(OBJECTIVE, range(11, 10_000), math.nan),
            optimizer,
            StoppingRule(99),
            guard=Guard(ENGINE),
        ):
            pass
    np.testing.assert_allclose(
        to_numpy(optimizer.result(image)), weighted(iterates("sgd", 10), 0.9), rtol=1e-5, atol=1e-5
    )


def test_a_decay_of_0_is_the_last_image():
    image, optimizer = started("adam", 0.0)
    assert optimizer.result(image) is image


@pytest.mark.parametrize("name", ["lbfgs", "lbfgsb", "accept_reject"])
def test_others_are_refused(name):
    values = {"content": {"image": "a"}, "style": {"images": "b"}, "optimizer": {"name": name, "average": 0.99}}
    with pytest.raises(UserError) as caught:
        configs.parse(values, "mine.yaml")
    assert str(caught.value) == f"mine.yaml: optimizer: average (0.99) goes with sgd and adam, not with {name}"


@pytest.mark.parametrize("average", [1, 1.5, -0.1])
def test_a_decay_is_from_0_to_below_1(average):
    values = {"content": {"image": "a"}, "style": {"images": "b"}, "optimizer": {"name": "adam", "average": average}}
    with pytest.raises(UserError, match=r"optimizer\.average: "):
        configs.parse(values, "mine.yaml")


# In a pyramid.


def pyramid_of(steps):
    """A run at 24 and 48 pixels, and its pictures."""
    values = {
        "content": {"image": "-", "layers": {"relu2_1": 1}},
        "style": {"images": "-", "layers": {"relu1_1": 1, "relu2_1": 1}},
        "model": "vgg_slim",
        "size": 48,
        "scales": [24, 48],
        "init": {"kind": "noise"},
        "optimizer": {"name": "adam", "learning_rate": 5, "average": 0.8},
        "stop": {"max_iterations": list(steps)},
        "precision": "float32",
    }
    sizes = [Scale(side, side, ((side, side),)) for side in (24, 48)]
    plan = resolve(configs.parse(values, "made"), sizes)
    picture = np.random.default_rng(0).random((48, 48, 3)).astype(np.float32)
    pictures = []
    for side in (24, 48):
        content, style = images.resize(picture, side, side), images.resize(picture[::-1], side, side)
        pictures.append(Pictures(content, ((1.0, style),), None))
    return Pyramid(plan, pictures, random_parameters("vgg_slim"))


def test_the_next_scale_starts_from_it():
    """A new average begins with it, as that of style-transfer-pytorch does."""
    found = {record.step: record.values() for record in pyramid_of([4, 0]).records()}
    pyramid = pyramid_of([4, 0])
    for _ in pyramid.records():
        pass
    assert found[4].shape == (1, 3, 24, 24)
    np.testing.assert_array_equal(to_numpy(pyramid.image), images.enlarged(found[4], 48, 48))
    np.testing.assert_array_equal(pyramid.state().image, to_numpy(pyramid.image))


def test_the_checkpoint_has_the_image_itself_and_the_average():
    pyramid = pyramid_of([0, 5])
    for _ in pyramid.records():
        pass
    state = pyramid.state()
    assert (state.image != state.optimizer["average"]).any()
    np.testing.assert_array_equal(state.optimizer["average"], to_numpy(pyramid.image))
    assert state.optimizer["averaged"] == 6
