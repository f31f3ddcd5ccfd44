"""Architectures as data: what follows from the nodes, against values written out by hand from the papers."""

from __future__ import annotations

import math

import pytest

import models
from models import graph
from models.graph import IMAGE, Node
from models.spec import ModelSpec, ReceptiveField

every_model = pytest.mark.parametrize("name", models.names())

# Layer, channels, size and stride of the receptive field, offset.
VGG_TO_BLOCK_2 = (
    *(("relu1_1", 64, 3, 1, 1), ("relu1_2", 64, 5, 1, 2), ("pool1", 64, 6, 2, 2)),
    *(("relu2_1", 128, 10, 2, 4), ("relu2_2", 128, 14, 2, 6), ("pool2", 128, 16, 4, 6)),
)
LAYERS = {
    "vgg16": (
        *VGG_TO_BLOCK_2,
        *(("relu3_1", 256, 24, 4, 10), ("relu3_2", 256, 32, 4, 14), ("relu3_3", 256, 40, 4, 18)),
        *(("pool3", 256, 44, 8, 18), ("relu4_1", 512, 60, 8, 26), ("relu4_2", 512, 76, 8, 34)),
        *(("relu4_3", 512, 92, 8, 42), ("pool4", 512, 100, 16, 42), ("relu5_1", 512, 132, 16, 58)),
        *(("relu5_2", 512, 164, 16, 74), ("relu5_3", 512, 196, 16, 90), ("pool5", 512, 212, 32, 90)),
    ),
    "vgg19": (
        *VGG_TO_BLOCK_2,
        *(("relu3_1", 256, 24, 4, 10), ("relu3_2", 256, 32, 4, 14), ("relu3_3", 256, 40, 4, 18)),
        *(("relu3_4", 256, 48, 4, 22), ("pool3", 256, 52, 8, 22), ("relu4_1", 512, 68, 8, 30)),
        *(("relu4_2", 512, 84, 8, 38), ("relu4_3", 512, 100, 8, 46), ("relu4_4", 512, 116, 8, 54)),
        *(("pool4", 512, 124, 16, 54), ("relu5_1", 512, 156, 16, 70), ("relu5_2", 512, 188, 16, 86)),
        *(("relu5_3", 512, 220, 16, 102), ("relu5_4", 512, 252, 16, 118), ("pool5", 512, 268, 32, 118)),
    ),
    "squeezenet": (
        *(("relu_conv1", 96, 7, 2, 0), ("pool1", 96, 11, 4, 0), ("fire2_squeeze", 16, 11, 4, 0)),
        *(("fire2", 128, 19, 4, 4), ("fire3_squeeze", 16, 19, 4, 4), ("fire3", 128, 27, 4, 8)),
        *(("fire4_squeeze", 32, 27, 4, 8), ("fire4", 256, 35, 4, 12), ("pool4", 256, 43, 8, 12)),
        *(("fire5_squeeze", 32, 43, 8, 12), ("fire5", 256, 59, 8, 20), ("fire6_squeeze", 48, 59, 8, 20)),
        *(("fire6", 384, 75, 8, 28), ("fire7_squeeze", 48, 75, 8, 28), ("fire7", 384, 91, 8, 36)),
        *(("fire8_squeeze", 64, 91, 8, 36), ("fire8", 512, 107, 8, 44), ("pool8", 512, 123, 16, 44)),
        *(("fire9_squeeze", 64, 123, 16, 44), ("fire9", 512, 155, 16, 60), ("relu_conv10", 1000, 155, 16, 60)),
    ),
}
FIRST = {  # the first parameters of every network
    "vgg16": {"conv1_1_weight": (64, 3, 3, 3), "conv1_1_bias": (64,), "conv1_2_weight": (64, 64, 3, 3)},
    "vgg19": {"conv1_1_weight": (64, 3, 3, 3), "conv1_1_bias": (64,), "conv1_2_weight": (64, 64, 3, 3)},
    "vgg19_16x": {"conv1_1_weight": (16, 3, 3, 3), "conv1_1_bias": (16,), "conv1_2_weight": (16, 16, 3, 3)},
    "vgg19_small": {
        **{"conv1_1_weight": (64, 3, 3, 3), "conv1_1_bias": (64,)},
        **{"conv1_2_reduce_weight": (8, 64, 1, 1), "conv1_2_reduce_bias": (8,)},
        **{"conv1_2_core_weight": (24, 8, 3, 3), "conv1_2_core_bias": (24,)},
        **{"conv1_2_weight": (64, 24, 1, 1), "conv1_2_bias": (64,), "conv2_1_reduce_weight": (16, 64, 1, 1)},
    },
    "vgg_slim": {
        **{"conv1_1_weight": (16, 3, 3, 3), "conv1_1_bias": (16,), "proj1_1_weight": (16, 16, 1, 1)},
        **{"proj1_1_bias": (16,), "conv1_2_weight": (32, 16, 3, 3), "conv1_2_bias": (32,)},
        **{"conv2_1_weight": (32, 32, 3, 3), "conv2_1_bias": (32,), "conv2_2_weight": (48, 32, 3, 3)},
        **{"conv2_2_bias": (48,), "proj2_1_weight": (48, 48, 1, 1), "proj2_1_bias": (48,)},
    },
    "squeezenet": {
        **{"conv1_weight": (96, 3, 7, 7), "conv1_bias": (96,)},
        **{"fire2_squeeze1x1_weight": (16, 96, 1, 1), "fire2_squeeze1x1_bias": (16,)},
        **{"fire2_expand1x1_weight": (64, 16, 1, 1), "fire2_expand1x1_bias": (64,)},
        **{"fire2_expand3x3_weight": (64, 16, 3, 3), "fire2_expand3x3_bias": (64,)},
        **{"fire3_squeeze1x1_weight": (16, 128, 1, 1)},
    },
}
VALUES = {
    "squeezenet": 1_248_424,
    "vgg16": 14_714_688,
    "vgg19": 20_024_384,
    "vgg19_16x": 810_128,
    "vgg19_small": 3_041_568,
    "vgg_slim": 888_640,
}


def spec_of(name: str) -> ModelSpec:
    return models.load(name).SPEC


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_receptive_fields(name: str) -> None:
    spec = spec_of(name)
    assert [(tap.name, tap.channels) for tap in spec.taps] == [row[:2] for row in LAYERS[name]]
    assert [spec.receptive_field(layer) for layer, *_ in LAYERS[name]] == [
        ReceptiveField(*row[2:]) for row in LAYERS[name]
    ]


@pytest.mark.parametrize("name", ["vgg19_16x", "vgg19_small", "vgg_slim"])
def test_smaller_networks_see_what_vgg19_sees(name: str) -> None:
    fields = {layer: ReceptiveField(*field) for layer, _, *field in LAYERS["vgg19"]}
    spec = spec_of(name)
    layers = [layer for layer in spec.layer_names if not layer.startswith("proj")]
    assert layers == [layer for layer in fields if layer not in ("relu5_2", "relu5_3", "relu5_4", "pool5")] + ["pool5"]
    assert all(spec.receptive_field(layer) == fields[layer] for layer in layers[:-1])
    projected = {
        "proj1_1": "relu1_1",
        "proj2_1": "relu2_2",
        "proj3_1": "relu3_2",
        "proj4_1": "relu4_1",
        "proj5_1": "relu5_1",
    }
    if name == "vgg_slim":
        assert set(spec.layer_names) - {*layers} == {*projected}
        for projection, relu in projected.items():
            assert spec.layer_names.index(projection) == spec.layer_names.index(relu) + 1
            assert spec.receptive_field(projection) == spec.receptive_field(relu)


@every_model
def test_parameters(name: str) -> None:
    found = spec_of(name).parameters
    assert list(found.items())[: len(FIRST[name])] == list(FIRST[name].items())
    assert sum(map(math.prod, found.values())) == VALUES[name]


@pytest.mark.parametrize(
    ("layer", "size", "shape"),
    [
        ("pool1", 227, (96, 55, 55)),
        ("pool4", 227, (256, 27, 27)),
        ("pool8", 227, (512, 13, 13)),
        ("pool1", 20, (96, 3, 3)),
    ],
)
def test_incomplete_windows_of_squeezenet_give_values(layer: str, size: int, shape: tuple[int, int, int]) -> None:
    assert spec_of("squeezenet").output_shape(layer, size, size) == shape


def test_the_network_after_a_layer_begins_with_it() -> None:
    rest = spec_of("vgg_slim").after("pool2")
    assert rest.layer_names[:4] == ("relu3_1", "relu3_2", "proj3_1", "relu3_3")
    assert rest.nodes[0] == Node("pool2", "input", (), 48)
    assert rest.output_shape("pool3", 13, 8) == (64, 6, 4)
    assert rest.receptive_field("pool3") == ReceptiveField(10, 2, 4)
    assert next(iter(rest.parameters.items())) == ("conv3_1_weight", (64, 48, 3, 3))


def test_what_bypasses_a_layer_is_not_after_it() -> None:
    nodes = (IMAGE, Node("a", "relu", ("data",), 3), Node("b", "relu", ("a",), 3), Node("c", "concat", ("a", "b"), 6))
    after_pool = graph.after((*nodes, Node("d", "pool", ("c",), 6, 2, 2), Node("e", "relu", ("d",), 6)), "d")
    assert [node.name for node in after_pool] == ["d", "e"]
    assert [node.name for node in graph.after((*nodes, Node("f", "pool", ("c",), 6)), "c")] == ["c", "f"]
    with pytest.raises(KeyError, match="b"):
        graph.after(nodes, "b")  # only a branch
    beside = (
        *nodes[:2],
        Node("p", "pool", ("a",), 3),
        Node("q", "pool", ("a",), 3),
        Node("r", "concat", ("p", "q"), 6),
    )
    assert [node.name for node in graph.after(beside, "p")] == ["p"]


def test_only_what_a_layer_needs_is_selected() -> None:
    nodes = graph.up_to(spec_of("vgg_slim").nodes, ["proj2_1"])
    assert [node.name for node in nodes[-3:]] == ["conv2_2", "relu2_2", "proj2_1"]
    assert "proj1_1" not in {node.name for node in nodes} and nodes[0] == IMAGE
    for layer in ("conv1_1", "data", "relu9_9"):
        with pytest.raises(KeyError, match=layer):
            graph.up_to(nodes, ["relu1_1", layer])
