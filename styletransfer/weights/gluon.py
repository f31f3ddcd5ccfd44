"""Networks whose layers are numbered rather than named: MXNet's Gluon model zoo, and torchvision.

Names are ``features.0.weight`` (torchvision, and Gluon's `save_parameters`; the number counts all layers) or
``vgg0_conv0_weight`` (Gluon's `save_params`; the number counts convolutions). Sources:
https://github.com/apache/mxnet/blob/v1.9.x/python/mxnet/gluon/model_zoo/vision/vgg.py and
https://github.com/pytorch/vision/blob/main/torchvision/models/vgg.py. Kernels are (filters, channels, height, width).
Made for RGB, 0..1, minus .485/.456/.406, over .229/.224/.225
(https://mxnet.apache.org/versions/1.6.0/api/python/docs/api/gluon/model_zoo/index.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights.conversion import adapt

_NAME = re.compile(r"(?:.*\.)?features\.(\d{1,3})\.(\w+)|vgg\d+_conv(\d{1,3})_(weight|bias)")
_BATCH_NORM = re.compile(r".*(gamma|beta|running_mean|running_var|moving_mean|moving_var)")


def is_numbered(names: Iterable[str]) -> bool:
    """Whether these names are of a network with numbered layers."""
    return any(_NAME.fullmatch(name) for name in names)


def convert(arrays: Mapping[str, NDArray], spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """The convolutions of a Gluon model, with the names and in the pixel convention of the SPEC.

    Raises
    ------
    ValueError
        If the weights are for another network.
    """
    places = assign({name: array.shape for name, array in arrays.items()}, spec)
    return adapt({name: arrays[place] for name, place in places.items()}, spec, "torchvision")


def assign(shapes: Mapping[str, tuple[int, ...]], spec: ModelSpec) -> dict[str, str]:
    """The name in the file of every parameter of the SPEC; the convolutions are in the same order in both.

    Parameters
    ----------
    shapes
        The shape of every array in the file, by name. Fully connected layers (2-D kernels) are skipped.

    Raises
    ------
    ValueError
        If the weights are for another network.
    """
    if any(_BATCH_NORM.fullmatch(name) for name in shapes):
        raise ValueError(f"its network has batch normalisation, which {spec.name} does not have")
    layers: dict[int, dict[str, str]] = {}
    for name in shapes:
        if match := _NAME.fullmatch(name):
            layers.setdefault(int(match[1] or match[3]), {})[match[2] or match[4]] = name
    convolutions = [layers[number] for number in sorted(layers)]
    convolutions = [layer for layer in convolutions if len(shapes.get(layer.get("weight", ""), ())) == 4]
    expected = [name.removesuffix("_weight") for name in spec.parameters if name.endswith("_weight")]
    if len(convolutions) != len(expected):
        raise ValueError(f"it has {len(convolutions)} convolutions, {spec.name} has {len(expected)}")
    places = {}
    for layer_name, layer in zip(expected, convolutions):
        for kind in ("weight", "bias"):
            name, place = f"{layer_name}_{kind}", layer.get(kind, "")
            if shapes.get(place) != spec.parameters[name]:
                raise ValueError(f"{name} has shape {shapes.get(place)}, expected {spec.parameters[name]}")
            places[name] = place
    return places
