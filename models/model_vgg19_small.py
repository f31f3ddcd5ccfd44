"""VGG-19 in factors: the layers of VGG-19 (Simonyan and Zisserman 2014) in full width, at a sixth of its work.

Every convolution but the first is three: 1 x 1 to fewer channels, 3 x 3, and 1 x 1 to the width of VGG-19. The factors
were fitted to VGG-19 by `research/compress.py`; `models/weights/vgg19_small.md` documents it. A ReLU follows the last
factor of each; any ReLU or pooling may be tapped. The network ends with relu5_1 and its pooling.
"""

from __future__ import annotations

import functools

from models import to_mxnet, vgg
from models.spec import ModelSpec

BLOCKS = ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,))
# Those of 60,000 multiplications per pixel with the largest product of the shares of energy that they keep, of the
# inputs of every convolution, as the kernel weighs them, and of its responses.
RANKS: vgg.Ranks = {
    "conv1_2": (8, 24),
    "conv2_1": (16, 40),
    "conv2_2": (24, 56),
    "conv3_1": (48, 104),
    "conv3_2": (72, 104),
    "conv3_3": (64, 72),
    "conv3_4": (40, 80),
    "conv4_1": (48, 128),
    "conv4_2": (80, 168),
    "conv4_3": (104, 208),
    "conv4_4": (144, 264),
    "conv5_1": (264, 432),
}

SPEC = ModelSpec(
    name="vgg19_small",
    title="VGG-19 in factors",
    nodes=vgg.nodes(BLOCKS, ranks=RANKS),
    pixels=vgg.PIXELS,
    pooling="max",
    weights_file="vgg19_small.params",
    how_to_get="it is part of the project: restore it with `git checkout models/weights/vgg19_small.params`",
    licence=f"{vgg.LICENCE}; see models/weights/vgg19_small.md",
    source="research/compress.py",
    style_layers=vgg.STYLE_LAYERS,
    content_layers=vgg.CONTENT_LAYERS,
    cuts=vgg.CUTS,
)

get_symbol = functools.partial(to_mxnet.groups, SPEC)
