"""The losses of regions: closed forms, finite differences, every normalization; tiles and precision."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import needs_bfloat16, network_of, random_parameters, random_picture, relative_error, to_array, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_objective import BLENDED, SIZE, SKY_AND_GROUND, THREE, Case, Region, image_of, prepared, reference_losses

import models
from models.vgg import CONTENT_LAYERS, STYLE_LAYERS
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.losses.objective import LossWeights, Objective
from styletransfer.losses.targets import Painting, find_targets
from styletransfer.losses.targets import Region as BoundRegion
from styletransfer.losses.tiling import smallest_tile
from styletransfer.pictures import pixels

every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)
STYLE_ALONE = Case(content=(0.0, CONTENT_LAYERS))


def evaluated(case):
    run = prepared(case)
    found = run.objective(run.image)
    return found.losses, to_numpy(found.gradient)


@every_normalization
def test_the_losses_of_regions_are_those_of_the_reference(normalization):
    case = Case(normalization=normalization, styles=BLENDED, regions=THREE)
    run = prepared(case)
    expected = reference_losses(case, image_of(run))
    expected.pop("tv")
    assert run.objective(run.image).losses.layers == pytest.approx(expected, rel=2e-5)


@every_normalization
def test_one_region_that_is_all_of_the_image_is_an_ordinary_run(normalization):
    ordinary = Case(normalization=normalization, styles=((0.25, SIZE), (0.75, (23, 37))))
    whole = Region(lambda y, x: np.ones_like(y * x), ((0, 1.0, None), (1, 3.0, None)))
    losses, gradient = evaluated(ordinary)
    guided, guided_gradient = evaluated(dataclasses.replace(ordinary, regions=(whole,)))
    assert guided.layers == pytest.approx(losses.layers, rel=1e-6)
    assert relative_error(guided_gradient, gradient) < 1e-5


@every_normalization
def test_regions_of_one_painting_that_share_every_pixel_are_an_ordinary_run(normalization):
    ordinary = Case(normalization=normalization)
    shares = (0.2, 0.8)
    regions = tuple(Region(lambda y, x, a=share: a * np.ones_like(y * x), ((0, 1.0, None),)) for share in shares)
    losses, gradient = evaluated(ordinary)
    guided, guided_gradient = evaluated(dataclasses.replace(ordinary, regions=regions))
    assert guided.layers == pytest.approx(losses.layers, rel=1e-5)
    assert relative_error(guided_gradient, gradient) < 1e-5


def test_regions_of_one_painting_cost_no_less_than_the_whole():
    """The mean of squares is no less than the square of the mean, of which the whole has the Gram matrix."""
    losses, _ = evaluated(STYLE_ALONE)
    parts = tuple(dataclasses.replace(region, paintings=((0, 1.0, None),), weight=1.0) for region in THREE)
    guided, _ = evaluated(dataclasses.replace(STYLE_ALONE, regions=parts))
    for layer, loss in losses.layers.items():
        assert guided.layers[layer] > loss * (1 - 1e-6)


def test_at_the_painting_masked_as_the_image_is_the_style_loss_is_zero():
    case = dataclasses.replace(STYLE_ALONE, regions=THREE, styles=((1.0, SIZE),) * 3)
    picture = to_array(pixels.from_picture(random_picture(*SIZE, 10), "rgb255"))
    soft = np.random.default_rng(5).random(SIZE)
    regions = [BoundRegion(mask, [Painting(1.0, picture, mask)]) for mask in (soft, 1 - soft)]
    objective = objective_of(network_of("vgg_slim", pooling="avg"), None, regions, list(case.style[1]), [], *SIZE)
    start = objective(to_array(np.random.default_rng(6).normal(0, 50, (1, 3, *SIZE)))).losses.style
    assert objective(picture).losses.style < 1e-9 * start


def test_a_region_weight_scales_its_loss_alone():
    def of_weights(*weights):
        regions = tuple(dataclasses.replace(region, weight=weight) for region, weight in zip(SKY_AND_GROUND, weights))
        losses, gradient = evaluated(dataclasses.replace(STYLE_ALONE, styles=BLENDED, regions=regions))
        return losses.style, gradient

    (first, one), (second, two) = of_weights(1.0, 1e-12), of_weights(1e-12, 1.0)
    both, gradient = of_weights(2.0, 3.0)
    assert both == pytest.approx(2 * first + 3 * second, rel=1e-5)
    assert relative_error(gradient, 2 * one + 3 * two) < 1e-5


def test_a_region_moves_no_pixel_that_it_does_not_see():
    regions = (
        Region(lambda y, x: (x < 0.25) * np.ones_like(y), ((0, 1.0, None),)),
        Region(lambda y, x: (x >= 0.25) * np.ones_like(y), ((0, 1.0, None),), weight=1e-25),
    )
    layers = {"relu1_1": 1.0, "relu2_1": 1.0}  # a value of relu2_1 sees 10 pixels
    case = dataclasses.replace(STYLE_ALONE, size=(20, 80), styles=((1.0, (20, 80)),), style=(30.0, layers))
    _, gradient = evaluated(dataclasses.replace(case, regions=regions))
    assert np.abs(gradient[..., :20]).max() > 1e12 * np.abs(gradient[..., 30:]).max()


@pytest.mark.parametrize("normalization", ["balanced", "mxnet"])
def test_the_gradient_of_regions_is_that_of_finite_differences(normalization):
    run = prepared(Case(normalization=normalization, styles=BLENDED, regions=THREE))
    found = run.objective(run.image)
    gradient = to_numpy(found.gradient).astype(np.float64) / found.gain
    generator = np.random.default_rng(8)
    image = image_of(run)[None]
    for _ in range(3):
        noise = generator.normal(size=image.shape)
        direction = noise / np.linalg.norm(noise) + gradient / np.linalg.norm(gradient)
        there, back = (run.objective(to_array(image + step * direction)).losses.total for step in (0.2, -0.2))
        assert (there - back) / 0.4 == pytest.approx(np.sum(gradient * direction), rel=2e-3)


def objective_of(network, tile, regions, style_layers, content_layers, height, width, content=None):
    targets = find_targets(network, tile, content, [], content_layers, style_layers, height, width, regions)
    weights = LossWeights(2.0, dict.fromkeys(content_layers, 1.0), 3.0, dict.fromkeys(style_layers, 1.0), 0.0)
    return Objective(network, tile, targets, NORMALIZATIONS["balanced"], weights, None, 1.0, height, width)


@st.composite
def tilings(draw):
    model = draw(st.sampled_from(["vgg_slim", "squeezenet"]))
    spec = models.load(model).SPEC
    names = spec.layer_names[: spec.layer_names.index("relu4_1" if model == "vgg_slim" else "fire6") + 1]
    styles = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    contents = draw(st.lists(st.sampled_from(names), max_size=1, unique=True))
    size, style_size = ((draw(st.integers(40, 190)), draw(st.integers(40, 190))) for _ in range(2))
    tile = smallest_tile(spec, styles + contents) + draw(st.integers(0, 40))
    return model, styles, contents, size, style_size, tile, draw(st.integers(1, 3)), draw(st.integers(0, 2**32 - 1))


@given(tilings())
@settings(max_examples=20)
def test_tiled_regions_equal_untiled_ones(case):
    """With weights and values with which no ReLU ever cuts anything off, and averages: to rounding."""
    model, styles, contents, size, style_size, tile, number, seed = case
    generator = np.random.default_rng(seed)
    positive = {name: np.abs(values) for name, values in random_parameters(model).items()}
    parameters = {
        name: values if values.ndim == 1 else values / values.sum(axis=(1, 2, 3), keepdims=True)
        for name, values in positive.items()
    }
    content, painting, image = (
        to_array(pixels.from_picture(random_picture(*sides, seed % 1000 + lift), "rgb255") + 130 * (lift + 1))
        for lift, sides in enumerate((size, style_size, size))
    )
    masks = generator.random((number, *size)) ** 4
    masks *= generator.random((number, 1, size[1])) > 0.3  # columns that belong to fewer
    masks += 1e-9
    masks /= masks.sum(axis=0)
    own = generator.random(style_size)
    regions = [
        BoundRegion(mask, [Painting(1.0, painting, own if region else None)], 1.0 + region)
        for region, mask in enumerate(masks)
    ]
    found = []
    for side in (None, tile):
        objective = objective_of(network_of(model, parameters, "avg"), side, regions, styles, contents, *size, content)
        evaluation = objective(image)
        found.append((evaluation.losses.layers, to_numpy(evaluation.gradient)))
    (losses, gradient), (tiled_losses, tiled_gradient) = found
    assert tiled_losses == pytest.approx(losses, rel=1e-5)
    assert relative_error(tiled_gradient, gradient) < 1e-5


@needs_bfloat16
@pytest.mark.parametrize("tile", [None, 110])
def test_in_bfloat16_losses_and_gradient_are_close(tile):
    size, found = (150, 130), []
    picture, image = (to_array(pixels.from_picture(random_picture(*size, seed), "rgb255")) for seed in (1, 2))
    ramp = np.broadcast_to(np.linspace(0, 1, size[1]), size)
    regions = [
        BoundRegion(ramp, [Painting(1.0, picture, 1 - ramp)]),
        BoundRegion(1 - ramp, [Painting(1.0, image * 0.5)]),
    ]
    for precision in ("float32", "bfloat16"):
        network = network_of("vgg_slim", pooling="avg", precision=precision)
        layers = [layer for layer in STYLE_LAYERS if layer != "relu5_1"]
        evaluation = objective_of(network, tile, regions, layers, ["relu2_2"], *size, picture)(image)
        found.append((evaluation.losses.layers, to_numpy(evaluation.gradient)))
    assert found[1][0] == pytest.approx(found[0][0], rel=0.03)
    assert relative_error(found[1][1], found[0][1]) < 0.1
