"""Tiles cover an image, own every value once, and see all that an owned value sees; tiled is untiled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import mx, random_parameters, random_picture, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from styletransfer import pixels
from styletransfer.conventions import CONVENTIONS
from styletransfer.network import Source
from styletransfer.objective import NetworkLosses, Objective, Weights
from styletransfer.targets import Targets, find_targets
from styletransfer.tiling import Span, cover, smallest_tile

every_model = pytest.mark.parametrize("model", models.names())


@st.composite
def covered(draw):
    """A model's spec, some of its layers, an image's sides and a tile's."""
    spec = models.load(draw(st.sampled_from(models.names()))).SPEC
    layers = draw(st.lists(st.sampled_from(spec.layer_names), min_size=1, max_size=4, unique=True))
    least = spec.smallest_side(spec.deepest(layers))
    height, width = (draw(st.integers(least, 1500)) for _ in range(2))
    return spec, layers, height, width, smallest_tile(spec, layers) + draw(st.integers(0, 400))


@given(covered())
@settings(max_examples=300, deadline=None)
def test_every_value_of_every_layer_is_owned_once_and_seen_whole(case):
    spec, layers, height, width, side = case
    tiling = cover(spec, layers, height, width, side)
    assert tiling.height <= min(side, height) and tiling.width <= min(side, width)
    for layer in layers:
        field = spec.receptive_field(layer)
        _, *shape = spec.output_shape(layer, height, width)
        _, *window_shape = spec.output_shape(layer, tiling.height, tiling.width)
        owners = np.zeros(shape, int)
        for tile in tiling.tiles:
            both = []
            for span, length, window, values, values_inside in zip(
                (tile.rows, tile.columns), (height, width), (tiling.height, tiling.width), shape, window_shape
            ):
                assert span.start >= 0 and span.start + window <= length and span.start % field.stride == 0
                owned, inside = span.owned(field.stride, values), span.owned_in_window(field.stride, values)
                assert owned.start - inside.start == owned.stop - inside.stop == span.start // field.stride
                assert 0 <= inside.start <= inside.stop <= values_inside
                if owned.stop > owned.start:
                    first = owned.start * field.stride - field.offset
                    last = (owned.stop - 1) * field.stride - field.offset + field.size
                    assert span.start <= max(first, 0) or span.start == 0
                    assert min(last, length) <= span.start + window
                    if span.start > 0:
                        assert first >= span.start
                    if span.start + window < length:
                        assert last <= span.start + window
                both.append(owned)
            owners[both[0], both[1]] += 1
        assert (owners == 1).all(), layer


def test_a_cover_known_by_heart():
    tiling = cover(models.load("vgg19").SPEC, ["relu1_1"], 10, 4, 6)
    assert (tiling.height, tiling.width, tiling.whole) == (6, 4, False)
    assert [tile.rows for tile in tiling.tiles] == [Span(0, 0, 5), Span(4, 5, 10)]
    assert {tile.columns for tile in tiling.tiles} == {Span(0, 0, 4)}


def test_no_tile_size_is_one_tile():
    assert cover(models.load("vgg19").SPEC, ["relu5_1"], 3000, 5000, None).whole


def test_windows_are_no_larger_than_so_many_tiles_need():
    tiling = cover(models.load("vgg19").SPEC, ["relu5_1"], 530, 530, 512)
    assert len(tiling.tiles) == 4 and tiling.height < 360


def test_a_tile_that_owns_nothing_is_refused():
    with pytest.raises(ValueError, match="own nothing"):
        cover(models.load("vgg19").SPEC, ["relu5_1"], 1000, 1000, 150)


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    pooling: str
    height: int
    width: int
    tile: int
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]


def evaluation(case, tile):
    """Targets, raw losses and gradient."""
    parameters = random_parameters(case.model)
    source = Source(case.model, case.pooling, parameters, mx.cpu(), tile)
    content, style, image = (
        mx.nd.array(pixels.from_picture(random_picture(*size, seed), "rgb255"))
        for seed, size in enumerate(
            ((case.height, case.width), (case.width, case.height + 9), (case.height, case.width))
        )
    )
    targets = find_targets(
        source, content, [(1.0, style)], case.content_layers, case.style_layers, case.height, case.width
    )
    weights = Weights(2.0, dict.fromkeys(case.content_layers, 1.0), 3.0, dict.fromkeys(case.style_layers, 1.0), 0.0)
    objective = Objective(source, targets, CONVENTIONS["balanced"], weights, None, 1.0, case.height, case.width)
    found = objective(image)
    return targets, found.losses.layers, found.gradient.asnumpy()


def compare(case):
    untiled, tiled = evaluation(case, None), evaluation(case, case.tile)
    for group in ("content", "style"):
        for layer, target in getattr(untiled[0], group).items():
            assert relative_error(getattr(tiled[0], group)[layer].asnumpy(), target.asnumpy()) < 1e-5, (group, layer)
    assert tiled[1] == pytest.approx(untiled[1], rel=1e-5)
    assert relative_error(tiled[2], untiled[2]) < 1e-5
    return untiled[2]


@every_model
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_tiled_losses_and_gradient_are_the_untiled_ones(model, pooling):
    spec = models.load(model).SPEC
    layers = tuple(spec.style_layers), tuple(spec.content_layers)
    side = smallest_tile(spec, [*layers[0], *layers[1]]) + 5
    case = Case(model, pooling, side + 90, side + 37, side, *layers)
    source = Source(model, pooling, random_parameters(model), mx.cpu(), side)
    assert len(source.bind(*layers, case.height, case.width, trainable=False).tiling.tiles) >= 4
    compare(case)


@st.composite
def cases(draw):
    model = draw(st.sampled_from(["vgg_slim", "squeezenet"]))
    spec = models.load(model).SPEC
    names = spec.layer_names[: spec.layer_names.index("pool3" if model == "vgg_slim" else "fire5") + 1]
    styles = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    contents = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    height, width = (draw(st.integers(40, 190)) for _ in range(2))
    tile = smallest_tile(spec, styles + contents) + draw(st.integers(0, 40))
    pooling = draw(st.sampled_from(["avg", "max"]))
    return Case(model, pooling, height, width, tile, tuple(styles), tuple(contents))


@given(cases())
@settings(max_examples=25, deadline=None)
def test_tiled_is_untiled_for_any_size_and_layers(case):
    compare(case)


def test_content_alone_and_style_alone_are_tiled():
    both = Case("vgg_slim", "avg", 150, 170, 110, ("relu1_1", "relu3_1"), ("relu2_2", "relu3_1"))
    compare(dataclasses.replace(both, content_layers=()))
    compare(dataclasses.replace(both, style_layers=()))


def test_a_second_evaluation_starts_anew():
    case = Case("vgg_slim", "avg", 150, 170, 110, ("relu1_1", "relu3_1"), ("relu2_2",))
    source = Source(case.model, case.pooling, random_parameters(case.model), mx.cpu(), case.tile)
    targets = Targets(
        {"relu2_2": mx.nd.zeros((1, 64, 75, 85))},
        {"relu1_1": mx.nd.zeros((32, 32)), "relu3_1": mx.nd.zeros((128, 128))},
    )
    coefficients = {"content.relu2_2": 1e-3, "style.relu1_1": 1e-9, "style.relu3_1": 1e-9}
    losses = NetworkLosses(source, targets, coefficients, 150, 170)
    image = mx.nd.array(pixels.from_picture(random_picture(150, 170, 0), "rgb255"))
    first, gradient = losses(image), losses.gradient.asnumpy()
    losses(image * 0.5)
    assert losses(image) == first
    np.testing.assert_array_equal(losses.gradient.asnumpy(), gradient)
