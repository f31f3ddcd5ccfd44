"""Tiles cover an image, own every value once, and include its receptive field; tiled results equal untiled ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import (
    ENGINE,
    STABLE_POOLING,
    network_of,
    random_parameters,
    random_picture,
    relative_error,
    to_array,
    to_numpy,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.losses.objective import LossWeights, NetworkLosses, Objective
from styletransfer.losses.targets import Targets, find_targets
from styletransfer.losses.tiling import Span, cover, segments, smallest_tile
from styletransfer.pictures import pixels

every_model = pytest.mark.parametrize("model", models.names())


@st.composite
def covered(draw):
    """A network, some of its layers, and the sides of an image and a tile."""
    spec = models.load(draw(st.sampled_from(models.names()))).SPEC
    layers = draw(st.lists(st.sampled_from(spec.layer_names), min_size=1, max_size=4, unique=True))
    least = spec.smallest_side(spec.deepest(layers))
    height, width = (draw(st.integers(least, 900)) for _ in range(2))
    return spec, layers, height, width, smallest_tile(spec, layers) + draw(st.integers(0, 400))


@given(covered())
@settings(max_examples=300, deadline=None)
def test_segments_compute_the_layers_of_the_network(case):
    spec, layers, height, width, side = case
    found = segments(spec, layers, height, width, side)
    assert sorted(layer for segment in found for layer in segment.layers) == sorted(layers)
    for layer in layers:
        (place,) = [number for number, segment in enumerate(found) if layer in segment.layers]
        ends = [spec.layer_names.index(segment.cut) for segment in found if segment.cut]
        assert place == sum(end < spec.layer_names.index(layer) for end in ends)
    assert [segment.after for segment in found] == [None, *(segment.cut for segment in found[:-1])]
    assert found[-1].cut is None
    for segment in found:
        before = (3, height, width) if segment.after is None else spec.output_shape(segment.after, height, width)
        assert segment.shape == before
        for layer in segment.outputs:
            assert segment.spec.output_shape(layer, *before[1:]) == spec.output_shape(layer, height, width)


@given(covered())
@settings(max_examples=300, deadline=None)
def test_every_value_is_owned_once_and_the_halo_suffices_for_its_gradient(case):
    spec, layers, height, width, side = case
    first, *others = segments(spec, layers, height, width, side)
    assert first.tiling.height <= min(side, height) and first.tiling.width <= min(side, width)
    for segment in (first, *others):
        _, height, width = segment.shape
        assert segment.tiling.height <= height and segment.tiling.width <= width
        for layer in segment.outputs:
            check_layer(segment, layer, height, width)


def check_layer(segment, layer, height, width):
    spec, tiling = segment.spec, segment.tiling
    field = spec.receptive_field(layer)
    _, *shape = spec.output_shape(layer, height, width)
    _, *window_shape = spec.output_shape(layer, tiling.height, tiling.width)
    owners, pixel_owners = np.zeros(shape, int), np.zeros((height, width), int)
    for tile in tiling:
        both = []
        for span, length, window, values, values_inside in zip(
            (tile.rows, tile.columns), (height, width), (tiling.height, tiling.width), shape, window_shape
        ):
            assert span.start >= 0 and span.start + window <= length and span.start % field.stride == 0
            owned, inside = span.owned(field.stride, values), span.owned_in_window(field.stride, values)
            assert owned.start - inside.start == owned.stop - inside.stop == span.start // field.stride
            assert 0 <= inside.start <= inside.stop <= values_inside
            first = np.arange(values) * field.stride - field.offset  # what each value sees, from here ...
            last = first + field.size  # ... to here
            needed = (first < span.end) & (last > span.begin)  # those that see an owned pixel
            needed[owned] = True
            for a, b in zip(first[needed], last[needed]):
                assert max(a, 0) >= span.start and min(b, length) <= span.start + window
            both.append(owned)
        owners[both[0], both[1]] += 1
        pixel_owners[tile.rows.begin : tile.rows.end, tile.columns.begin : tile.columns.end] += 1
    assert (owners == 1).all() and (pixel_owners == 1).all(), layer


def test_a_known_cover():
    tiling = cover(models.load("vgg19").SPEC, ["relu1_1"], 10, 4, (7, 7))
    assert (tiling.height, tiling.width, tiling.whole) == (7, 4, False)
    assert [tile.rows for tile in tiling] == [Span(0, 0, 5), Span(3, 5, 10)]
    assert {tile.columns for tile in tiling} == {Span(0, 0, 4)}


def test_known_segments():
    spec = models.load("vgg19").SPEC
    found = segments(spec, [*spec.style_layers, "relu4_2"], 2731, 4096, 512)
    assert [(segment.after, segment.layers, segment.cut) for segment in found] == [
        (None, ("relu1_1", "relu2_1"), "pool2"),
        ("pool2", ("relu3_1",), "pool3"),
        ("pool3", ("relu4_1", "relu4_2"), "pool4"),
        ("pool4", ("relu5_1",), None),
    ]
    assert [segment.shape for segment in found[1:]] == [(128, 682, 1024), (256, 341, 512), (512, 170, 256)]
    assert found[-1].whole and not any(segment.whole for segment in found[:-1])
    computed = sum(
        len(segment.tiling) * segment.tiling.height * segment.tiling.width / np.prod(segment.shape[1:])
        for segment in found
    )
    assert computed / len(found) < 1.15


def test_consecutive_segments_that_need_one_window_are_merged():
    spec = models.load("vgg19").SPEC
    found = segments(spec, spec.style_layers, 900, 900, 640)
    assert [segment.after for segment in found] == [None, "pool2"]
    assert found[1].whole


def test_no_tile_size_is_one_segment_and_one_tile():
    (segment,) = segments(models.load("vgg19").SPEC, ["relu5_1"], 3000, 5000, None)
    assert segment.whole and segment.cut is None


def test_a_picture_too_small_for_the_network_still_has_segments():
    """Memory is estimated for such pictures too, in the search for a size that fits."""
    spec, layers = models.load("squeezenet").SPEC, ("pool1", "fire2_squeeze")
    found = segments(spec, layers, 3, 29, smallest_tile(spec, layers))
    assert [segment.shape for segment in found] == [(3, 3, 29), (96, 0, 6)]


def test_windows_are_as_small_as_the_number_of_tiles_allows():
    tiling = cover(models.load("vgg19").SPEC, ["pool2"], 530, 530, (512, 512))
    assert len(tiling) == 4 and tiling.height < 300


def test_a_tile_that_owns_nothing_is_rejected():
    with pytest.raises(ValueError, match="own nothing"):
        cover(models.load("vgg19").SPEC, ["relu5_1"], 1000, 1000, (200, 200))


@dataclasses.dataclass(frozen=True)
class Case:
    model: str
    pooling: str
    height: int
    width: int
    tile: int
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    smooth: bool  # weights for which no ReLU input is negative


def parameters_of(case):
    parameters = random_parameters(case.model)
    if not case.smooth:
        return parameters
    positive = {name: np.abs(values) for name, values in parameters.items()}
    return {
        name: values if values.ndim == 1 else values / values.sum(axis=(1, 2, 3), keepdims=True)
        for name, values in positive.items()
    }


def evaluation(case, tile, seed):
    """Targets, raw losses and gradient."""
    network = network_of(case.model, parameters_of(case), case.pooling)
    lift = 130 if case.smooth else 0  # makes all values positive, and pictures differ by more than their noise
    content, style, image = (
        to_array(pixels.from_picture(random_picture(*size, seed + number), "rgb255") + lift * (number + 1))
        for number, size in enumerate(
            ((case.height, case.width), (case.width, case.height + 9), (case.height, case.width))
        )
    )
    targets = find_targets(
        network, tile, content, [(1.0, style)], case.content_layers, case.style_layers, case.height, case.width
    )
    weights = LossWeights(2.0, dict.fromkeys(case.content_layers, 1.0), 3.0, dict.fromkeys(case.style_layers, 1.0), 0.0)
    normalization = NORMALIZATIONS["balanced"]
    objective = Objective(network, tile, targets, normalization, weights, None, 1.0, case.height, case.width)
    found = objective(image)
    return targets, found.losses.layers, to_numpy(found.gradient)


def compare(case):
    """Compare tiled with untiled, to 1e-5.

    The gradient is discontinuous where the input of a ReLU is 0 up to rounding, or the two largest values of a max
    pooling are equal up to rounding, so it may differ in a receptive field there. That depends on the picture, while an
    error in tiling affects every picture: so the gradient must be the same for at least one of several pictures. With
    smooth weights and average pooling, it must be the same for every picture.
    """
    errors = []
    for seed in range(1 if case.smooth else 8):
        errors.append(compare_one(case, seed))
        if errors[-1] < 1e-5:
            return
    raise AssertionError(errors)


def compare_one(case, seed):
    """The relative error of the gradient; targets and losses are compared here."""
    untiled, tiled = evaluation(case, None, seed), evaluation(case, case.tile, seed)
    for group in ("content", "style"):
        for layer, target in getattr(untiled[0], group).items():
            assert relative_error(to_numpy(getattr(tiled[0], group)[layer]), to_numpy(target)) < 1e-5, (group, layer)
    assert tiled[1] == pytest.approx(untiled[1], rel=1e-5)
    return relative_error(tiled[2], untiled[2])


@every_model
@pytest.mark.parametrize(("pooling", "smooth"), [("avg", True), ("avg", False), ("max", False)])
def test_tiled_losses_and_gradient_equal_untiled_ones(model, pooling, smooth):
    spec = models.load(model).SPEC
    layers = tuple(spec.style_layers), tuple(spec.content_layers)
    side = smallest_tile(spec, [*layers[0], *layers[1]]) + 5
    case = Case(model, pooling, side + 90, side + 37, side, *layers, smooth)
    first, *others = segments(spec, [*layers[0], *layers[1]], case.height, case.width, side)
    assert len(first.tiling) >= 9 and len(others) >= 2
    compare(case)


@st.composite
def cases(draw):
    model = draw(st.sampled_from(["vgg_slim", "squeezenet"]))
    spec = models.load(model).SPEC
    names = spec.layer_names[: spec.layer_names.index("relu4_1" if model == "vgg_slim" else "fire6") + 1]
    styles = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    contents = draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    height, width = (draw(st.integers(40, 190)) for _ in range(2))
    tile = smallest_tile(spec, styles + contents) + draw(st.integers(0, 40))
    return Case(model, STABLE_POOLING, height, width, tile, tuple(styles), tuple(contents), smooth=True)


@given(cases())
@settings(max_examples=25, deadline=None)
def test_tiled_equals_untiled_for_any_size_and_layers(case):
    compare(case)


def test_content_alone_and_style_alone_are_tiled():
    both = Case("vgg_slim", STABLE_POOLING, 150, 170, 110, ("relu1_1", "relu3_1"), ("relu2_2", "relu3_1"), True)
    compare(dataclasses.replace(both, content_layers=()))
    compare(dataclasses.replace(both, style_layers=()))


def test_a_second_evaluation_is_independent_of_the_first():
    case = Case("vgg_slim", STABLE_POOLING, 150, 170, 110, ("relu1_1", "relu3_1"), ("relu2_2",), False)
    targets = Targets(
        {"relu2_2": ENGINE.zeros((1, 48, 75, 85))},
        {"relu1_1": ENGINE.zeros((16, 16)), "relu3_1": ENGINE.zeros((64, 64))},
    )
    coefficients = {("content", "relu2_2"): 1e-3, ("style", "relu1_1"): 1e-9, ("style", "relu3_1"): 1e-9}
    losses = NetworkLosses(network_of(case.model, pooling=case.pooling), case.tile, targets, coefficients, 150, 170)
    image = to_array(pixels.from_picture(random_picture(150, 170, 0), "rgb255"))

    def evaluated(image):
        raw, gradient = losses(image)
        return {layer: ENGINE.numbers(values) for layer, values in raw.items()}, to_numpy(gradient)

    first, gradient = evaluated(image)
    evaluated(image * 0.5)
    again, gradient_again = evaluated(image)
    assert again == first
    np.testing.assert_array_equal(gradient_again, gradient)
