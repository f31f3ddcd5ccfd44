"""The pixel spaces in which the source systems optimise their images, arrays (3, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np

VGG_MEAN = np.reshape([123.68, 116.779, 103.939], (3, 1, 1))
TORCHVISION_MEAN = np.reshape([0.485, 0.456, 0.406], (3, 1, 1))
TORCHVISION_DEVIATION = np.reshape([0.229, 0.224, 0.225], (3, 1, 1))


def enter(picture: np.ndarray, space: str) -> np.ndarray:
    """A picture (H, W, 3), RGB 0..1, in a space."""
    rgb = np.asarray(picture, dtype=np.float64).transpose(2, 0, 1)
    return {
        "rgb255": rgb * 255 - VGG_MEAN,
        "rgb256": rgb * 256 - VGG_MEAN,
        "bgr255": (rgb * 255 - VGG_MEAN)[::-1].copy(),
        "torchvision": (rgb - TORCHVISION_MEAN) / TORCHVISION_DEVIATION,
    }[space]


def displayable(space: str) -> tuple[np.ndarray, np.ndarray]:
    """Black and white, (3, 1, 1). Conversion back from 0..256 only adds the mean and clips to 0..255.

    In float32, as images are: otherwise one that is black or white would be a rounding error away from the bound.
    """
    shown = "rgb255" if space == "rgb256" else space
    black, white = (enter(np.full((1, 1, 3), value), shown).astype(np.float32) for value in (0.0, 1.0))
    return black.astype(np.float64), white.astype(np.float64)


def as_rgb255(values: Any, space: str) -> Any:
    """A PyTorch tensor of a space as the input of the published VGG networks: RGB 0..255 minus the mean.

    The MXNet system passes 0..256 unchanged.
    """
    if space == "bgr255":
        return values.flip(0)
    if space == "torchvision":
        mean, deviation, vgg_mean = map(values.new_tensor, (TORCHVISION_MEAN, TORCHVISION_DEVIATION, VGG_MEAN))
        return (values * deviation + mean) * 255 - vgg_mean
    assert space in ("rgb255", "rgb256")
    return values
