"""The VGG family: blocks of 3 x 3 convolutions with ReLUs, each before a pooling.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014. Only the
convolutional part is used; the image may have any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.graph import IMAGE, Node, Nodes

# Common to the published VGG-16 and VGG-19.
PIXELS = "rgb255"
LICENCE = "CC BY 4.0, Visual Geometry Group, University of Oxford"
STYLE_LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}
CONTENT_LAYERS = {"relu4_2": 1.0}
CUTS = ("pool2", "pool3", "pool4")  # 8, 4 and 2 values per pixel in VGG-19; pool1 has 16

Blocks = Sequence[Sequence[int]]  # for each block, the number of filters of each convolution
Ranks = Mapping[str, tuple[int, int]]  # of the factors of a convolution, by its name, such as conv3_1


@dataclass(frozen=True)
class Projection:
    """A 1 x 1 convolution of a ReLU's features that may be tapped; no deeper layer uses it."""

    name: str
    of: str  # the ReLU
    channels: int


def factors(convolution: Node, ranks: Ranks) -> Nodes:
    """The convolutions in place of one, in order; the last has its name.

    With ranks (r, s) they are ``conv3_1_reduce``, 1 x 1 to r channels, ``conv3_1_core``, 3 x 3 to s, and ``conv3_1``,
    1 x 1; without, the one itself.
    """
    if convolution.name not in ranks:
        return (convolution,)
    name, (r, s) = convolution.name, ranks[convolution.name]
    return (
        Node(f"{name}_reduce", "conv", convolution.inputs, r),
        Node(f"{name}_core", "conv", (f"{name}_reduce",), s, kernel=3, pad=1),
        Node(name, "conv", (f"{name}_core",), convolution.channels),
    )


def nodes(blocks: Blocks, projections: Sequence[Projection] = (), ranks: Ranks | None = None) -> Nodes:
    """Lay out ``conv1_1``, ``relu1_1``, the projections of ``relu1_1``, and so on to ``pool1``, for every block.

    Convolutions with `ranks` are in three :func:`factors`.
    """
    found, last = [IMAGE], IMAGE.name
    for number, block in enumerate(blocks, start=1):
        for position, filters in enumerate(block, start=1):
            conv, relu = f"conv{number}_{position}", f"relu{number}_{position}"
            found += factors(Node(conv, "conv", (last,), filters, kernel=3, pad=1), ranks or {})
            found.append(Node(relu, "relu", (conv,), filters))
            found += [Node(each.name, "conv", (relu,), each.channels) for each in projections if each.of == relu]
            last = relu
        found.append(Node(f"pool{number}", "pool", (last,), block[-1], kernel=2, stride=2))
        last = found[-1].name
    return tuple(found)
