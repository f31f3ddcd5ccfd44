"""Gram matrices, content and style losses against closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import finite_differences, mx, relative_error, to_mx
from hypothesis import given
from hypothesis import strategies as st
from reference.tensorflow_normal import normal

from models import runtime
from styletransfer.config.normalizations import NORMALIZATIONS, LayerFacts
from styletransfer.losses import symbols
from styletransfer.network.executor import gram_tap
from styletransfer.network.precision import BFLOAT16, FLOAT32, cast

shapes = st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 9))  # channels, height, width
seeds = st.integers(0, 2**32 - 1)
needs_bfloat16 = pytest.mark.skipif(not runtime.has_bfloat16(), reason="this processor has no AVX-512")


def drawn(shape, seed, scale=1.0):
    return np.random.default_rng(seed).normal(0.0, scale, shape).astype(np.float32)


def gram_of(features):
    """The library's Gram matrix of features (N, h, w)."""
    symbol = symbols.gram(mx.sym.Variable("features"), len(features))
    return symbol.bind(mx.cpu(), {"features": to_mx(features[None])}).forward()[0].asnumpy()


def loss_and_gradient(group, features, target, head=1.0):
    """The library's raw content or style loss of features (N, h, w), and `head` times its gradient."""
    value = mx.sym.Variable("features")
    if group == "style":
        value = symbols.gram(value, len(features))
    symbol = symbols.squared_distance(value, mx.sym.Variable("target"))
    array = to_mx(features[None])
    gradient = mx.nd.zeros(array.shape)
    executor = symbol.bind(
        mx.cpu(),
        {"features": array, "target": to_mx(target)},
        args_grad={"features": gradient},
        grad_req={"features": "write", "target": "null"},
    )
    (loss,) = executor.forward(is_train=True)
    executor.backward([to_mx([head])])
    return loss.asnumpy(), gradient.asnumpy()[0]


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
    assert coefficient * loss[0] == pytest.approx(published, rel=1e-6)


@given(shapes, seeds)
def test_a_gram_matrix_is_the_product_of_features_with_their_transpose(shape, seed):
    features = drawn(shape, seed)
    found = gram_of(features)
    assert relative_error(found, flat(features) @ flat(features).T) < 1e-6
    np.testing.assert_allclose(found, found.T, rtol=1e-5, atol=1e-5)


@given(shapes, seeds)
def test_a_masked_gram_matrix_is_that_of_the_unmasked_positions(shape, seed):
    features, mask = drawn(shape, seed), np.random.default_rng(seed).integers(0, 2, shape[1:])
    symbol = symbols.masked_gram(mx.sym.Variable("features"), mx.sym.Variable("mask"), len(features))
    arguments = {"features": to_mx(features[None]), "mask": to_mx(mask[None, :, :, None])}
    found = symbol.bind(mx.cpu(), arguments).forward()[0].asnumpy()
    counted = features[:, mask == 1].astype(np.float64)
    np.testing.assert_allclose(found, counted @ counted.T, rtol=1e-5, atol=1e-5)


@needs_bfloat16
def test_a_gram_in_bfloat16_is_rounded_once():
    features = cast(to_mx(drawn((1, 7, 60, 50), 1) + 1), BFLOAT16)
    symbol = symbols.gram(mx.sym.Variable("features"), 7)
    found = cast(symbol.bind(mx.cpu(), {"features": features}).forward()[0], FLOAT32).asnumpy()
    exact = flat(cast(features, FLOAT32).asnumpy()[0])
    np.testing.assert_allclose(found, exact @ exact.T, rtol=2**-8)


@given(shapes, seeds)
def test_a_gram_tap_copies_features_and_propagates_the_gradient_of_their_gram_matrix(shape, seed):
    features, gradient = drawn(shape, seed), symmetric(shape[0], seed + 1)
    channels = len(features)
    symbol = gram_tap(*(mx.sym.Variable(name) for name in ("features", "kernel", "bias")), channels)
    arguments = {
        "features": to_mx(features[None]),
        "kernel": to_mx(np.eye(channels)[:, :, None, None]),
        "bias": mx.nd.zeros(channels),
    }
    found = mx.nd.zeros((1, *shape))
    requests = {"features": "write", "kernel": "null", "bias": "null"}
    executor = symbol.bind(mx.cpu(), arguments, args_grad={"features": found}, grad_req=requests)
    (copy,) = executor.forward(is_train=True)
    np.testing.assert_array_equal(copy.asnumpy(), features[None])
    arguments["kernel"][:] = to_mx(2 * gradient[:, :, None, None])
    executor.backward([copy])
    expected = 2 * gradient.astype(np.float64) @ flat(features)
    assert relative_error(flat(found.asnumpy()[0]), expected) < 1e-6


@given(shapes, seeds)
def test_content_loss_and_gradient_match_closed_forms(shape, seed):
    features, target = drawn(shape, seed), drawn(shape, seed + 1)
    loss, gradient = loss_and_gradient("content", features, target[None])
    distance = features.astype(np.float64) - target
    assert loss.shape == (1,)
    assert relative_error(loss, [np.sum(distance**2)]) < 1e-6
    assert relative_error(gradient, 2 * distance) < 1e-6


@given(shapes, seeds)
def test_style_loss_and_gradient_match_closed_forms(shape, seed):
    features, target = drawn(shape, seed), symmetric(shape[0], seed + 1)
    loss, gradient = loss_and_gradient("style", features, target)
    distance = flat(features) @ flat(features).T - target
    assert loss.shape == (1,)
    assert relative_error(loss, [np.sum(distance**2)]) < 1e-5
    assert relative_error(flat(gradient), 4 * distance @ flat(features)) < 1e-5


@pytest.mark.parametrize("group", ["content", "style"])
def test_gradients_match_finite_differences(group):
    features = drawn((3, 2, 4), 1)
    target = drawn((1, 3, 2, 4), 2) if group == "content" else symmetric(3, 3)
    expected = finite_differences(lambda x: float(loss_and_gradient(group, x, target)[0][0]), features, 0.02)
    assert relative_error(loss_and_gradient(group, features, target)[1], expected) < 2e-3


@pytest.mark.parametrize("group", ["content", "style"])
def test_a_head_gradient_scales_the_gradient(group):
    features = drawn((3, 4, 5), 4)
    target = drawn((1, 3, 4, 5), 5) if group == "content" else symmetric(3, 6)
    _, plain = loss_and_gradient(group, features, target)
    _, scaled = loss_and_gradient(group, features, target, head=-2.5)
    np.testing.assert_allclose(scaled, -2.5 * plain, rtol=1e-5)


@pytest.mark.parametrize("group", ["content", "style"])
def test_loss_and_gradient_are_zero_at_the_target(group):
    features = drawn((3, 4, 5), 7)
    target = features[None] if group == "content" else gram_of(features)
    loss, gradient = loss_and_gradient(group, features, target)
    assert loss == 0 and not gradient.any()
