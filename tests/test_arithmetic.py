"""Reductions over whole arrays against float64, and the scaled addition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import mx, relative_error, to_mx

from styletransfer.network.arithmetic import _CHUNK, add_scaled, inner_product, norm, squared_norm

SIZES = [1, 60, _CHUNK - 1, _CHUNK, _CHUNK + 1, 3 * _CHUNK + 12345]


def random_array(size, seed):
    """Numbers of very different magnitudes, mostly positive, in float32."""
    generator = np.random.default_rng(seed)
    return (generator.normal(3.0, 30.0, size) * generator.choice([1e-3, 1.0], size)).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_sums_match_float64(size):
    first, second = (random_array(size, seed) for seed in (1, 2))
    exact, other = first.astype(np.float64), second.astype(np.float64)
    assert inner_product(to_mx(first), to_mx(second)) == pytest.approx(
        exact @ other, abs=5e-6 * np.abs(exact) @ np.abs(other)
    )
    assert squared_norm(to_mx(first)) == pytest.approx(exact @ exact, rel=5e-6)
    assert norm(to_mx(first)) == pytest.approx(np.linalg.norm(exact), rel=5e-6)


def test_sums_of_arrays_of_any_shape():
    first, second = (random_array(3 * 400 * 600, seed).reshape(1, 3, 400, 600) for seed in (1, 2))
    expected = np.vdot(first.astype(np.float64), second.astype(np.float64))
    assert inner_product(to_mx(first), to_mx(second)) == pytest.approx(expected, rel=1e-5)


def test_sums_of_arrays_in_an_internal_layout():
    """oneDNN kernels store their results in blocks of channels, and read each other's."""
    picture = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=32, pad=(1, 1), name="convolution")
    executor = picture.simple_bind(mx.cpu(), data=(1, 16, 50, 70), grad_req="null")
    for number, values in enumerate(executor.arg_arrays):
        values[:] = to_mx(random_array(values.size, number).reshape(values.shape))

    def output():
        (found,) = executor.forward(is_train=False)
        return found

    exact = output().asnumpy().astype(np.float64)
    plain = random_array(exact.size, 7).reshape(exact.shape)
    assert squared_norm(output()) == pytest.approx(np.vdot(exact, exact), rel=5e-6)
    limit = 5e-6 * np.vdot(np.abs(exact), np.abs(plain))
    assert inner_product(output(), to_mx(plain)) == pytest.approx(np.vdot(exact, plain), abs=limit)
    np.testing.assert_array_equal(output().asnumpy(), exact)
    moved = to_mx(plain)
    add_scaled(moved, 0.5, output())
    assert relative_error(moved.asnumpy(), plain + 0.5 * exact) < 1e-6


@pytest.mark.parametrize("place", [0, _CHUNK, 2 * _CHUNK + 6])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_non_finite_values_propagate(value, place):
    values = np.ones(2 * _CHUNK + 7, np.float32)
    values[place] = value
    found, ones = to_mx(values), mx.nd.ones(values.shape)
    np.testing.assert_equal(inner_product(found, ones), value)
    np.testing.assert_equal(squared_norm(found), abs(value))
    np.testing.assert_equal(norm(found), abs(value))


def test_a_sum_beyond_float32_is_infinite():
    assert norm(to_mx([1e30, 1.0])) == math.inf
    assert norm(mx.nd.zeros((4,))) == 0.0


@pytest.mark.parametrize("factor", [0.5, -3.0, 0.0, 1e-30])
def test_a_multiple_is_added_in_place(factor):
    array, other = (random_array(1000, seed).reshape(1, 2, 20, 25) for seed in (1, 2))
    found, added = to_mx(array), to_mx(other)
    add_scaled(found, factor, added)
    np.testing.assert_allclose(found.asnumpy(), array + np.float64(factor) * other, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(added.asnumpy(), other)
