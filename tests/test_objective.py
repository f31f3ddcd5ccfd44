"""The objective against the independent reference: losses, gradients, targets, and finite differences."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
from helpers import (
    ENGINE,
    STABLE_POOLING,
    architecture,
    features_of,
    network_of,
    random_parameters,
    random_picture,
    relative_error,
    to_array,
    to_numpy,
)
from reference import formulas, guides, numpy_vgg

import models
from models.vgg import CONTENT_LAYERS, STYLE_LAYERS
from styletransfer import config, weights
from styletransfer.losses.objective import Losses
from styletransfer.pictures import pixels
from styletransfer.session.binding import bind
from styletransfer.session.inputs import Pictures
from styletransfer.session.picture_sizes import Scale
from styletransfer.session.regions import RegionMasks
from styletransfer.session.resolve import resolve
from styletransfer.weights import parameters_for

SIZE = (29, 38)  # halving gives odd sides


@dataclasses.dataclass(frozen=True)
class Region:
    """A region with its share of the image as a function of (y, x), each 0..1.

    Its paintings are numbers among the case's styles, with their weights and the seed of a mask, if they have one.
    """

    share: Callable[[np.ndarray, np.ndarray], np.ndarray]
    paintings: tuple[tuple[int, float, int | None], ...]
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A style transfer with random weights between random pictures."""

    model: str = "vgg_slim"
    normalization: str = "balanced"
    pooling: str = STABLE_POOLING
    pixels: str = "rgb255"
    size: tuple[int, int] = SIZE
    styles: tuple[tuple[float, tuple[int, int]], ...] = ((1.0, SIZE),)  # blending weights and sizes
    content: tuple[float, dict] = (2.0, CONTENT_LAYERS)  # weight, layers
    style: tuple[float, dict] = (30.0, STYLE_LAYERS)
    tv: tuple[str, float] = ("none", 0.0)
    regions: tuple[Region, ...] = ()


UNEVEN_STYLE = {"relu1_1": 0.5, "relu2_1": 1.0, "pool2": 0.25, "relu4_1": 2.0}
BLENDED = ((0.25, SIZE), (0.6, (23, 37)), (0.15, (40, 19)))
SKY_AND_GROUND = (
    Region(lambda y, x: np.clip(1.5 - 2 * y, 0, 1), ((0, 1.0, None),)),
    Region(lambda y, x: 1 - np.clip(1.5 - 2 * y, 0, 1), ((1, 1.0, None),)),
)
THREE = (
    Region(lambda y, x: (x < 0.3) * 1.0, ((0, 1.0, 3), (2, 3.0, None)), weight=2.0),
    Region(lambda y, x: (x >= 0.3) * y, ((1, 1.0, 4),)),
    Region(lambda y, x: (x >= 0.3) * (1 - y), ((0, 1.0, 5),), weight=0.5),
)
CASES = {
    "plain": Case(),
    "one style of another size": Case(styles=((1.0, (40, 19)),)),
    "blended styles": Case(styles=BLENDED),
    "layer weights": Case(content=(0.5, {"relu2_2": 3.0, "pool3": 0.5}), style=(7.0, UNEVEN_STYLE)),
    "shared layers": Case(content=(2.0, {"relu3_1": 1.0, "relu1_1": 0.5}), styles=BLENDED),
    "max pooling": Case(pooling="max"),
    "no style": Case(style=(0.0, STYLE_LAYERS), content=(1.0, {"relu2_1": 1.0, "relu3_2": 2.0})),
    "no content": Case(content=(0.0, CONTENT_LAYERS)),
    "laplacian": Case(tv=("laplacian", 0.3)),
    "squared": Case(tv=("squared", 0.3), styles=BLENDED),
    "tv beside a single group": Case(content=(0.0, CONTENT_LAYERS), tv=("laplacian", 0.05)),
    "another space": Case(pixels="torchvision"),
    "vgg19": Case(model="vgg19", size=(33, 41), styles=((0.7, (33, 41)), (0.3, (21, 35))), tv=("laplacian", 0.01)),
    "regions": Case(styles=BLENDED, regions=SKY_AND_GROUND),
    "regions in a shared layer": Case(
        content=(2.0, {"relu3_1": 1.0, "relu1_1": 0.5}), styles=BLENDED, regions=SKY_AND_GROUND
    ),
    "three regions": Case(styles=BLENDED, style=(7.0, UNEVEN_STYLE), regions=THREE),
    "regions, max pooling": Case(pooling="max", styles=BLENDED, regions=THREE),
    "regions, vgg19": Case(model="vgg19", size=(33, 41), styles=BLENDED, regions=THREE),
}

every_case = pytest.mark.parametrize("name", CASES)
every_normalization = pytest.mark.parametrize("normalization", ["balanced", "mxnet"])


@functools.cache
def picture_of(size, seed):
    return random_picture(*size, seed)


def prepared(case, parameters=None, with_content=True):
    """The library's run of a case, with pictures that are not read from files."""
    (content_weight, content_layers), (style_weight, style_layers) = case.content, case.style
    settings = config.parse(
        {
            "model": case.model,
            "normalization": case.normalization,
            "pooling": case.pooling,
            "pixels": case.pixels,
            "precision": "float32",
            "content": {"image": "content", "weight": content_weight, "layers": content_layers},
            "style": {"images": None if case.regions else "style", "weight": style_weight, "layers": style_layers},
            "regions": [
                {"style": {f"style{number}": weight for number, weight, _ in region.paintings}, "content": f"mask{at}"}
                for at, region in enumerate(case.regions)
            ]
            or None,
            "tv": {"kind": case.tv[0], "weight": case.tv[1]},
            "init": {"kind": "noise", "deviation": 1 if case.pixels == "torchvision" else 50},
        },
        "test",
    )
    styles = tuple((share, picture_of(size, 10 + number)) for number, (share, size) in enumerate(case.styles))
    if case.regions:
        styles = tuple(styles[int(name[-1])] for name in settings.used_styles)
    content = picture_of(case.size, 1) if with_content else None
    styles = styles if style_weight > 0 else ()
    pictures = Pictures(content, styles, None, tuple(masks_of(case)))
    plan = resolve(settings, [Scale(*case.size, tuple(style.shape[:2] for _, style in styles))])
    return bind(plan, plan.scales[0], pictures, parameters or random_parameters(case.model))


def masks_of(case):
    """The regions of a case, as they are read."""
    y, x = (np.linspace(0, 1, length) for length in case.size)
    for region in case.regions:
        whole = sum(weight for _, weight, _ in region.paintings)
        paintings = {
            f"style{number}": (weight / whole, mask_of(case.styles[number][1], seed))
            for number, weight, seed in region.paintings
        }
        yield RegionMasks(region.share(y[:, None], x[None, :]) * np.ones(case.size), paintings, region.weight)


def mask_of(size, seed):
    return None if seed is None else np.random.default_rng(seed).random(size) ** 2


def reference_network(case):
    """The arguments of the reference networks, except the image."""
    parameters = parameters_for(models.load(case.model).SPEC, random_parameters(case.model), case.pixels)
    blocks, projections = architecture(case.model)
    return blocks, parameters, case.pooling, projections


def problem_of(case):
    """The same case, for the reference."""

    def enter(picture):
        return pixels.from_picture(picture, case.pixels)[0].astype(np.float64)

    styles = [(share, enter(picture_of(size, 10 + number))) for number, (share, size) in enumerate(case.styles)]
    content = enter(picture_of(case.size, 1))
    spec, layers = models.load(case.model).SPEC, case.style[1]

    def guided(mask):
        return None if mask is None else {layer: guides.guide(mask, spec, layer) for layer in layers}

    regions = [
        formulas.Region(
            guided(region.mask),
            [(share, styles[int(name[-1])][1], guided(mask)) for name, (share, mask) in region.paintings.items()],
            region.weight,
        )
        for region in masks_of(case)
    ]
    return formulas.Problem(case.normalization, content, styles, *case.content, *case.style, *case.tv, regions)


def reference_losses(case, image):
    network = reference_network(case)
    return formulas.weighted_losses(problem_of(case), image, lambda picture: numpy_vgg.see(*network, picture))


def image_of(run):
    return to_numpy(run.image)[0].astype(np.float64)


@every_normalization
@every_case
def test_the_losses_match_the_reference(name, normalization):
    case = dataclasses.replace(CASES[name], normalization=normalization)
    run = prepared(case)
    found = run.objective(run.image).losses
    expected = reference_losses(case, image_of(run))
    assert found.tv == pytest.approx(expected.pop("tv"), rel=2e-5)
    assert found.layers == pytest.approx(expected, rel=2e-5)
    assert set(run.objective.grouped_layers) == set(expected)
    assert found.total == pytest.approx(sum(expected.values()) + found.tv, rel=2e-5)


@every_normalization
@every_case
def test_the_gradient_matches_the_reference(name, normalization):
    pytest.importorskip("torch")
    from reference import torch_vgg

    case = dataclasses.replace(CASES[name], normalization=normalization)
    run = prepared(case)
    found = run.objective(run.image)
    expected, expected_tv = torch_vgg.gradients(problem_of(case), reference_network(case), image_of(run))
    assert relative_error(to_numpy(found.gradient)[0], expected) < 3e-4
    if case.tv[0] == "none":
        assert found.tv_gradient is None
    else:
        assert relative_error(to_numpy(found.tv_gradient)[0], expected_tv) < 1e-5


@every_normalization
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_the_gradient_matches_finite_differences(pooling, normalization):
    case = Case(normalization=normalization, pooling=pooling, styles=BLENDED, tv=("squared", 0.3))
    run = prepared(case)
    found = run.objective(run.image)
    # A relative normalization multiplies the gradient by the number of values in the image.
    factor = math.prod(run.image.shape) if normalization == "balanced" else 1.0
    gradient = to_numpy(found.gradient + found.tv_gradient).astype(np.float64) / factor
    generator = np.random.default_rng(8)
    image = image_of(run)[None]
    for _ in range(3):
        noise = generator.normal(size=image.shape)
        direction = noise / np.linalg.norm(noise) + gradient / np.linalg.norm(gradient)
        step = 0.2 if pooling == "avg" else 0.05  # a maximum is not smooth
        there, back = (run.objective(to_array(image + sign * step * direction)).losses.total for sign in (1, -1))
        assert (there - back) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=2e-3)


@pytest.mark.parametrize(
    ("only", "seed"),
    [({"style": (0.0, STYLE_LAYERS)}, 1), ({"content": (0.0, CONTENT_LAYERS)}, 10)],
    ids=["content", "style"],
)
@every_normalization
def test_at_the_picture_itself_its_loss_is_zero(normalization, only, seed):
    run = prepared(Case(normalization=normalization, **only))
    start = run.objective(run.image).losses.total
    evaluation = run.objective(to_array(pixels.from_picture(picture_of(SIZE, seed), "rgb255")))
    assert evaluation.losses.total < 1e-9 * start


def test_under_balanced_the_tv_of_the_content_picture_is_its_weight():
    for kind in ("laplacian", "squared"):
        run = prepared(Case(tv=(kind, 0.3)))
        content = to_array(pixels.from_picture(picture_of(SIZE, 1), "rgb255"))
        assert run.objective(content).losses.tv == pytest.approx(0.3, rel=1e-6)


def test_without_a_content_picture_the_tv_of_the_first_style_is_its_weight():
    case = Case(content=(0.0, CONTENT_LAYERS), tv=("squared", 0.3))
    run = prepared(case, with_content=False)
    style = to_array(pixels.from_picture(picture_of(SIZE, 10), "rgb255"))
    assert run.objective(style).losses.tv == pytest.approx(0.3, rel=1e-6)


def test_under_balanced_the_losses_of_an_image_without_features_are_the_weights():
    """Its distance from each target is the size of the target."""
    without_biases = weights.random(models.load("vgg_slim").SPEC, seed=0)
    case = Case(content=(2.0, {"relu2_2": 3.0, "pool3": 0.5}), style=(30.0, UNEVEN_STYLE))
    run = prepared(case, without_biases)
    losses = run.objective(ENGINE.zeros(run.image.shape)).losses
    assert losses.content == pytest.approx(2.0, rel=1e-6)
    assert losses.style == pytest.approx(30.0, rel=1e-6)
    assert losses.layers["content", "relu2_2"] == pytest.approx(2.0 * 3.0 / 3.5, rel=1e-6)
    assert losses.layers["style", "relu4_1"] == pytest.approx(30.0 * 2.0 / 3.75, rel=1e-6)


@every_normalization
def test_weights_scale_losses_and_gradients(normalization):
    one = Case(
        normalization=normalization, content=(0.0, CONTENT_LAYERS), style=(1.0, STYLE_LAYERS), tv=("laplacian", 1.0)
    )
    seven = dataclasses.replace(one, style=(7.0, STYLE_LAYERS), tv=("laplacian", 3.0))
    first, second = (run.objective(run.image) for run in map(prepared, (one, seven)))
    assert second.losses.style == pytest.approx(7 * first.losses.style, rel=1e-6)
    assert second.losses.tv == pytest.approx(3 * first.losses.tv, rel=1e-6)
    assert relative_error(to_numpy(second.gradient), 7 * to_numpy(first.gradient)) < 1e-5
    assert relative_error(to_numpy(second.tv_gradient), 3 * to_numpy(first.tv_gradient)) < 1e-6


def test_an_evaluation_depends_only_on_its_image():
    case = Case(tv=("laplacian", 0.3))
    run = prepared(case)
    other = to_array(np.random.default_rng(9).normal(0, 40, run.image.shape))
    expected = run.objective(run.image)
    losses, gradient, tv_gradient = expected.losses, to_numpy(expected.gradient), to_numpy(expected.tv_gradient)
    image = to_numpy(run.image)
    run.objective(other)
    again = run.objective(run.image)
    assert again.losses == losses
    np.testing.assert_array_equal(to_numpy(again.gradient), gradient)
    np.testing.assert_array_equal(to_numpy(again.tv_gradient), tv_gradient)
    np.testing.assert_array_equal(to_numpy(run.image), image)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("model", models.names())
def test_a_forward_only_network_has_the_features_of_a_trainable_one(model, pooling):
    layers = models.load(model).SPEC.layer_names
    network, image = network_of(model, pooling=pooling), np.random.default_rng(2).normal(0, 60, (1, 3, 33, 47))
    without, with_gradients = (features_of(network, layers, image, trainable=trainable) for trainable in (False, True))
    for layer in layers:
        assert relative_error(without[layer], with_gradients[layer]) < 1e-5, layer


def test_the_sums_of_losses_are_the_sums_of_their_layers():
    losses = Losses({("content", "relu4_2"): 1.0, ("style", "relu1_1"): 2.0, ("style", "relu2_1"): 4.0}, 8.0)
    assert (losses.content, losses.style, losses.tv, losses.total) == (1.0, 6.0, 8.0, 15.0)
