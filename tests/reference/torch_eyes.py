"""The distances of pictures by VGG-19 and its compressed form, in PyTorch float64, from their published parameters.

Reference for the compressed network: H. Wang et al. 2020, https://arxiv.org/abs/2003.08436, and its code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Published = Mapping[str, np.ndarray]  # "conv1_1.weight" of VGG-19, "conv11.weight" of the compressed network


def _convolution(values: torch.Tensor, parameters: Published, name: str) -> torch.Tensor:
    weight, bias = (torch.tensor(parameters[f"{name}.{kind}"], dtype=torch.float64) for kind in ("weight", "bias"))
    return functional.conv2d(nn.ReflectionPad2d(1)(values) if weight.shape[2] == 3 else values, weight, bias)


def see(picture: np.ndarray, exact: Published, compressed: Published | None = None) -> dict[str, torch.Tensor]:
    """relu1_1 to relu5_1, (N, height, width), of a picture (H, W, 3), RGB 0..1."""
    rgb = torch.tensor(picture, dtype=torch.float64).permute(2, 0, 1)[None]
    mean = torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64).reshape(1, 3, 1, 1)
    found = _layers(255 * rgb.flip(1) - mean, exact, "conv{}_{}", 3 if compressed else 5)
    if compressed:
        small = _layers(_convolution(rgb, compressed, "conv0"), compressed, "conv{}{}", 5)
        for layer, name in (("relu4_1", "conv41_aux"), ("relu5_1", "conv51_aux")):
            found[layer] = _convolution(small[layer], compressed, name).relu()
    return {layer: values[0] for layer, values in found.items()}


def _layers(values: torch.Tensor, parameters: Published, name: str, blocks: int) -> dict[str, torch.Tensor]:
    found = {}
    for block, convolutions in zip(range(1, blocks + 1), (2, 2, 4, 4, 1)):
        for position in range(1, convolutions + 1):
            if f"{name.format(block, position)}.weight" not in parameters:
                break  # the file ends here
            values = functional.relu(_convolution(values, parameters, name.format(block, position)))
            if position == 1:
                found[f"relu{block}_1"] = values
        values = functional.max_pool2d(values, 2)
    return found


def style_distances(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """|G - A|^2 / |A|^2 in every layer, Gram matrices over N M."""
    distances = {}
    for layer in found:
        gram, target = (
            torch.einsum("ihw,jhw->ij", features, features) / features.numel()
            for features in (found[layer], wanted[layer])
        )
        distances[layer] = float((gram - target).square().sum() / target.square().sum())
    return distances


def content_distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """|F - P|^2 / |P|^2."""
    return float((found - wanted).square().sum() / wanted.square().sum())
