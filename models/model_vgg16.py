"""VGG-16 (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556), without its fully connected layers.

Departure from the paper: none in the convolutions; `pooling` may be `avg`, which Gatys et al. 2015 found better for
style transfer, instead of the `max` it was trained with. A ReLU follows every convolution; any ReLU or pooling may be
tapped.
"""

from __future__ import annotations

import functools

from models import to_mxnet, vgg
from models.spec import ModelSpec

BLOCKS = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)

SPEC = ModelSpec(
    name="vgg16",
    title="VGG-16",
    nodes=vgg.nodes(BLOCKS),
    pixels=vgg.PIXELS,
    pooling="max",
    weights_file="vgg16.params",
    how_to_get="run `python scripts/fetch.py vgg16`, or set the config key `weights` to a file",
    licence=vgg.LICENCE,
    source="https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
    style_layers=vgg.STYLE_LAYERS,
    content_layers=vgg.CONTENT_LAYERS,
    cuts=vgg.CUTS,
)

get_symbol = functools.partial(to_mxnet.groups, SPEC)
