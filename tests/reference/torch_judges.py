"""The features of VGG-19 and the distances of pictures, in PyTorch float64, from the published 8-bit weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

_MEAN = (103.939, 116.779, 123.68)  # BGR
_CONVOLUTIONS = (2, 2, 4, 4, 1)  # of each block, as far as relu5_1


@functools.cache
def _published(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=True)


def see(picture: np.ndarray, file: Path) -> dict[str, torch.Tensor]:
    """relu1_1 to relu5_1, (N, height, width), of a picture (H, W, 3), RGB 0..1: max pooling, zero padding."""
    stored = _published(file)
    bgr = 255 * torch.tensor(picture, dtype=torch.float64).permute(2, 0, 1).flip(0)
    values = bgr - torch.tensor(_MEAN, dtype=torch.float64).reshape(3, 1, 1)
    found = {}
    for block, convolutions in enumerate(_CONVOLUTIONS, start=1):
        if block > 1:
            values = functional.max_pool2d(values, 2)
        for position in range(1, convolutions + 1):
            name = f"block{block}_conv{position}"
            kernel = stored[f"{name}_W_table"].double()[stored[f"{name}_W_q"].long()]
            values = functional.conv2d(values, kernel, stored[f"{name}_b"].double(), padding=1).relu()
            found[f"relu{block}_{position}"] = values
    return found


def style_distances(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """|G - A|^2 / |A|^2 in relu1_1 to relu5_1, Gram matrices over N M."""
    distances = {}
    for layer in (f"relu{block}_1" for block in range(1, 6)):
        gram, target = (
            torch.einsum("ihw,jhw->ij", features, features) / features.numel()
            for features in (found[layer], wanted[layer])
        )
        distances[layer] = float((gram - target).square().sum() / target.square().sum())
    return distances


def content_distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """|F - P|^2 / |P|^2."""
    return float((found - wanted).square().sum() / wanted.square().sum())
