"""SqueezeNet v1.0 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360), an ImageNet classifier of 1.2 M parameters.

The published weights are those of Deep Compression (Han et al. 2015), 0.66 MB. As in the Caffe original, the first
convolution has no padding and pooling keeps incomplete windows at the edge. Departure from the paper: dropout, which
does nothing at inference, is omitted. Any ReLU or pooling may be tapped: `fireN_squeeze`, and `fireN`, the
concatenation of the two expand branches; `classes` are the 1000 average class scores before the softmax.
"""

from __future__ import annotations

import functools

from models import to_mxnet
from models.graph import IMAGE, Node, Nodes
from models.spec import ModelSpec

# (name, squeeze filters, filters of each expand branch); a pooling follows conv1, fire4 and fire8
FIRES = (
    ("fire2", 16, 64), ("fire3", 16, 64), ("fire4", 32, 128), ("fire5", 32, 128),
    ("fire6", 48, 192), ("fire7", 48, 192), ("fire8", 64, 256), ("fire9", 64, 256),
)  # fmt: skip
POOLED = {"fire4": "pool4", "fire8": "pool8"}


def _nodes() -> Nodes:
    found = [IMAGE]

    def convolution(name: str, given: str, relu: str, filters: int, kernel: int, stride: int = 1, pad: int = 0) -> None:
        found.append(Node(name, "conv", (given,), filters, kernel, stride, pad))
        found.append(Node(relu, "relu", (name,), filters))

    def pool(name: str) -> None:
        last = found[-1]
        found.append(Node(name, "pool", (last.name,), last.channels, kernel=3, stride=2, ceil=True))

    convolution("conv1", IMAGE.name, "relu_conv1", 96, 7, stride=2)
    pool("pool1")
    for name, squeeze, expand in FIRES:
        branches = f"relu_{name}_expand1x1", f"relu_{name}_expand3x3"
        convolution(f"{name}_squeeze1x1", found[-1].name, f"{name}_squeeze", squeeze, 1)
        convolution(f"{name}_expand1x1", f"{name}_squeeze", branches[0], expand, 1)
        convolution(f"{name}_expand3x3", f"{name}_squeeze", branches[1], expand, 3, pad=1)
        found.append(Node(name, "concat", branches, 2 * expand))
        if name in POOLED:
            pool(POOLED[name])
    convolution("conv10", found[-1].name, "relu_conv10", 1000, 1)
    return (*found, Node("classes", "global_pool", ("relu_conv10",), 1000))


SPEC = ModelSpec(
    name="squeezenet",
    title="SqueezeNet v1.0",
    nodes=_nodes(),
    pixels="caffe",
    pooling="max",
    weights_file="squeezenet.params",
    how_to_get="run `python scripts/fetch.py squeezenet`",
    licence="BSD, Song Han et al., Deep Compression",
    source="https://github.com/songhan/SqueezeNet-Deep-Compression",
    style_layers={"relu_conv1": 1.0, "fire2": 1.0, "fire4": 1.0, "fire5": 1.0, "fire7": 1.0},
    content_layers={"fire5": 1.0},
    cuts=("pool1", "pool4", "pool8"),
)

get_symbol = functools.partial(to_mxnet.groups, SPEC)
