"""VGG-slim: a small network of the VGG family that comes with the project.

The shape is that of VGG (Simonyan and Zisserman 2014) with two convolutions a block and far fewer filters; poolings are
averages. It was trained by `scripts/distill.py` to carry what SqueezeNet (Iandola et al. 2016) sees in a picture;
`models/weights/vgg_slim.md` is the record of that training.
"""

from __future__ import annotations

import functools

from models import vgg
from models.spec import ModelSpec

BLOCKS = ((32, 32), (64, 64), (128, 128), (128, 128), (128, 128))

SPEC = ModelSpec(
    name="vgg_slim",
    title="VGG-slim",
    taps=vgg.taps(BLOCKS),
    parameters=vgg.parameters(BLOCKS),
    pixels="rgb255",
    pooling="avg",
    weights_file="vgg_slim.params",
    how_to_get="it is part of the project: restore it with `git checkout models/weights/vgg_slim.params`",
    licence="Apache-2.0; see models/weights/vgg_slim.md for what it learned from",
    source="scripts/distill.py",
    style_layers=vgg.STYLE_LAYERS,
    content_layers=vgg.CONTENT_LAYERS,
    cuts=vgg.CUTS,
)

get_symbol = functools.partial(vgg.get_symbol, BLOCKS, SPEC.pooling)
