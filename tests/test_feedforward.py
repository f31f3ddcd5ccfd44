"""Feed-forward networks against an independent implementation, in strips, and on pictures of any size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from feedforward_helpers import random_style, random_transformer
from helpers import ENGINE, mxnet, needs_bfloat16, random_picture, relative_error, to_array, to_numpy
from hypothesis import given
from hypothesis import strategies as some
from processes import output_of
from torch.nn import functional

import models
from models import feedforward
from styletransfer.bench import pytorch
from styletransfer.engines import choose
from styletransfer.feedforward import strips
from styletransfer.feedforward.extension import extended, inner
from styletransfer.feedforward.stylize import Stylizer, finished, least_memory, whole_memory
from styletransfer.pictures import colors, pixels
from styletransfer.support.errors import UserError
from styletransfer.training.network import TrainableTransformer, parameters_of

every_network = pytest.mark.parametrize("name", models.transformer_names())


def image(height: int, width: int) -> np.ndarray:
    return pixels.from_picture(random_picture(height, width, seed=3), "rgb255")


def in_pytorch(name: str) -> pytorch.Transformer:
    return pytorch.Transformer(name, random_transformer(name), "float64")


def stylised(name: str, values: np.ndarray, precision: str = "float32") -> np.ndarray:
    spec = models.load_transformer(name).SPEC
    given_image = extended(values, spec)
    network = ENGINE.stylizer(spec, random_transformer(name), *given_image.shape[2:], precision)
    rows, columns = inner(spec, *values.shape[2:])
    return network(given_image)[:, :, rows, columns]


def test_the_names_are_those_of_the_modules() -> None:
    assert models.transformer_names() == ("residual", "small")
    assert all(models.load_transformer(name).SPEC.name == name for name in models.transformer_names())
    with pytest.raises(KeyError, match="large"):
        models.load_transformer("large")


@every_network
def test_the_parameters_of_the_spec_are_the_arguments_of_the_symbol(name: str) -> None:
    mxnet()
    module = models.load_transformer(name)
    symbol, constants = module.get_symbol(), feedforward.constants(module.SPEC)
    assert set(symbol.list_arguments()) == {*module.SPEC.parameters, *constants, "data"}
    given_shapes = {**module.SPEC.parameters, **{key: values.shape for key, values in constants.items()}}
    arguments, outputs, _ = symbol.infer_shape(data=(1, 3, 96, 104), **given_shapes)
    assert dict(zip(symbol.list_arguments(), arguments)) == {**given_shapes, "data": (1, 3, 96, 104)}
    assert outputs == [(1, 3, 96, 104)]


@every_network
@pytest.mark.parametrize(("height", "width"), [(45, 50), (44, 64)])
def test_values_match_pytorch(name: str, height: int, width: int) -> None:
    values = image(height, width)
    expected = in_pytorch(name)(torch.tensor(values.astype(np.float64)))
    assert relative_error(stylised(name, values), expected.numpy()) < 2e-5


@every_network
def test_gradients_match_pytorch(name: str) -> None:
    """Rounding may decide whether a ReLU passes a value on, and does in PyTorch."""
    found, expected = gradients_of(name, random_transformer(name))
    for key, gradient in expected.items():
        assert relative_error(found[key], gradient) < (2e-4 if ENGINE.name == "mxnet" else 0.02), key


@every_network
def test_where_no_relu_cuts_anything_off_gradients_match_pytorch(name: str) -> None:
    """Together, as the next normalization hides most of a shift."""
    parameters = random_transformer(name)
    parameters = {key: values + 8 if key.endswith("_beta") else values for key, values in parameters.items()}
    found, expected = (
        np.concatenate([gradient.reshape(-1) for gradient in gradients.values()])
        for gradients in gradients_of(name, parameters)
    )
    assert relative_error(found, expected) < 2e-4


def gradients_of(name: str, parameters: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
    """Ours, and PyTorch's in double precision, after two passes: gradients add up."""
    values, generator = image(45, 52), np.random.default_rng(1)
    head = generator.normal(0, 1, values.shape)
    reference = pytorch.Transformer(name, parameters, "float64")
    for tensor in reference.parameters.values():
        tensor.requires_grad_(True)
    output = reference(torch.tensor(values.astype(np.float64)))
    (output * torch.tensor(head)).sum().backward()

    spec = models.load_transformer(name).SPEC
    network = TrainableTransformer(ENGINE, spec, 45, 52, "float32")
    network.set_parameters(ENGINE.flat(map(to_array, parameters.values())))
    for _ in range(2):
        found = network.forward(values)
        assert relative_error(to_numpy(found), output.detach().numpy()) < 2e-5
        network.backward(to_array(head))
    expected = {key: 2 * tensor.grad.numpy() for key, tensor in reference.parameters.items() if tensor.grad is not None}
    assert list(expected) == list(spec.parameters)
    return parameters_of(spec, to_numpy(network.gradient)), expected


@needs_bfloat16
@every_network
def test_bfloat16_is_close_to_float32(name: str) -> None:
    values = image(44, 52)
    assert relative_error(stylised(name, values, "bfloat16"), stylised(name, values)) < 0.1


@given(some.sampled_from([1, 3, 5, 7, 9]), some.integers(2, 5))
def test_a_sub_pixel_convolution_is_upsampling_and_a_convolution(kernel: int, resize: int) -> None:
    generator = np.random.default_rng(kernel * 10 + resize)
    values, weight = generator.normal(size=(1, 2, 5, 6)), generator.normal(size=(3, 2, kernel, kernel))
    upsampled = functional.interpolate(torch.tensor(values), scale_factor=resize, mode="nearest")
    expected = functional.conv2d(upsampled, torch.tensor(weight), padding=kernel // 2).numpy()
    matrix = feedforward.resize_matrix(kernel, resize)
    side = round((matrix.shape[1] / resize**2) ** 0.5)
    kernels = (weight.reshape(3, 2, -1) @ matrix).reshape(3, 2, resize**2, side, side).transpose(2, 0, 1, 3, 4)
    phases = functional.conv2d(
        torch.tensor(values), torch.tensor(kernels.reshape(-1, 2, side, side)), padding=side // 2
    )
    found = phases.numpy().reshape(resize, resize, 3, 5, 6).transpose(2, 3, 0, 4, 1).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@given(some.integers(1, 300), some.integers(1, 60), some.integers(0, 9))
def test_strips_own_every_row_once_and_see_their_halo(rows: int, owned: int, halo: int) -> None:
    height, found = strips.strips(rows, owned, halo)
    assert [row for strip in found for row in range(strip.begin, strip.end)] == list(range(rows))
    for strip in found:
        assert 0 <= strip.start <= max(0, strip.begin - halo)
        assert min(rows, strip.end + halo) <= strip.start + height <= rows


@every_network
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_strips_give_what_the_whole_gives(name: str, precision: str) -> None:
    spec, values = models.load_transformer(name).SPEC, extended(image(150, 30), models.load_transformer(name).SPEC)
    parameters = random_transformer(name)
    whole = ENGINE.stylizer(spec, parameters, *values.shape[2:], precision)(values)
    found = strips.run(spec, parameters, values, ENGINE, precision, window_memory=1)
    # Statistics are summed up in another order; in bfloat16 that may switch how a value is rounded.
    assert relative_error(found, whole) < {"float32": 2e-5, "bfloat16": 2e-2}[precision]


@pytest.mark.parametrize("size", [(1, 1), (2, 31), (33, 4), (17, 18)])
def test_pictures_of_any_size_keep_it(size: tuple[int, int]) -> None:
    picture = Stylizer(random_style(), ENGINE, "float32")(random_picture(*size, seed=0))
    assert picture.shape == (*size, 3)
    assert picture.min() >= 0 and picture.max() <= 1


def test_a_picture_that_does_not_fit_is_made_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = random_picture(160, 40, seed=0)
    whole = Stylizer(random_style(), ENGINE, "float32")(picture)
    monkeypatch.setattr("styletransfer.feedforward.stylize.whole_memory", lambda *_: 10**12)
    monkeypatch.setattr("styletransfer.feedforward.stylize._FEWEST", 1000)
    limited = Stylizer(random_style(), ENGINE, "float32", 10**7)(picture)
    np.testing.assert_allclose(limited, whole, atol=1e-4)
    with pytest.raises(UserError, match=r"picture of 40 x 160 pixels needs .* expected a smaller --size"):
        Stylizer(random_style(), ENGINE, "float32", 10**5)(picture)


@pytest.mark.parametrize(("name", "in_strips"), [("small", False), ("small", True), ("residual", False)])
def test_the_memory_of_a_picture_is_predicted(name: str, in_strips: bool) -> None:
    """The growth of the peak memory of a process by a picture of 700 x 900 pixels."""
    grown = 2**20 * float(output_of(GROWTH, NETWORK=name, IN_STRIPS=str(int(in_strips)), PYTHONPATH="tests"))
    spec, size = models.load_transformer(name).SPEC, (700, 900)
    predicted = (
        least_memory(spec, *size)
        if in_strips
        else whole_memory(spec, *size, choose(precision="float32").memory_factors)
    )
    assert 0.7 * predicted < grown < 1.1 * predicted


GROWTH = """
import os
import numpy as np
from feedforward_helpers import random_style
from styletransfer.feedforward import stylize
from styletransfer.bench.machine import peak_megabytes
from styletransfer.engines import choose

style, size = random_style(os.environ["NETWORK"]), (700, 900)
memory = None
if os.environ["IN_STRIPS"] == "1":
    memory = stylize.least_memory(style.spec, *size)
    stylize.whole_memory = lambda *_: memory + 1
stylizer = stylize.Stylizer(style, choose(precision="float32").load(), "float32", memory)
picture = np.full((*size, 3), 0.5, np.float32)
stylizer(picture[:64, :64])
before = peak_megabytes()
stylizer(picture)
print(peak_megabytes() - before)
"""


def test_a_network_that_stays_bound_gives_the_same_again() -> None:
    stylizer = Stylizer(random_style(), ENGINE, "float32")
    pictures = [random_picture(20, 30, seed=seed) for seed in range(3)] + [random_picture(30, 20, seed=0)]
    first = [stylizer(picture) for picture in pictures]
    for picture, expected in zip(pictures, first):
        np.testing.assert_array_equal(stylizer(picture), expected)


def test_strength_blends_towards_the_photograph() -> None:
    photograph, other = random_picture(8, 9, seed=0), random_picture(8, 9, seed=1)
    np.testing.assert_array_equal(finished(photograph, other), other)
    np.testing.assert_allclose(finished(photograph, other, 0.0), photograph)
    np.testing.assert_allclose(finished(photograph, other, 0.25), 0.25 * other + 0.75 * photograph)


def test_kept_colors_are_those_of_the_photograph() -> None:
    photograph, other = 0.3 + 0.4 * random_picture(8, 9, seed=0), 0.4 + 0.2 * random_picture(8, 9, seed=1)
    found = finished(photograph, other, keep_colors=True)
    differences = found - photograph  # of the luminance alone: the same for R, G and B
    np.testing.assert_allclose(differences - differences[..., :1], 0, atol=1e-12)
    inside = (found.min(axis=2) > 0) & (found.max(axis=2) < 1)
    np.testing.assert_allclose(colors.luminance(found)[inside], colors.luminance(other)[inside])
    assert inside.mean() > 0.5


def test_the_memory_of_strips_is_that_of_the_largest_arrays() -> None:
    spec = models.load_transformer("small").SPEC
    quarter = 48 * 64 * 64
    # At the beginning of a block: input and output of its first convolution, what the block before adds, and its sum.
    assert strips.peak_memory(spec, 256, 256) == 4 * 4 * quarter
    assert strips.peak_memory(dataclasses.replace(spec, layers=spec.layers[:1]), 256, 256) == 4 * (3 * 256**2 + quarter)
