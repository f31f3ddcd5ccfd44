"""VGG-slim: a small network of the VGG family that comes with the project.

It has the convolutions of VGG-19 (Simonyan and Zisserman 2014) up to conv5_1, with far fewer filters. Besides its ReLUs
and poolings it has projections: ``proj3_1`` is a linear map of its features that estimates the leading principal
components of VGG-19's relu3_1, so distances between Gram matrices of the one approximate those of the other. The
projections are its default style and content layers. It was trained with an earlier version of `research/distill.py`;
`models/weights/vgg_slim.md` documents the training.
"""

from __future__ import annotations

import functools

from models import to_mxnet, vgg
from models.spec import ModelSpec

BLOCKS = ((16, 32), (32, 48), (64, 80, 64, 64), (128, 128, 128, 128), (128,))
PROJECTIONS = (
    vgg.Projection("proj1_1", of="relu1_1", channels=16),
    vgg.Projection("proj2_1", of="relu2_2", channels=48),
    vgg.Projection("proj3_1", of="relu3_2", channels=96),
    vgg.Projection("proj4_1", of="relu4_1", channels=96),
    vgg.Projection("proj5_1", of="relu5_1", channels=128),
)

SPEC = ModelSpec(
    name="vgg_slim",
    title="VGG-slim",
    nodes=vgg.nodes(BLOCKS, PROJECTIONS),
    pixels="rgb255",
    pooling="max",
    weights_file="vgg_slim.params",
    how_to_get="it is part of the project: restore it with `git checkout models/weights/vgg_slim.params`",
    licence="Apache-2.0; see models/weights/vgg_slim.md for the training data",
    source="research/distill.py",
    style_layers={projection.name: 1.0 for projection in PROJECTIONS},
    content_layers={"proj4_1": 1.0},
    cuts=vgg.CUTS,
)

get_symbol = functools.partial(to_mxnet.groups, SPEC)
