"""The pixel spaces: conversion in both directions, and the same network in each."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import features_of, network_of, random_parameters, random_picture, relative_error
from reference.numpy_vgg import convolution

import models
from styletransfer.pictures import pixels
from styletransfer.weights import parameters_for

SPACES = tuple(pixels.SPACES)
TRUE_SPACES = tuple(space for space in SPACES if space != "rgb256")  # conversion back is the inverse

# One RGB colour, and its values in every space by the formulas of the systems.
COLOUR = (0.2, 0.5, 0.9)
VALUES = {
    "rgb255": (51 - 123.68, 127.5 - 116.779, 229.5 - 103.939),
    "rgb256": (51.2 - 123.68, 128 - 116.779, 230.4 - 103.939),
    "bgr255": (229.5 - 103.939, 127.5 - 116.779, 51 - 123.68),
    "caffe": (229.5 - 104, 127.5 - 117, 51 - 123),
    "torchvision": ((0.2 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (0.9 - 0.406) / 0.225),
}


def as_shown(picture, space):
    """The effective picture of `picture` in a space: rgb256 is interpreted as rgb255."""
    return picture * (256 / 255) if space == "rgb256" else picture


def test_every_space_has_an_expected_colour():
    assert set(VALUES) == set(SPACES)


@pytest.mark.parametrize("space", SPACES)
def test_colours_match_the_formulas(space):
    array = pixels.from_picture(np.full((2, 3, 3), COLOUR), space)
    assert array.shape == (1, 3, 2, 3) and array.dtype == np.float32
    np.testing.assert_allclose(array[0, :, 1, 2], VALUES[space], rtol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_positions_are_preserved(space):
    picture = random_picture(5, 7, seed=1)
    array = pixels.from_picture(picture, space)
    one = pixels.from_picture(picture[3:4, 2:3], space)
    np.testing.assert_array_equal(array[:, :, 3:4, 2:3], one)


@pytest.mark.parametrize("space", TRUE_SPACES)
def test_the_round_trip_gives_the_picture(space):
    picture = random_picture(5, 7, seed=2)
    np.testing.assert_allclose(pixels.to_picture(pixels.from_picture(picture, space), space), picture, atol=1e-6)


def test_the_round_trip_in_rgb256_is_slightly_too_bright_and_clipped():
    picture = np.linspace(0, 1, 24).reshape(2, 4, 3)
    found = pixels.to_picture(pixels.from_picture(picture, "rgb256"), "rgb256")
    np.testing.assert_allclose(found, np.minimum(picture * 256 / 255, 1), atol=1e-6)
    assert found.max() == 1


@pytest.mark.parametrize("space", SPACES)
def test_converted_pictures_are_displayable(space):
    array = np.random.default_rng(3).normal(0, 1000, (1, 3, 5, 7))
    picture = pixels.to_picture(array, space)
    assert picture.shape == (5, 7, 3)
    assert picture.min() == 0 and picture.max() == 1


@pytest.mark.parametrize("space", TRUE_SPACES)
def test_the_displayable_range_is_from_black_to_white(space):
    low, high = pixels.displayable_range(space)
    assert low.shape == high.shape == (1, 3, 1, 1)
    np.testing.assert_array_equal(low, pixels.from_picture(np.zeros((1, 1, 3)), space))
    np.testing.assert_array_equal(high, pixels.from_picture(np.ones((1, 1, 3)), space))


def test_the_displayable_range_of_rgb256_is_that_of_rgb255():
    for limit, expected in zip(pixels.displayable_range("rgb256"), pixels.displayable_range("rgb255")):
        np.testing.assert_array_equal(limit, expected)


@pytest.mark.parametrize("native", SPACES)
@pytest.mark.parametrize("space", SPACES)
def test_an_adapted_convolution_gives_the_same_result(native, space):
    generator = np.random.default_rng(4)
    weight, bias = generator.normal(size=(4, 3, 3, 3)), generator.normal(size=4)
    picture = random_picture(6, 8, seed=5)
    shown = as_shown(picture, space)
    # A network made for rgb256 would be one for rgb255: the space is entered differently, not seen differently.
    expected = convolution(pixels.from_picture(shown, native.replace("256", "255"))[0], weight, bias, padding=0)
    adapted = pixels.adapt_first_layer(weight, bias, native, space)
    found = convolution(pixels.from_picture(picture, space)[0], *adapted, padding=0)
    assert relative_error(found, expected) < 2e-6


@pytest.mark.parametrize("native", SPACES)
def test_nothing_is_adapted_to_the_native_space(native):
    weight, bias = np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32)
    adapted_weight, adapted_bias = pixels.adapt_first_layer(weight, bias, native, native)
    np.testing.assert_array_equal(adapted_weight, weight)
    np.testing.assert_array_equal(adapted_bias, bias)


def seen(model, space, picture, layer):
    """The features of a picture (H, W, 3) in `space`, in a network with random weights."""
    parameters = parameters_for(models.load(model).SPEC, random_parameters(model), space)
    return features_of(network_of(model, parameters, "avg"), [layer], pixels.from_picture(picture, space))[layer]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("model", "layer"), [("vgg_slim", "relu2_1"), ("squeezenet", "fire2")])
def test_features_are_the_same_in_every_space(model, layer, space):
    picture = random_picture(31, 39, seed=6)
    native = models.load(model).SPEC.pixels
    expected = seen(model, native, as_shown(picture, space), layer)
    found = seen(model, space, picture, layer)
    if model == "vgg_slim":  # its zero padding is the mean colour of the space: away from the border only
        found, expected = found[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2]
    assert relative_error(found, expected) < 2e-6


def test_only_the_first_layer_is_adapted():
    parameters = random_parameters("vgg_slim")
    adapted = parameters_for(models.load("vgg_slim").SPEC, parameters, "torchvision")
    assert list(adapted) == list(parameters)
    changed = [name for name in parameters if not np.array_equal(parameters[name], adapted[name])]
    assert changed == ["conv1_1_weight", "conv1_1_bias"]
