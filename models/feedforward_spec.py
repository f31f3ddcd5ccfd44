"""Facts about a feed-forward style network that do not require building it: its layers, parameters and halo.

Such a network ("image transformation network", Johnson et al. 2016) is trained for one style; then one forward pass
turns a photograph into a stylised picture. A :class:`TransformerSpec` is plain data; `models/feedforward_mxnet.py`
makes a symbol of it, `models/feedforward_torch.py` functions of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolution with what comes before and after it.

    In order: nearest-neighbour upsampling by `resize`; the convolution, padded with (kernel - 1) / 2 zeros on every
    side; instance normalization; a ReLU; the addition of the output of an earlier layer.
    """

    name: str
    channels: int  # of its output
    kernel: int  # odd
    stride: int = 1
    resize: int = 1  # not both with a stride
    normalized: bool = True  # if not, the convolution has a bias
    relu: bool = True
    adds: str | None = None  # the name of that earlier layer

    @property
    def padding(self) -> int:
        return (self.kernel - 1) // 2

    @property
    def reach(self) -> int:
        """Positions of the input beyond its own that an output value depends on, along each side.

        Its own are, of `stride` positions, those that the output position stands for.
        """
        return -(-self.padding // self.resize)

    @property
    def phases(self) -> int:
        """The output positions for every input position; more than 1 after upsampling."""
        return self.resize**2


@dataclass(frozen=True)
class TransformerSpec:
    """The facts about one feed-forward network.

    Attributes
    ----------
    name, title : str
    layers : tuple of Layer
        The first sees the image. The output of the last is an image of the same size; only a tanh
        follows its convolution.
    margin : int
        By how many pixels the image is extended by reflection on every side before it enters; the same is cut off the
        output. Within, convolutions pad with zeros.
    source : str
        The paper.
    pixels : str
        The pixel convention of the images it takes and gives, a key of styletransfer.pictures.pixels.SPACES.
    input_scale : float
        By which pixel values are divided when they enter.
    output_scale : float
        By which those that leave are multiplied. It is small, as the learning rate of the last layer grows with it.
    bound : float
        The largest absolute value of the image that leaves; 150 as in Johnson et al.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    margin: int
    source: str
    pixels: str = "rgb255"
    input_scale: float = 64.0
    output_scale: float = 16.0
    bound: float = 150.0

    @property
    def multiple(self) -> int:
        """The product of all strides, of which the sides of the extended image are multiples."""
        return math.prod(layer.stride for layer in self.layers)

    def input_channels(self) -> Iterator[tuple[Layer, int]]:
        """Every layer, in order, with the number of channels of its input."""
        channels = 3
        for layer in self.layers:
            yield layer, channels
            channels = layer.channels

    def shapes(self, height: int, width: int) -> Iterator[tuple[Layer, tuple[int, int, int]]]:
        """Every layer, in order, with the shape (channels, height, width) of its output for an extended image."""
        for layer in self.layers:
            height, width = (side // layer.stride * layer.resize for side in (height, width))
            yield layer, (layer.channels, height, width)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in order.

        A layer has a ``_weight``, (channels, channels of its input, kernel, kernel), and the ``_gamma`` and ``_beta``
        of its normalization, or else a ``_bias``, (channels,).
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, channels in self.input_channels():
            shapes[f"{layer.name}_weight"] = (layer.channels, channels, layer.kernel, layer.kernel)
            for kind in ("gamma", "beta") if layer.normalized else ("bias",):
                shapes[f"{layer.name}_{kind}"] = (layer.channels,)
        return shapes

    def padding(self, length: int) -> tuple[int, int]:
        """Pixels by which a side of an image is extended: before it, and after it."""
        return self.margin, self.margin + -(length + 2 * self.margin) % self.multiple

    def extended(self, length: int) -> int:
        """Extend the side of an image to that of the extended image."""
        return length + sum(self.padding(length))
