"""Decoders of the bundled network: from its style layers back to an image.

A decoder sees one projection of VGG-slim (`models/model_vgg_slim.py`) and paints the image with these features. It has
one or two convolutions at every resolution, each with a ReLU but the last, and doubles the resolution by repeating
values. `styletransfer/feedforward/instant.py` uses five of them; `research/decoders.py` trains them, and
`models/weights/vgg_slim_decoders.md` documents the training.
"""

from __future__ import annotations

import dataclasses
import functools

from models import model_vgg_slim
from models.graph import Node, Nodes
from models.spec import ModelSpec

FILE = "vgg_slim_decoders.params"
LAYERS = tuple(model_vgg_slim.SPEC.style_layers)
# For every layer, the filters of the convolutions before the first doubling, between two of them, and after the last.
BLOCKS = {
    "proj1_1": ((24, 3),),
    "proj2_1": ((48, 32), (16, 3)),
    "proj3_1": ((80, 64), (40, 32), (16, 3)),
    "proj4_1": ((112,), (96, 64), (48, 32), (16, 3)),
    "proj5_1": ((128,), (112, 96), (64, 64), (40, 32), (16, 3)),
}


def nodes(layer: str) -> Nodes:
    """Lay out the decoder of a layer; its names begin with ``decode5`` for proj5_1."""
    prefix = _prefix(layer)
    channels = next(tap.channels for tap in model_vgg_slim.SPEC.taps if tap.name == layer)
    found = [Node(layer, "input", (), channels)]
    for number, block in enumerate(BLOCKS[layer]):
        if number:
            found.append(Node(f"{prefix}_up{number}", "upsample", (found[-1].name,), found[-1].channels))
        for position, filters in enumerate(block, start=1):
            name = f"{prefix}_conv{number}_{position}"
            found.append(Node(name, "conv", (found[-1].name,), filters, kernel=3, pad=1))
            found.append(Node(name.replace("conv", "relu"), "relu", (name,), filters))
    *found, last, _ = found  # no ReLU after the last
    return (*found, dataclasses.replace(last, name=image(layer)))


def image(layer: str) -> str:
    """The last layer of the decoder of a layer: an image in the pixels of VGG-slim."""
    return f"{_prefix(layer)}_image"


def _prefix(layer: str) -> str:
    return layer.replace("proj", "decode").partition("_")[0]


@functools.cache
def spec(layer: str) -> ModelSpec:
    """The SPEC of the decoder of a layer."""
    return dataclasses.replace(
        model_vgg_slim.SPEC,
        name=f"decoder of {layer}",
        nodes=nodes(layer),
        weights_file=FILE,
        how_to_get=f"it is part of the project: restore it with `git checkout models/weights/{FILE}`",
        licence="Apache-2.0; see models/weights/vgg_slim_decoders.md for the training data",
        source="research/decoders.py",
        style_layers={},
        content_layers={},
        ignored_prefixes=("decode",),  # the other decoders, in the same file
        cuts=(),
    )
