"""PyTorch state dicts of torchvision's `vgg16` and `vgg19`.

Reference: https://github.com/pytorch/vision/blob/main/torchvision/models/vgg.py. Names are ``features.0.weight``, where
the number counts all layers; kernels are (filters, channels, height, width). Weights of other origin use the same
names but expect other pixels. Oxford's own weights, converted from Caffe by J. Johnson
(https://github.com/jcjohnson/pytorch-vgg: `vgg16-00b39a1b.pth`, `vgg19-d01eb7cb.pth`), are recognised by their first
biases and expect BGR, 0..255, minus 103.939/116.779/123.68. The features-only VGG-16 of torchvision is recognised by
its classifier, which is all NaN, and rejected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights.conversion import adapt
from styletransfer.weights.pytorch import floats

_NAME = re.compile(r"(?:.*\.)?features\.(\d{1,3})\.(\w+)")
_CLASSES = 1000
_OXFORD = ((0.73429835, 0.09340367, 0.06775674, 0.8862966), (0.7301776, 0.06493629, 0.03428847, 0.8260386))


def convert(tensors: Mapping[str, NDArray], spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """The convolutions, under the names and in the pixel convention of the SPEC.

    Raises ValueError if the values are damaged, or this is another network.
    """
    places = _assign({name: tensor.shape for name, tensor in tensors.items()}, spec)
    arrays = {name: floats(name, tensors[place]) for name, place in places.items()}
    last = tensors.get("classifier.6.bias")
    if last is not None and last.shape == (_CLASSES,) and np.isnan(last).any():
        raise ValueError("it is torchvision's features-only VGG-16, which expects other pixels; use vgg16-397923af.pth")
    first = arrays["conv1_1_bias"][:4]
    oxford = any(first.shape == (4,) and np.allclose(first, known, atol=1e-5) for known in _OXFORD)
    return adapt(arrays, spec, "bgr255" if oxford else "torchvision")


def _assign(shapes: Mapping[str, tuple[int, ...]], spec: ModelSpec) -> dict[str, str]:
    """The name in the file of every parameter of the SPEC; the convolutions are in the same order in both."""
    if any(name.endswith(("running_mean", "running_var")) for name in shapes):
        raise ValueError(f"its network has batch normalisation, which {spec.name} does not have")
    layers: dict[int, dict[str, str]] = {}
    for name in shapes:
        if match := _NAME.fullmatch(name):
            layers.setdefault(int(match[1]), {})[match[2]] = name
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
