"""The same network in PyTorch float64, for gradients with respect to the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from reference.formulas import Problem, gradient_factor, weighted_losses


def see(
    blocks: Sequence[Sequence[int]], parameters: Mapping[str, np.ndarray], pooling: str, image: Any
) -> dict[str, torch.Tensor]:
    """The features of every ReLU and pooling for an image (3, H, W)."""
    pool = functional.avg_pool2d if pooling == "avg" else functional.max_pool2d
    seen = {}
    values = torch.as_tensor(image)
    for block, filters in enumerate(blocks, start=1):
        for position in range(1, len(filters) + 1):
            weight, bias = (
                torch.tensor(parameters[f"conv{block}_{position}_{kind}"], dtype=torch.float64)
                for kind in ("weight", "bias")
            )
            values = functional.relu(functional.conv2d(values, weight, bias, padding=1))
            seen[f"relu{block}_{position}"] = values
        if min(values.shape[1:]) < 2:
            break
        values = seen[f"pool{block}"] = pool(values, 2)
    return seen


def gradients(problem: Problem, network: tuple, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients (3, H, W) of content and style, and of the TV, as the convention hands them out.

    `network` are the first arguments of :func:`see`.
    """
    values = torch.tensor(image, requires_grad=True)
    losses = weighted_losses(problem, values, lambda picture: see(*network, picture))
    tv = losses.pop("tv")
    found = []
    for loss in (sum(losses.values()), tv):
        gradient = torch.autograd.grad(loss, values)[0] if isinstance(loss, torch.Tensor) else torch.zeros_like(values)
        found.append(gradient_factor(problem) * gradient.numpy())
    return found[0], found[1]
