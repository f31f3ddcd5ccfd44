"""The residual network of Johnson et al. 2016, as in their supplementary material.

Departures: instance normalization instead of batch normalization (Ulyanov et al. 2016); upsampling by nearest
neighbours and a convolution instead of convolutions with stride 1/2 (Odena et al. 2016). As there, only the image is
padded by reflection, by 40 pixels; the convolutions of the residual blocks, which there are not padded, are padded with
zeros here, and the margin is cut off at the end.
"""

from __future__ import annotations

import functools

from models import feedforward_mxnet
from models.feedforward_spec import Layer, TransformerSpec

BLOCKS = 5


def residual_blocks(count: int, channels: int, before: str) -> tuple[Layer, ...]:
    """Blocks of two 3 x 3 convolutions whose output is added to their input, without a ReLU after the addition."""
    layers: list[Layer] = []
    for block in range(1, count + 1):
        layers.append(Layer(f"block{block}_1", channels, 3))
        layers.append(Layer(f"block{block}_2", channels, 3, relu=False, adds=before))
        before = f"block{block}_2"
    return tuple(layers)


SPEC = TransformerSpec(
    name="residual",
    title="the residual network of Johnson et al.",
    layers=(
        Layer("down1", 32, 9),
        Layer("down2", 64, 3, stride=2),
        Layer("down3", 128, 3, stride=2),
        *residual_blocks(BLOCKS, 128, "down3"),
        Layer("up1", 64, 3, resize=2),
        Layer("up2", 32, 3, resize=2),
        Layer("image", 3, 9, normalized=False, relu=False),
    ),
    margin=40,
    source="https://arxiv.org/abs/1603.08155",
)

get_symbol = functools.partial(feedforward_mxnet.build, SPEC)
