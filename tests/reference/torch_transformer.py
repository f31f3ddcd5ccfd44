"""The feed-forward networks in PyTorch, written out from the papers, for values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

Parameters = Mapping[str, torch.Tensor]


def _extended(image: torch.Tensor, margin: int) -> torch.Tensor:
    """Reflection on every side, and more at the bottom and on the right, up to multiples of 4."""
    height, width = image.shape[2:]
    sides = (margin, margin + -(width + 2 * margin) % 4, margin, margin + -(height + 2 * margin) % 4)
    return functional.pad(image, sides, mode="reflect")


def _normalized(parameters: Parameters, name: str, values: torch.Tensor) -> torch.Tensor:
    return functional.instance_norm(
        values, weight=parameters[f"{name}_gamma"], bias=parameters[f"{name}_beta"], eps=1e-5
    )


def _convolution(parameters: Parameters, name: str, values: torch.Tensor, stride: int = 1) -> torch.Tensor:
    weight = parameters[f"{name}_weight"]
    bias = parameters.get(f"{name}_bias")
    return functional.conv2d(values, weight, bias, stride=stride, padding=weight.shape[2] // 2)


def _relu(parameters: Parameters, name: str, values: torch.Tensor, stride: int = 1) -> torch.Tensor:
    return functional.relu(_normalized(parameters, name, _convolution(parameters, name, values, stride)))


def _blocks(parameters: Parameters, values: torch.Tensor) -> torch.Tensor:
    for block in range(1, 6):
        inside = _relu(parameters, f"block{block}_1", values)
        second = f"block{block}_2"
        values = values + _normalized(parameters, second, _convolution(parameters, second, inside))
    return values


def _upsampled(values: torch.Tensor, factor: int) -> torch.Tensor:
    return functional.interpolate(values, scale_factor=factor, mode="nearest")


def _image(parameters: Parameters, values: torch.Tensor, margin: int, shape: torch.Size) -> torch.Tensor:
    image = 150 * torch.tanh(_convolution(parameters, "image", values) * 16 / 150)
    return image[:, :, margin : margin + shape[2], margin : margin + shape[3]]


def residual(parameters: Parameters, image: torch.Tensor) -> torch.Tensor:
    """Johnson et al. 2016 with instance normalization and resize-convolutions; an image in rgb255 to another."""
    values = _extended(image, 40) / 64
    values = _relu(parameters, "down1", values)
    values = _relu(parameters, "down2", values, stride=2)
    values = _relu(parameters, "down3", values, stride=2)
    values = _blocks(parameters, values)
    values = _relu(parameters, "up1", _upsampled(values, 2))
    values = _relu(parameters, "up2", _upsampled(values, 2))
    return _image(parameters, values, 40, image.shape)


def small(parameters: Parameters, image: torch.Tensor) -> torch.Tensor:
    """The same for the small network."""
    values = _relu(parameters, "down", _extended(image, 16) / 64, stride=4)
    values = _relu(parameters, "up", _upsampled(_blocks(parameters, values), 2))
    return _image(parameters, _upsampled(values, 2), 16, image.shape)


NETWORKS: Mapping[str, Callable[[Parameters, torch.Tensor], torch.Tensor]] = {"residual": residual, "small": small}
