"""Facts about a network that do not require building it: its layers, its pixel convention, its weights.

A :class:`ModelSpec` is plain data, so that a config can be validated without MXNet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_FOLDER = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Tap:
    """A layer whose output may be used for content or style: every ReLU and every pooling of a network.

    `kernel`, `stride`, `pad` and `ceil` describe the window between the previous tap and this one; together they give
    the shape, stride and receptive field of every tap.
    """

    name: str
    channels: int
    kernel: int
    stride: int = 1
    pad: int = 0
    ceil: bool = False  # an incomplete window at the right or bottom edge still yields a value (Caffe pooling)

    def output_length(self, length: int) -> int:
        """Output values along one side, for `length` input values; 0 when the window does not fit."""
        span = length + 2 * self.pad - self.kernel
        if span < 0:
            return 0
        return (-(-span // self.stride) if self.ceil else span // self.stride) + 1


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
    taps: tuple[Tap, ...]  # in order, starting at the image
    parameters: Mapping[str, tuple[int, ...]]  # every convolution's weight and bias
    pixels: str  # the pixel convention its weights expect, a key of styletransfer.pictures.pixels.SPACES
    pooling: str  # the pooling it was trained with, used unless a config says otherwise
    weights_file: str  # inside models/weights
    how_to_get: str  # what a user without the weights is told to do
    licence: str
    source: str
    style_layers: Mapping[str, float]  # layers and their weights, if a config does not set any
    content_layers: Mapping[str, float]
    ignored_prefixes: tuple[str, ...] = ("fc",)  # parameters of published files that this network does not use
    cuts: tuple[str, ...] = ()  # taps where tiling may split it; small enough to keep for a whole image
    float32_poolings: tuple[str, ...] = ()  # poolings that MXNet computes in float32 only, as this network needs them
    # By tap, the channels of the larger network's features that a 1 x 1 convolution and a ReLU after it reconstruct.
    # These convolutions are stored with the weights but are not part of the network.
    read_outs: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def weights_path(self) -> Path:
        """Where bundled or fetched weights are stored."""
        return WEIGHTS_FOLDER / self.weights_file

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(tap.name for tap in self.taps)

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
        return dataclasses.replace(self, taps=self.taps[self.layer_names.index(layer) + 1 :])

    def deepest(self, layers: Iterable[str]) -> str:
        """The one of `layers` that is furthest from the image."""
        return max(layers, key=self.layer_names.index)

    def output_shape(self, layer: str, height: int, width: int) -> tuple[int, int, int]:
        """(channels, height, width) of a tap for an image of the given size; 0 if the image is too small."""
        for tap in self.taps:
            height, width = tap.output_length(height), tap.output_length(width)
            if tap.name == layer:
                return tap.channels, height, width
        raise KeyError(layer)

    def receptive_field(self, layer: str) -> ReceptiveField:
        """The receptive field of the tap `layer` in the image."""
        size, stride, offset = 1, 1, 0
        for tap in self.taps:
            size += (tap.kernel - 1) * stride
            offset += tap.pad * stride
            stride *= tap.stride
            if tap.name == layer:
                return ReceptiveField(size, stride, offset)
        raise KeyError(layer)

    def smallest_side(self, layer: str) -> int:
        """The shortest side of an image, in pixels, for which the tap `layer` has at least one value."""
        side = 1
        while min(self.output_shape(layer, side, side)[1:]) < 1:
            side += 1
        return side
