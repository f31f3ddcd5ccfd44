"""The same network in PyTorch float64, for gradients with respect to the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from reference import spaces
from reference.formulas import Evaluation, Problem, gradient_factor, weighted_losses


def see(
    blocks: Sequence[Sequence[int]],
    parameters: Mapping[str, np.ndarray],
    pooling: str,
    projections: Mapping[str, str],
    image: Any,
    space: str = "rgb255",
) -> dict[str, torch.Tensor]:
    """The features of every ReLU, pooling and projection for an image (3, H, W) in a space.

    The weights are those for rgb255; `projections` names the ReLU of each.
    """
    pool = functional.avg_pool2d if pooling == "avg" else functional.max_pool2d
    seen = {}
    # The padding is zero in the space of the image.
    values = spaces.as_rgb255(functional.pad(torch.as_tensor(image), (1, 1, 1, 1)), space)
    padding = 0

    def exact(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias = (np.asarray(parameters[f"{name}_{kind}"], dtype=np.float64) for kind in ("weight", "bias"))
        return torch.as_tensor(weight), torch.as_tensor(bias)

    for block, filters in enumerate(blocks, start=1):
        for position in range(1, len(filters) + 1):
            weight, bias = exact(f"conv{block}_{position}")
            values = functional.relu(functional.conv2d(values, weight, bias, padding=padding))
            padding = 1
            seen[f"relu{block}_{position}"] = values
        if min(values.shape[1:]) < 2:
            break
        values = seen[f"pool{block}"] = pool(values, 2)
    for name, relu in projections.items():
        if relu in seen:
            seen[name] = functional.conv2d(seen[relu], *exact(name))
    return seen


def evaluator(problem: Problem, network: tuple, space: str = "rgb255") -> Callable[[np.ndarray], Evaluation]:
    """A function that evaluates an image (3, H, W). `network` are the first arguments of :func:`see`."""
    pictures: dict[int, Mapping[str, torch.Tensor]] = {}

    def look(picture: Any) -> Mapping[str, torch.Tensor]:
        if isinstance(picture, torch.Tensor):  # the image, which changes at every call
            return see(*network, picture, space)
        if id(picture) not in pictures:
            pictures[id(picture)] = see(*network, picture, space)
        return pictures[id(picture)]

    def evaluate(image: np.ndarray) -> Evaluation:
        values = torch.tensor(image, requires_grad=True)
        losses = weighted_losses(problem, values, look)
        factor = gradient_factor(problem)
        gradients = []
        for loss in (sum(loss for name, loss in losses.items() if name != "tv"), losses["tv"]):
            wanted = isinstance(loss, torch.Tensor)
            found = torch.autograd.grad(loss, values)[0] if wanted else torch.zeros_like(values)
            gradients.append(factor * found.numpy())
        numbers = {name: torch.as_tensor(loss).item() for name, loss in losses.items()}
        return Evaluation(numbers, factor * sum(numbers.values()), *gradients)

    return evaluate


def gradients(problem: Problem, network: tuple, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients (3, H, W) of content and style, and of the TV, multiplied by the normalization's factor."""
    found = evaluator(problem, network)(image)
    return found.gradient, found.tv_gradient
