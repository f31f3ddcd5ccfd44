"""The weighted losses of an image, for NumPy arrays and PyTorch tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A style transfer; pictures are (3, H, W) float64 in the space of the image."""

    normalization: str  # balanced, or a source system
    content: np.ndarray
    styles: Sequence[tuple[float, np.ndarray]]  # with blending weights that sum to 1
    content_weight: float
    content_layers: Mapping[str, float]
    style_weight: float
    style_layers: Mapping[str, float]
    tv_kind: str = "none"
    tv_weight: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """What an optimiser uses; the total and the gradients include :func:`gradient_factor`."""

    losses: Mapping[Any, float]
    total: float
    gradient: np.ndarray  # of content and style
    tv_gradient: np.ndarray


def gradient_factor(problem: Problem) -> float:
    """The factor of the gradient: under `balanced` the number of values in the image."""
    return float(problem.content.size) if problem.normalization == "balanced" else 1.0


def weighted_losses(problem: Problem, image: Any, see: Callable[[Any], Mapping[str, Any]]) -> dict[Any, Any]:
    """The losses of the layers, by ("content", layer) and ("style", layer), and that of the TV, by "tv".

    `see` is the network: it turns a picture or the image into the features (N, h, w) of every layer.
    """
    found = {}
    seen = see(image)
    if problem.content_weight > 0:
        wanted = see(problem.content)
        for layer, weight in problem.content_layers.items():
            found["content", layer] = problem.content_weight * weight * _content(problem, seen[layer], wanted[layer])
    if problem.style_weight > 0:
        pictures = [(share, see(style)) for share, style in problem.styles]
        for layer, weight in problem.style_layers.items():
            styles = [(share, features[layer]) for share, features in pictures]
            found["style", layer] = problem.style_weight * weight * _style(problem, seen[layer], styles)
    found["tv"] = 0.0
    if problem.tv_kind != "none":
        energy = {"laplacian": laplacian_energy, "squared": squared_energy, "power": power_energy}[problem.tv_kind]
        unit = energy(problem.content) if problem.normalization == "balanced" else 1.0
        found["tv"] = problem.tv_weight * energy(image) / unit
    return found


def _content(problem: Problem, features: Any, target: Any) -> Any:
    square = (features - target) ** 2
    if problem.normalization in ("mxnet", "keras"):
        return square.sum()
    if problem.normalization == "gatys":
        return square.sum() / 2
    if problem.normalization == "coursera":
        return square.mean() / 4
    if problem.normalization == "pytorch":
        return square.mean()
    if problem.normalization == "srcmini":
        return square.mean() / 2
    assert problem.normalization == "balanced"
    return square.sum() / (target**2).sum() / sum(problem.content_layers.values())


def _style(problem: Problem, features: Any, styles: Sequence[tuple[float, Any]]) -> Any:
    channels, positions = features.shape[0], features.shape[1] * features.shape[2]
    if problem.normalization == "balanced":
        target = sum(share * normalised_gram(style) for share, style in styles)
        distance = ((normalised_gram(features) - target) ** 2).sum() / (target**2).sum()
        return distance / sum(problem.style_layers.values())
    target = sum(share * gram(style) * positions / (style.shape[1] * style.shape[2]) for share, style in styles)
    square = (gram(features) - target) ** 2
    if problem.normalization == "mxnet":
        return square.sum() / (channels * positions * channels)
    if problem.normalization in ("gatys", "coursera"):
        return square.sum() / (2 * channels * positions) ** 2
    if problem.normalization == "keras":  # the size and channels of the image, for every layer
        _, height, width = problem.content.shape
        return square.sum() / (4 * 3**2 * (height * width) ** 2)
    if problem.normalization == "pytorch":
        return square.mean() / (channels * positions)
    assert problem.normalization == "srcmini"
    return square.mean()


def gram(features: Any) -> Any:
    """F F^T, (N, N)."""
    flat = features.reshape(features.shape[0], -1)
    return flat @ flat.T


def normalised_gram(features: Any) -> Any:
    """F F^T over N M."""
    channels, height, width = features.shape
    return gram(features) / (channels * height * width)


def squared_energy(image: Any) -> Any:
    """The sum of the squared differences of all neighbours."""
    down = image[..., 1:, :] - image[..., :-1, :]
    right = image[..., :, 1:] - image[..., :, :-1]
    return (down**2).sum() + (right**2).sum()


def laplacian_energy(image: Any) -> Any:
    """1/2 <x, K x> for K = [0 -1 0; -1 4 -1; 0 -1 0] / 8 with zero padding.

    K counts every pair of neighbours, those of a border value and the zero beyond it too: the energy is the sum of
    their squared differences over 16.
    """
    border = sum((edge**2).sum() for edge in (image[..., 0, :], image[..., -1, :], image[..., 0], image[..., -1]))
    return (squared_energy(image) + border) / 16


def power_energy(image: Any) -> Any:
    """The sum of (dx^2 + dy^2)^1.25 over all values but the last row and column, as in the Keras example."""
    corner = image[..., :-1, :-1]
    return (((corner - image[..., 1:, :-1]) ** 2 + (corner - image[..., :-1, 1:]) ** 2) ** 1.25).sum()
