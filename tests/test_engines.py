"""The array operations of the engine against NumPy, and reductions over whole arrays against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import ENGINE, mxnet, norm, number, relative_error, to_array, to_numpy

from styletransfer.engines import Array, is_out_of_memory, load
from styletransfer.engines.torch import engine

CHUNK = 1 << 18  # values that the engines sum in float32
SIZES = [1, 60, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 12345]


def random_array(size, seed):
    """Numbers of very different magnitudes, mostly positive, in float32."""
    generator = np.random.default_rng(seed)
    return (generator.normal(3.0, 30.0, size) * generator.choice([1e-3, 1.0], size)).astype(np.float32)


def dot(first: Array, second: Array) -> float:
    return number(ENGINE.dot(first, second))


@pytest.mark.parametrize("size", SIZES)
def test_sums_match_float64(size):
    first, second = (random_array(size, seed) for seed in (1, 2))
    exact, other = first.astype(np.float64), second.astype(np.float64)
    assert dot(to_array(first), to_array(second)) == pytest.approx(
        exact @ other, abs=5e-6 * np.abs(exact) @ np.abs(other)
    )
    array = to_array(first)
    assert dot(array, array) == pytest.approx(exact @ exact, rel=5e-6)
    assert norm(array) == pytest.approx(np.linalg.norm(exact), rel=5e-6)


def test_sums_of_arrays_of_any_shape():
    first, second = (random_array(3 * 400 * 600, seed).reshape(1, 3, 400, 600) for seed in (1, 2))
    expected = np.vdot(first.astype(np.float64), second.astype(np.float64))
    assert dot(to_array(first), to_array(second)) == pytest.approx(expected, rel=1e-5)


def test_sums_of_mxnet_arrays_in_an_internal_layout():
    """oneDNN kernels store their results in blocks of channels, and read each other's."""
    mx = mxnet()
    engine = load("mxnet")
    picture = mx.sym.Convolution(mx.sym.Variable("data"), kernel=(3, 3), num_filter=32, pad=(1, 1), name="convolution")
    executor = picture.simple_bind(mx.cpu(), data=(1, 16, 50, 70), grad_req="null")
    for seed, values in enumerate(executor.arg_arrays):
        values[:] = random_array(values.size, seed).reshape(values.shape)

    def output():
        (found,) = executor.forward(is_train=False)
        return found

    exact = output().asnumpy().astype(np.float64)
    plain = random_array(exact.size, 7).reshape(exact.shape)
    assert engine.dot(output(), output()) == pytest.approx(np.vdot(exact, exact), rel=5e-6)
    limit = 5e-6 * np.vdot(np.abs(exact), np.abs(plain))
    assert engine.dot(output(), engine.array(plain)) == pytest.approx(np.vdot(exact, plain), abs=limit)
    np.testing.assert_array_equal(output().asnumpy(), exact)
    moved = engine.array(plain)
    engine.add_scaled(moved, 0.5, output())
    assert relative_error(moved.asnumpy(), plain + 0.5 * exact) < 1e-6
    part = engine.crop(output(), slice(3, 20), slice(10, 70))
    np.testing.assert_array_equal(engine.numpy(part), exact[:, :, 3:20, 10:70])


@pytest.mark.parametrize("place", [0, CHUNK, 2 * CHUNK + 6])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_non_finite_values_propagate(value, place):
    values = np.ones(2 * CHUNK + 7, np.float32)
    values[place] = value
    found, ones = to_array(values), to_array(np.ones(values.shape))
    np.testing.assert_equal(dot(found, ones), value)
    np.testing.assert_equal(dot(found, found), abs(value))
    np.testing.assert_equal(norm(found), abs(value))


def test_a_sum_beyond_float32_is_infinite():
    assert norm(to_array([1e30, 1.0])) == math.inf
    assert norm(ENGINE.zeros((4,))) == 0.0


@pytest.mark.parametrize("factor", [0.5, -3.0, 0.0, 1e-30])
def test_a_multiple_is_added_in_place(factor):
    array, other = (random_array(1000, seed).reshape(1, 2, 20, 25) for seed in (1, 2))
    found, added = to_array(array), to_array(other)
    ENGINE.add_scaled(found, factor, added)
    np.testing.assert_allclose(to_numpy(found), array + np.float64(factor) * other, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(to_numpy(added), other)


def test_a_multiple_by_a_scalar_of_the_engine_is_added():
    array, other = (random_array(60, seed) for seed in (1, 2))
    found = to_array(array)
    ENGINE.add_scaled(found, ENGINE.dot(to_array([0.5, 2.0]), to_array([2.0, 0.25])), to_array(other))
    np.testing.assert_allclose(to_numpy(found), array + 1.5 * other, rtol=1e-6, atol=1e-6)


def test_scalars_are_calculated_with_and_read_at_once():
    ones = to_array(np.ones(6))
    six, root = ENGINE.dot(ones, ones), ENGINE.norm(ones)
    assert ENGINE.numbers([six, root, 2 * six + 1, 0.25]) == pytest.approx([6, math.sqrt(6), 13, 0.25], rel=1e-6)
    assert ENGINE.numbers([]) == []


def test_arrays_go_to_the_device_and_back():
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    array = ENGINE.array(values.transpose(2, 0, 1))
    assert tuple(array.shape) == (4, 2, 3)
    found = to_numpy(array)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.transpose(2, 0, 1).astype(np.float32))
    found[:] = 0
    assert to_numpy(array).all()
    assert not to_numpy(ENGINE.zeros((2, 3))).any()


def test_copies_share_nothing():
    array = to_array([1.0, 2.0])
    copy = ENGINE.copy(array)
    array[:] = 0
    np.testing.assert_array_equal(to_numpy(copy), [1, 2])


@pytest.mark.parametrize("on_device", [True, False])
def test_values_are_assigned_in_place(on_device):
    values = random_array(12, 1).reshape(3, 4)
    array = ENGINE.zeros((3, 4))
    given = to_array(values) if on_device else values.astype(np.float64)
    ENGINE.assign(array, given)
    np.testing.assert_array_equal(to_numpy(array), values)
    given[:] = 0
    np.testing.assert_array_equal(to_numpy(array), values)


def test_arrays_become_one():
    arrays = [random_array(6, seed).reshape(2, 3) for seed in range(3)]
    np.testing.assert_array_equal(to_numpy(ENGINE.stack([*map(to_array, arrays)])), np.stack(arrays))
    parts = [arrays[0], arrays[1][:1], arrays[2].reshape(3, 1, 2)]
    expected = np.concatenate([part.reshape(-1) for part in parts])
    np.testing.assert_array_equal(to_numpy(ENGINE.flat(map(to_array, parts))), expected)


def test_rows_and_columns_are_cropped():
    values = random_array(2 * 5 * 7, 1).reshape(1, 2, 5, 7)
    found = ENGINE.crop(to_array(values), slice(1, 4), slice(0, 6))
    np.testing.assert_array_equal(to_numpy(found), values[:, :, 1:4, :6])


def test_values_are_selected_by_a_condition():
    first, second = (np.random.default_rng(seed).normal(size=(4, 5)).astype(np.float32) for seed in (1, 2))
    one, other = to_array(first), to_array(second)
    found = to_numpy(ENGINE.where(one > other, one, other))
    np.testing.assert_array_equal(found, np.maximum(first, second))


def test_values_are_clipped_in_place_by_channel():
    values = np.random.default_rng(3).normal(0, 3, (1, 3, 4, 5)).astype(np.float32)
    low, high = (np.array(limits, np.float32).reshape(1, 3, 1, 1) for limits in ([-1, -2, 0], [1, 0.5, 3]))
    array = to_array(values)
    ENGINE.clip(array, to_array(low), to_array(high))
    np.testing.assert_array_equal(to_numpy(array), np.clip(values, low, high))


@pytest.mark.parametrize("shape", [(3, 3), (1, 5), (7, 1)])
def test_an_image_is_filtered_channel_by_channel(shape):
    rows, columns = shape
    image, kernel = (
        np.random.default_rng(4).normal(size=(1, 3, 6, 8)),
        np.random.default_rng(5).normal(size=(3, *shape)),
    )
    padded = np.pad(image[0], ((0, 0), (rows // 2,) * 2, (columns // 2,) * 2))
    expected = np.zeros((3, 6, 8))
    for row, column in np.ndindex(rows, columns):
        expected += kernel[:, row, column, None, None] * padded[:, row : row + 6, column : column + 8]
    found = ENGINE.filtered(to_array(image), to_array(kernel[:, None]))
    assert relative_error(to_numpy(found)[0], expected) < 1e-6


@pytest.mark.parametrize(
    ("message", "known"),
    [
        ("Check failed: e == cudaSuccess: out of memory", True),
        ('File "cpu_device_storage.h", line 74\nMXNetError: Failed to allocate CPU Memory', True),
        ("std::bad_alloc", True),
        ("could not execute a primitive", True),
        ("Shape inconsistent", False),
    ],
)
def test_mxnet_running_out_of_memory_is_distinguished_from_bugs(message, known):
    error = mxnet().MXNetError(message)
    assert load("mxnet").is_out_of_memory(error) == is_out_of_memory(error) == known


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 bytes"), True),
        (RuntimeError("out of memory"), False),
    ],
)
def test_pytorch_running_out_of_memory_is_distinguished_from_bugs(error, known):
    assert load("torch").is_out_of_memory(error) == is_out_of_memory(error) == known


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_float32_is_not_tf32_on_gpus(monkeypatch, device):
    for backend in (torch.backends.cudnn, torch.backends.cuda.matmul):
        monkeypatch.setattr(backend, "allow_tf32", True)
    monkeypatch.setattr(engine, "_device_of", torch.device)
    engine.TorchEngine(device)
    allowed = device == "cpu"  # which leaves the settings of the process alone
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == allowed
