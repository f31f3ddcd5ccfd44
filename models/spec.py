"""Facts about a network that do not require building it: its layers, its pixel convention, its weights.

A :class:`ModelSpec` is plain data, so that a config can be validated without MXNet.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models import graph
from models.graph import Nodes

WEIGHTS_FOLDER = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class ReceptiveField:
    """The pixels on which a value of a tap depends: along each side, `size` pixels starting at i * stride - offset."""

    size: int
    stride: int
    offset: int


@dataclass(frozen=True)
class ModelSpec:
    """The facts about one network."""

    name: str
    title: str
    nodes: Nodes  # the architecture, starting at the image
    pixels: str  # the pixel convention its weights expect, a key of styletransfer.pictures.pixels.SPACES
    pooling: str  # the pooling it was trained with, used unless a config says otherwise
    weights_file: str  # inside models/weights
    how_to_get: str  # the advice for a user without the weights
    licence: str
    source: str
    style_layers: Mapping[str, float]  # layers and their weights, if a config does not set any
    content_layers: Mapping[str, float]
    ignored_prefixes: tuple[str, ...] = ("fc",)  # parameters of published files that this network does not use
    cuts: tuple[str, ...] = ()  # taps where tiling may split it; small enough to keep for a whole image
    # By tap, the channels of the larger network's features that a 1 x 1 convolution and a ReLU after it reconstruct.
    # These convolutions are stored with the weights but are not part of the network.
    read_outs: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def weights_path(self) -> Path:
        """The place of bundled or fetched weights."""
        return WEIGHTS_FOLDER / self.weights_file

    @functools.cached_property
    def taps(self) -> Nodes:
        """The layers that may be used for content or style, in order: see :func:`models.graph.taps`."""
        return graph.taps(self.nodes)

    @functools.cached_property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the taps."""
        return tuple(tap.name for tap in self.taps)

    @functools.cached_property
    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        """Name and shape of every convolution's weight and bias, in order."""
        return graph.parameters(self.nodes)

    @property
    def read_out_parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every read-out's weight, (channels, channels of the tap, 1, 1), and bias, (channels,)."""
        widths = {tap.name: tap.channels for tap in self.taps}
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, channels in self.read_outs.items():
            shapes[f"{layer}_read_out_weight"] = (channels, widths[layer], 1, 1)
            shapes[f"{layer}_read_out_bias"] = (channels,)
        return shapes

    def after(self, layer: str) -> ModelSpec:
        """The layers after a tap, as a network of their own whose input is the output of the tap."""
        return dataclasses.replace(self, nodes=graph.after(self.nodes, layer))

    def deepest(self, layers: Iterable[str]) -> str:
        """The layer among `layers` that is furthest from the image."""
        return max(layers, key=self.layer_names.index)

    def output_shape(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """(channels, height, width) of a tap for an image of the given size; 0 if the image is too small."""
        if layer not in self.layer_names:
            raise KeyError(layer)
        sides: dict[str, tuple[int, int]] = {}
        for node in self.nodes:
            height, width = sides[node.inputs[0]] if node.inputs else (height, width)
            height, width = sides[node.name] = node.output_length(height), node.output_length(width)
            if node.name == layer:
                break
        return node.channels, height, width

    def receptive_field(self, layer: str) -> ReceptiveField:
        """The receptive field of the tap `layer` in the image."""
        return self._fields[layer]

    @functools.cached_property
    def _fields(self) -> dict[str, ReceptiveField]:
        """The receptive field of every tap."""
        found: dict[str, ReceptiveField] = {}
        for node in self.nodes:
            inputs = [found[name] for name in node.inputs] or [ReceptiveField(1, 1, 0)]
            stride = inputs[0].stride
            offset = max(field.offset for field in inputs)
            size = offset + max(field.size - field.offset for field in inputs)
            found[node.name] = ReceptiveField(
                size + (node.kernel - 1) * stride, stride * node.stride, offset + node.pad * stride
            )
        return {layer: found[layer] for layer in self.layer_names}

    def smallest_side(self, layer: str) -> int:
        """The shortest side of an image, in pixels, for which the tap `layer` has at least one value."""
        side = 1
        while min(self.output_shape(layer, side, side)[1:]) < 1:
            side += 1
        return side
