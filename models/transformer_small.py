"""A small feed-forward network made for processors: most of its work is done at a quarter of the resolution.

It is the residual network of Johnson et al. 2016 (`models/transformer_residual.py`) with 48 channels instead of 128,
without its layers at full resolution: the first convolution has a stride of 4, and a layer of 16 channels at half the
resolution precedes the last one, which is 9 x 9 as there and follows an upsampling by 2. Both upsampling layers are
computed as sub-pixel convolutions (see `models/feedforward.py`), so that no large array but the image is ever read or
written, which is what takes the time on processors. Without the layer at half resolution, the last one would upsample
by 4, which leaves a grid of 4 pixels in the pictures.
"""

from __future__ import annotations

import functools

from models import feedforward_mxnet
from models.feedforward_spec import Layer, TransformerSpec
from models.transformer_residual import residual_blocks

CHANNELS, BLOCKS = 48, 5
HALF_CHANNELS = 16  # at half resolution

SPEC = TransformerSpec(
    name="small",
    title="the small network",
    layers=(
        Layer("down", CHANNELS, 9, stride=4),
        *residual_blocks(BLOCKS, CHANNELS, "down"),
        Layer("up", HALF_CHANNELS, 3, resize=2),
        Layer("image", 3, 9, resize=2, normalized=False, relu=False),
    ),
    margin=16,
    source="https://arxiv.org/abs/1603.08155",
)

get_symbol = functools.partial(feedforward_mxnet.build, SPEC)
