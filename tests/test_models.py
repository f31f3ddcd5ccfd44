"""The contract of every network: its symbol matches its SPEC."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import features_of, mxnet, network_of, random_parameters, random_picture, relative_error

import models
from styletransfer.pictures import pixels

SIDES = (1, 2, 3, 4, 8, 15, 16, 17, 31, 32, 33, 57, 64, 101, 227)

every_model = pytest.mark.parametrize("name", models.names())


def spec_of(name):
    return models.load(name).SPEC


def symbols(name, style_layers, content_layers, pooling=None):
    mxnet()
    return models.load(name).get_symbol(style_layers, content_layers, pooling)


def seen(name, layers, pooling):
    """The features of a picture in a network with random weights, by layer."""
    image = pixels.from_picture(random_picture(47, 61, seed=1), spec_of(name).pixels)
    return features_of(network_of(name, pooling=pooling), layers, image)


def test_the_names_are_those_of_the_modules():
    assert models.names() == ("squeezenet", "vgg16", "vgg19", "vgg19_16x", "vgg19_small", "vgg_slim")
    assert all(spec_of(name).name == name for name in models.names())


def test_an_unknown_model_is_a_key_error():
    with pytest.raises(KeyError, match="vgg20"):
        models.load("vgg20")


@every_model
@pytest.mark.parametrize(("height", "width"), [(33, 47), (64, 99), (227, 129), (131, 61)])
def test_shapes_match_mxnet(name, height, width):
    spec = spec_of(name)
    inferred = symbols(name, spec.layer_names, [])[0].infer_shape(data=(1, 3, height, width))[1]
    assert inferred == [(1, *spec.output_shape(layer, height, width)) for layer in spec.layer_names]


@every_model
def test_every_layer_can_be_tapped_as_style_or_as_content(name):
    layers = spec_of(name).layer_names
    for style_layers, content_layers in ((layers, layers[::-1]), (layers[::2], layers[1::2])):
        style, content = symbols(name, style_layers, content_layers)
        assert len(style.list_outputs()) == len(style_layers)
        shapes = [spec_of(name).output_shape(layer, 33, 47) for layer in content_layers]
        assert [shape[1:] for shape in content.infer_shape(data=(1, 3, 33, 47))[1]] == shapes


@every_model
def test_a_group_without_layers_is_none(name):
    layer = spec_of(name).layer_names[0]
    style, content = symbols(name, [layer], [])
    assert style is not None and content is None
    style, content = symbols(name, [], [layer])
    assert style is None and content is not None


@every_model
@pytest.mark.parametrize("layer", ["relu9_9", "", "data", "conv1_1", "conv1"])
def test_an_unknown_layer_is_a_key_error(name, layer):
    known = spec_of(name).layer_names[0]
    with pytest.raises(KeyError):
        symbols(name, [known, layer], [])
    with pytest.raises(KeyError):
        symbols(name, [known], [layer])
    with pytest.raises(KeyError):
        spec_of(name).output_shape(layer, 64, 64)


@every_model
def test_layers_after_the_deepest_tap_are_not_built(name):
    spec = spec_of(name)
    before = 0
    for layer in spec.layer_names:
        arguments = [argument for argument in symbols(name, [layer], [])[0].list_arguments() if argument != "data"]
        branch = layer.startswith("proj")  # no layer follows a projection
        trunk = [parameter for parameter in spec.parameters if not parameter.startswith("proj")]
        own = [f"{layer}_weight", f"{layer}_bias"] if branch else []
        assert arguments == trunk[: len(arguments) - len(own)] + own
        if not branch:
            assert len(arguments) >= before
            before = len(arguments)
    assert len(symbols(name, [spec.layer_names[0]], [])[0].list_arguments()) == 3  # data, one weight, one bias


@every_model
def test_a_network_can_be_split_at_each_of_its_cuts(name):
    spec = spec_of(name)
    whole = seen(name, spec.layer_names, "avg")
    network = network_of(name, pooling="avg")
    assert spec.cuts
    for cut in spec.cuts:
        rest = spec.after(cut)
        found = features_of(network, rest.layer_names, whole[cut], after=cut)
        for layer in rest.layer_names:
            assert relative_error(found[layer], whole[layer]) < 1e-6, (cut, layer)
        with pytest.raises(KeyError, match=cut):
            network.bind([cut], whole[cut].shape[1:], after=cut)


@every_model
def test_the_parameters_are_the_arguments_of_the_whole_network(name):
    spec = spec_of(name)
    symbol = symbols(name, [], spec.layer_names)[1]
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=(1, 3, 64, 64))[0]))
    assert shapes.pop("data") == (1, 3, 64, 64)
    assert shapes == spec.parameters
    assert not symbol.list_auxiliary_states()


@every_model
def test_the_smallest_side_is_the_smallest(name):
    spec = spec_of(name)
    for layer in spec.layer_names:
        side = spec.smallest_side(layer)
        assert min(spec.output_shape(layer, side, side)) >= 1
        for height, width in ((side - 1, 500), (500, side - 1)):
            assert min(spec.output_shape(layer, height, width)) == 0
        (inferred,) = symbols(name, [layer], [])[0].infer_shape(data=(1, 3, side, side))[1]
        assert min(inferred) >= 1


@every_model
def test_an_image_too_small_for_a_layer_is_an_error(name):
    spec = spec_of(name)
    deepest = spec.layer_names[-1]
    symbol = symbols(name, [deepest], [])[0]
    with pytest.raises(mxnet().MXNetError):
        symbol.infer_shape(data=(1, 3, spec.smallest_side(deepest) - 1, 64))


@every_model
def test_longer_sides_never_give_smaller_layers(name):
    spec = spec_of(name)
    for layer in spec.layer_names:
        heights = [spec.output_shape(layer, side, 64)[1] for side in SIDES]
        assert heights == sorted(heights)


@every_model
def test_the_deepest_layer_does_not_depend_on_the_order(name):
    spec = spec_of(name)
    layers = spec.layer_names
    assert spec.deepest(layers) == spec.deepest(layers[::-1]) == layers[-1]
    assert spec.deepest([layers[2], layers[0]]) == layers[2]


@every_model
def test_the_default_layers_exist(name):
    spec = spec_of(name)
    assert set(spec.style_layers) <= set(spec.layer_names)
    assert set(spec.content_layers) <= set(spec.layer_names)
    assert spec.pixels in pixels.SPACES and spec.pooling in ("avg", "max")


@every_model
def test_pooling_affects_only_layers_after_the_first_pooling(name):
    layers = spec_of(name).layer_names
    first_pooling = next(layer for layer in layers if layer.startswith("pool"))
    before = layers[layers.index(first_pooling) - 1]
    average, maximum = (seen(name, [before, first_pooling], pooling) for pooling in ("avg", "max"))
    np.testing.assert_array_equal(average[before], maximum[before])
    assert np.all(average[first_pooling] <= maximum[first_pooling] + 1e-4)
    assert relative_error(average[first_pooling], maximum[first_pooling]) > 0.05


@every_model
def test_the_default_pooling_is_that_of_the_spec(name):
    spec = spec_of(name)
    layers = [layer for layer in spec.layer_names if layer.startswith("pool")]
    attributes = symbols(name, layers, [])[0].attr_dict()
    assert {attributes[layer]["pool_type"] for layer in layers} == {spec.pooling}


@every_model
def test_layers_tapped_together_equal_layers_tapped_alone(name):
    layers = spec_of(name).layer_names[:6]
    together = seen(name, layers, "avg")
    for layer in layers:
        np.testing.assert_array_equal(seen(name, [layer], "avg")[layer], together[layer])
        assert together[layer].min() >= 0 or layer.startswith("proj")  # all others come after a ReLU


def test_squeezenet_matches_the_paper():
    torch = pytest.importorskip("torch")
    from reference.torch_squeezenet import see

    layers = spec_of("squeezenet").layer_names
    found = seen("squeezenet", layers, "max")
    image = pixels.from_picture(random_picture(47, 61, seed=1), "caffe").astype(np.float64)
    expected = see(random_parameters("squeezenet"), torch.as_tensor(image))
    assert set(expected) == {*layers, "classes"}
    for layer in layers:
        assert relative_error(found[layer], expected[layer]) < 1e-5, layer


def test_squeezenet_classes_are_the_average_scores():
    symbol = symbols("squeezenet", ["relu_conv10"], ["classes"])[1]
    assert symbol.infer_shape(data=(1, 3, 64, 99))[1] == [(1, 1000)]
