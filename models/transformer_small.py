"""A small feed-forward network made for processors: all its work is done at a quarter of the resolution.

It is the residual network of Johnson et al. 2016 (`models/transformer_residual.py`) with 48 channels instead of 128,
without its layers at full and half resolution: the first convolution has a stride of 4, and the last one, 9 x 9 as
there, follows an upsampling by 4. As a sub-pixel convolution (see `models/feedforward.py`) it is computed at a quarter
of the resolution too, so that no large array but the image is ever read or written, which is what takes the time on
processors.
"""

from __future__ import annotations

import functools

from models import feedforward
from models.feedforward_spec import Layer, TransformerSpec
from models.transformer_residual import residual_blocks

CHANNELS, BLOCKS = 48, 5

SPEC = TransformerSpec(
    name="small",
    title="the small network",
    layers=(
        Layer("down", CHANNELS, 9, stride=4),
        *residual_blocks(BLOCKS, CHANNELS, "down"),
        Layer("image", 3, 9, resize=4, normalized=False, relu=False),
    ),
    margin=16,
    source="https://arxiv.org/abs/1603.08155",
)

get_symbol = functools.partial(feedforward.build, SPEC)
