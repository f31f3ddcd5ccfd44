"""Gram matrices, content and style losses against closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import ENGINE, finite_differences, mxnet, needs_bfloat16, number, relative_error, to_array, to_numpy
from hypothesis import given
from hypothesis import strategies as st
from reference.tensorflow_normal import normal

from styletransfer.config.normalizations import NORMALIZATIONS, LayerFacts
from styletransfer.engines import Bound, Head

shapes = st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 9))  # channels, height, width
seeds = st.integers(0, 2**32 - 1)
LAYER = "features"


def drawn(shape, seed, scale=1.0):
    return np.random.default_rng(seed).normal(0.0, scale, shape).astype(np.float32)


def seeing(features, by_gram=False, precision="float32") -> Bound:
    """A bound network whose only layer is its window itself, after a forward pass of features (N, h, w)."""
    if ENGINE.name == "mxnet":
        from styletransfer.engines.mxnet.network import MXNetBound

        symbols = {LAYER: mxnet().sym.identity(mxnet().sym.Variable("data"))}
        bound = MXNetBound(ENGINE, symbols, {}, features.shape, True, [LAYER] if by_gram else [])
    else:
        from styletransfer.engines.torch.network import DTYPES, TorchBound

        bound = TorchBound(ENGINE, lambda image: {LAYER: image.clone()}, DTYPES[precision], True)
    bound.forward(to_array(features[None]))
    return bound


def gram_of(features, mask=None):
    """The raw Gram matrix of features (N, h, w)."""
    return to_numpy(seeing(features).gram(LAYER, None if mask is None else to_array(mask)))


def loss_and_gradient(group, features, target, factor=1.0, by_gram=True):
    """The raw content or style loss of features (N, h, w), and `factor` times its gradient."""
    bound, target = seeing(features, by_gram and group == "style"), to_array(target)
    if group == "content":
        loss, head = bound.squared_distance(LAYER, target), Head(target=target, coefficient=factor)
    else:
        difference = bound.gram(LAYER) - target
        loss, head = ENGINE.dot(difference, difference), Head(gram=difference * (2 * factor))
    loss = number(loss)
    return loss, to_numpy(bound.backward({LAYER: head}))[0]


def flat(features):
    return features.reshape(len(features), -1).astype(np.float64)


def symmetric(channels, seed):
    square = drawn((channels, channels), seed, 3.0)
    return square + square.T


def test_gram_of_the_published_example():
    # The exercise of the Coursera course on convolutional networks: 3 channels at 2 positions.
    features = np.array([[-1.683445, 1.8942857], [4.189092, 1.3846824], [3.8925915, 2.3524866]])
    expected = [
        [6.42230511, -4.42912197, -2.09668207],
        [-4.42912197, 19.46583748, 19.56387138],
        [-2.09668207, 19.56387138, 20.6864624],
    ]
    np.testing.assert_allclose(gram_of(features.reshape(3, 1, 2)), expected, rtol=1e-6)


@pytest.mark.parametrize(("group", "published"), [("content", 6.76559), ("style", 9.19028)])
def test_losses_of_the_published_examples(group, published):
    # The same exercise: tf.random_normal([1, 4, 4, 3], mean=1, stddev=4) twice, with tf.set_random_seed(1).
    targets, features = ((4 * normal(48, 1, operation) + 1).reshape(16, 3).T.reshape(3, 4, 4) for operation in (3, 9))
    loss, _ = loss_and_gradient(group, features, gram_of(targets) if group == "style" else targets[None])
    coefficient = getattr(NORMALIZATIONS["coursera"], group)(LayerFacts(3, 16, 16, 1.0))
    assert coefficient * loss == pytest.approx(published, rel=1e-6)


@given(shapes, seeds)
def test_a_gram_matrix_is_the_product_of_features_with_their_transpose(shape, seed):
    features = drawn(shape, seed)
    found = gram_of(features)
    assert relative_error(found, flat(features) @ flat(features).T) < 1e-6
    np.testing.assert_allclose(found, found.T, rtol=1e-5, atol=1e-5)


@given(shapes, seeds)
def test_a_masked_gram_matrix_is_that_of_the_unmasked_positions(shape, seed):
    features, mask = drawn(shape, seed), np.random.default_rng(seed).integers(0, 2, shape[1:])
    counted = features[:, mask == 1].astype(np.float64)
    np.testing.assert_allclose(gram_of(features, mask), counted @ counted.T, rtol=1e-5, atol=1e-5)


@needs_bfloat16
def test_a_gram_in_bfloat16_is_rounded_once():
    bound = seeing(drawn((7, 60, 50), 1) + 1, precision="bfloat16")
    exact = flat(to_numpy(bound.features(LAYER))[0])
    np.testing.assert_allclose(to_numpy(bound.gram(LAYER)), exact @ exact.T, rtol=2**-8)


@given(shapes, seeds)
def test_a_gram_tap_of_mxnet_copies_features_and_propagates_the_gradient_of_their_gram_matrix(shape, seed):
    mx = mxnet()
    from styletransfer.engines.mxnet.network import gram_tap

    features, gradient = drawn(shape, seed), symmetric(shape[0], seed + 1)
    channels = len(features)
    symbol = gram_tap(mx.sym.Variable("features"), "kernel", "bias", channels)
    arguments = {
        "features": mx.nd.array(features[None]),
        "kernel": mx.nd.array(np.eye(channels)[:, :, None, None]),
        "bias": mx.nd.zeros(channels),
    }
    found = mx.nd.zeros((1, *shape))
    requests = {"features": "write", "kernel": "null", "bias": "null"}
    executor = symbol.bind(mx.cpu(), arguments, args_grad={"features": found}, grad_req=requests)
    (copy,) = executor.forward(is_train=True)
    np.testing.assert_array_equal(copy.asnumpy(), features[None])
    arguments["kernel"][:] = 2 * gradient[:, :, None, None]
    executor.backward([copy])
    expected = 2 * gradient.astype(np.float64) @ flat(features)
    assert relative_error(flat(found.asnumpy()[0]), expected) < 1e-6


@given(shapes, seeds, st.booleans())
def test_the_parts_of_a_head_add_up(shape, seed, guided):
    """A target, Gram matrices, of regions or not, and a gradient from above."""
    features, target, above = (drawn(shape, seed + number) for number in range(3))
    grams = np.stack([symmetric(shape[0], seed + number) for number in (3, 4)])
    maps = np.random.default_rng(seed).random((2, 1, *shape[1:]), np.float32)
    exact = flat(features)
    expected = 2 * 0.7 * (exact - flat(target)) + flat(above)
    if guided:
        expected += sum(2 * gram.astype(np.float64) @ exact * guide.reshape(-1) for gram, guide in zip(grams, maps))
    else:
        expected += 2 * grams[0].astype(np.float64) @ exact
    head = Head(
        to_array(target[None]),
        0.7,
        to_array(grams if guided else grams[0]),
        to_array(maps) if guided else None,
        to_array(above[None]),
    )
    found = flat(to_numpy(seeing(features).backward({LAYER: head}))[0])
    assert relative_error(found, expected) < 1e-5


def test_a_distance_can_be_that_of_a_part():
    features, target = drawn((3, 6, 8), 1), drawn((3, 2, 5), 2)
    bound, part = seeing(features), (slice(1, 3), slice(2, 7))
    expected = np.sum((features[:, 1:3, 2:7].astype(np.float64) - target) ** 2)
    assert number(bound.squared_distance(LAYER, to_array(target[None]), part)) == pytest.approx(expected, rel=1e-6)


@given(shapes, seeds)
def test_content_loss_and_gradient_match_closed_forms(shape, seed):
    features, target = drawn(shape, seed), drawn(shape, seed + 1)
    loss, gradient = loss_and_gradient("content", features, target[None])
    distance = features.astype(np.float64) - target
    assert relative_error(loss, np.sum(distance**2)) < 1e-6
    assert relative_error(gradient, 2 * distance) < 1e-6


@given(shapes, seeds, st.booleans())
def test_style_loss_and_gradient_match_closed_forms(shape, seed, by_gram):
    features, target = drawn(shape, seed), symmetric(shape[0], seed + 1)
    loss, gradient = loss_and_gradient("style", features, target, by_gram=by_gram)
    distance = flat(features) @ flat(features).T - target
    assert relative_error(loss, np.sum(distance**2)) < 1e-5
    assert relative_error(flat(gradient), 4 * distance @ flat(features)) < 1e-5


@pytest.mark.parametrize("group", ["content", "style"])
def test_gradients_match_finite_differences(group):
    features = drawn((3, 2, 4), 1)
    target = drawn((1, 3, 2, 4), 2) if group == "content" else symmetric(3, 3)
    expected = finite_differences(lambda x: loss_and_gradient(group, x, target)[0], features, 0.02)
    assert relative_error(loss_and_gradient(group, features, target)[1], expected) < 2e-3


@pytest.mark.parametrize("group", ["content", "style"])
def test_a_head_gradient_scales_the_gradient(group):
    features = drawn((3, 4, 5), 4)
    target = drawn((1, 3, 4, 5), 5) if group == "content" else symmetric(3, 6)
    _, plain = loss_and_gradient(group, features, target)
    _, scaled = loss_and_gradient(group, features, target, factor=-2.5)
    np.testing.assert_allclose(scaled, -2.5 * plain, rtol=1e-5)


@pytest.mark.parametrize("group", ["content", "style"])
def test_loss_and_gradient_are_zero_at_the_target(group):
    features = drawn((3, 4, 5), 7)
    target = features[None] if group == "content" else gram_of(features)
    loss, gradient = loss_and_gradient(group, features, target)
    assert loss == 0 and not gradient.any()
