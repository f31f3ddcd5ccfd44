"""The pixel spaces in which an image may be optimised, and the conversions between them and RGB pictures.

A picture is a float array (H, W, 3), RGB, values 0..1. In a space it is a float32 array (1, 3, H, W): its channels in
the order of the space, times `range`, minus `mean`, divided by `deviation`. The conventions are those of the original
networks:

======================  ========  ===========  ==================================  ======================
space                   channels  range        mean                                deviation
======================  ========  ===========  ==================================  ======================
rgb255                  RGB       255          123.68, 116.779, 103.939            1
rgb256 (MXNet example)  RGB       256          the same                            1
bgr255 (Keras)          BGR       255          103.939, 116.779, 123.68            1
caffe (SqueezeNet)      BGR       255          104, 117, 123                       1
torchvision             RGB       1            .485, .456, .406                    .229, .224, .225
======================  ========  ===========  ==================================  ======================

`rgb256` is rgb255 with slightly too large input values: the network and the conversion back to a picture are those of
rgb255, as in the MXNet example, which adds the mean and clips to 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PixelSpace:
    """One pixel convention; `mean` and `deviation` are in the order of its channels."""

    channels: str
    range: float
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    range_back: float | None = None  # the range of the conversion back to a picture, if different

    @property
    def order(self) -> list[int]:
        """The RGB index of every channel; its own inverse."""
        return ["RGB".index(channel) for channel in self.channels]

    @property
    def displayed_range(self) -> float:
        return self.range_back or self.range


_VGG_MEAN = (123.68, 116.779, 103.939)
SPACES = {
    "rgb255": PixelSpace("RGB", 255.0, _VGG_MEAN),
    "rgb256": PixelSpace("RGB", 256.0, _VGG_MEAN, range_back=255.0),
    "bgr255": PixelSpace("BGR", 255.0, _VGG_MEAN[::-1]),
    "caffe": PixelSpace("BGR", 255.0, (104.0, 117.0, 123.0)),
    "torchvision": PixelSpace("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def _column(values: tuple[float, float, float]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(1, 3, 1, 1)


def from_picture(picture: NDArray, space: str) -> NDArray[np.float32]:
    """Convert (H, W, 3), RGB, 0..1, to (1, 3, H, W) in a space."""
    s = SPACES[space]
    array = np.empty((1, 3, *picture.shape[:2]), np.float32)
    for number, channel in enumerate(s.order):  # one by one, which holds less in memory
        values = np.asarray(picture[..., channel], dtype=np.float64)
        array[0, number] = (values * s.range - s.mean[number]) / s.deviation[number]
    return array


def to_picture(array: NDArray, space: str) -> NDArray[np.float64]:
    """Convert (1, 3, H, W) in a space to (H, W, 3), RGB, clipped to 0..1."""
    s = SPACES[space]
    picture = np.empty((*array.shape[2:], 3), np.float64)
    for channel, number in enumerate(s.order):
        values = np.asarray(array[0, number], dtype=np.float64)
        picture[..., channel] = (values * s.deviation[number] + s.mean[number]) / s.displayed_range
    return np.clip(picture, 0.0, 1.0, out=picture)


def displayable_range(space: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The values of black and of white in a space, each of shape (1, 3, 1, 1)."""
    s = SPACES[space]
    limits = (np.full((1, 3, 1, 1), value) for value in (0.0, s.displayed_range))
    low, high = (((limit - _column(s.mean)) / _column(s.deviation)).astype(np.float32) for limit in limits)
    return low, high


def adapt_first_layer(weight: NDArray, bias: NDArray, native: str, space: str) -> tuple[NDArray, NDArray]:
    """Adapt a first convolution for images in `native` so that it gives the same result on images in `space`.

    Parameters
    ----------
    weight : (filters, 3, h, w) array
    bias : (filters,) array

    Notes
    -----
    Exact away from the border. At the border the convolution pads with zeros, which are the mean colour of the space;
    the means of the spaces differ by at most 1 grey level, and so does the padding.
    """
    if native == space:
        return weight, bias
    source, target = SPACES[native], SPACES[space]
    # A value v of `target` is the displayed value (v * deviation + mean) / displayed_range, in 0..1.
    rgb = np.asarray(weight, dtype=np.float64)[:, np.argsort(source.order)]
    source_deviation, source_mean = (_column(v)[:, source.order] for v in (source.deviation, source.mean))
    target_deviation, target_mean = (_column(v)[:, target.order] for v in (target.deviation, target.mean))
    gain = source.displayed_range / target.displayed_range
    adapted = rgb * (target_deviation * gain / source_deviation)
    offset = (target_mean * gain - source_mean) / source_deviation
    new_bias = np.asarray(bias, dtype=np.float64) + (rgb * offset).sum(axis=(1, 2, 3))
    return adapted[:, target.order].astype(np.float32), new_bias.astype(np.float32)
