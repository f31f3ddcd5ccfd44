"""An architecture as data: nodes in order, each after its inputs.

`models/to_mxnet.py` turns nodes into symbols, `models/to_torch.py` into a function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """One operation of a network on the outputs of earlier ones.

    `op` is one of

    - ``input``: the image, or the features of a layer, with which a network begins;
    - ``conv``: a convolution padded with zeros, with the parameters ``<name>_weight`` and ``<name>_bias``;
    - ``relu``;
    - ``pool``: max or average pooling, whichever a config asks for; averages are over the values that exist;
    - ``upsample``: every value twice in both directions, which doubles the size;
    - ``concat``: the channels of all inputs, one after the other;
    - ``global_pool``: the mean over all positions, (1, channels).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    channels: int  # of its output
    kernel: int = 1
    stride: int = 1
    pad: int = 0
    ceil: bool = False  # an incomplete window at the right or bottom edge still yields a value (Caffe pooling)

    def output_length(self, length: int) -> int:
        """Output values along one side, for `length` input values; 0 when the window does not fit."""
        if self.op == "upsample":
            return 2 * length
        span = length + 2 * self.pad - self.kernel
        if span < 0:
            return 0
        return (-(-span // self.stride) if self.ceil else span // self.stride) + 1


IMAGE = Node("data", "input", (), 3)
Nodes = tuple[Node, ...]


def taps(nodes: Nodes) -> Nodes:
    """Select the layers whose features may be used for content or style.

    Those are every ReLU that is not only a branch of a concatenation, every concatenation, every pooling, and
    convolutions that neither a ReLU nor another convolution follows.
    """
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for name in node.inputs:
            readers.setdefault(name, set()).add(node.op)
    hidden = {"conv": {"relu", "conv"}, "relu": {"concat"}}
    return tuple(
        node
        for node in nodes
        if node.op not in ("input", "global_pool") and not readers.get(node.name, set()) & hidden.get(node.op, set())
    )


def parameters(nodes: Nodes) -> dict[str, tuple[int, ...]]:
    """Give the shape of every weight, (filters, channels, kernel, kernel), and bias, (filters,), by name, in order."""
    channels = {node.name: node.channels for node in nodes}
    shapes: dict[str, tuple[int, ...]] = {}
    for node in nodes:
        if node.op == "conv":
            shapes[f"{node.name}_weight"] = (node.channels, channels[node.inputs[0]], node.kernel, node.kernel)
            shapes[f"{node.name}_bias"] = (node.channels,)
    return shapes


def up_to(nodes: Nodes, layers: Iterable[str]) -> Nodes:
    """Select the nodes on which some layers depend: taps, or a global pooling.

    Raises
    ------
    KeyError
        If there is no such layer.
    """
    needed = set(layers)
    unknown = needed - {node.name for node in (*taps(nodes), *(node for node in nodes if node.op == "global_pool"))}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in nodes if node.name in needed)


def after(nodes: Nodes, layer: str) -> Nodes:
    """Select the nodes that see the image only through a layer, which becomes their input.

    Raises
    ------
    KeyError
        If there is no such layer.
    """
    found = [Node(layer, "input", (), node.channels) for node in taps(nodes) if node.name == layer]
    if not found:
        raise KeyError(layer)
    for node in nodes:
        if node.inputs and {*node.inputs} <= {each.name for each in found}:
            found.append(node)
    return tuple(found)
