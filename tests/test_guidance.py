"""Guidance maps: masks in every layer, against closed forms and a brute-force reference."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import ENGINE, relative_error, to_numpy
from hypothesis import given
from hypothesis import strategies as st
from reference import guides

import models
from styletransfer.losses.guidance import Guidance, at_layer

VGG = models.load("vgg19").SPEC


@st.composite
def layers_and_sizes(draw):
    spec = models.load(draw(st.sampled_from(models.names()))).SPEC
    layer = draw(st.sampled_from(spec.layer_names))
    least = spec.smallest_side(layer)
    return spec, layer, draw(st.integers(least, least + 60)), draw(st.integers(least, least + 60))


def drawn(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width))


@pytest.mark.parametrize("layer", ["relu1_1", "relu1_2"])
def test_in_layers_as_large_as_the_picture_the_map_is_the_mask(layer):
    mask = drawn(13, 18)
    np.testing.assert_allclose(at_layer(mask, VGG, layer), mask, rtol=1e-12)


def test_after_two_poolings_it_is_the_mean_of_squares_of_four():
    mask = drawn(16, 24)
    expected = mask.reshape(4, 4, 6, 4).mean(axis=(1, 3))
    for layer in ("pool2", "relu3_1", "relu3_4"):
        np.testing.assert_allclose(at_layer(mask, VGG, layer), expected, rtol=1e-12)


def test_what_a_pooling_leaves_over_belongs_to_the_last_position():
    mask = np.zeros((4, 7))
    mask[:, 6] = 1
    np.testing.assert_allclose(at_layer(mask, VGG, "pool1"), [[0, 0, 1 / 3]] * 2, rtol=1e-12)


@given(layers_and_sizes())
def test_a_map_is_what_the_reference_finds_for_every_quarter_of_a_pixel(case):
    spec, layer, *size = case
    mask = drawn(*size)
    np.testing.assert_allclose(at_layer(mask, spec, layer), guides.guide(mask, spec, layer), rtol=1e-9)


@given(layers_and_sizes(), st.integers(2, 4))
def test_masks_that_divide_the_picture_divide_every_layer(case, regions):
    spec, layer, *size = case
    masks = np.stack([drawn(*size, seed) for seed in range(regions)])
    maps = [at_layer(mask, spec, layer) for mask in masks / masks.sum(axis=0)]
    np.testing.assert_allclose(sum(maps), 1.0, rtol=1e-9)
    assert min(map(np.min, maps)) >= 0 and max(map(np.max, maps)) <= 1 + 1e-9


@given(layers_and_sizes(), st.data())
def test_a_single_pixel_is_not_lost_in_any_layer(case, data):
    spec, layer, height, width = case
    mask = np.zeros((height, width))
    mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = 1
    assert at_layer(mask, spec, layer).sum() > 0


def test_roots_are_roots_and_positions_are_sums():
    masks = [drawn(21, 30, seed) for seed in (1, 2)]
    guidance = Guidance.of_masks(masks, VGG, ["relu1_1", "pool3"], ENGINE)
    assert guidance.regions == 2
    for layer, maps in guidance.maps.items():
        expected = np.stack([at_layer(mask, VGG, layer) for mask in masks])
        assert relative_error(to_numpy(maps)[:, 0], expected) < 1e-6
        assert relative_error(to_numpy(guidance.roots[layer]) ** 2, expected) < 1e-6
        np.testing.assert_allclose(guidance.positions[layer], expected.sum(axis=(1, 2)), rtol=1e-6)
