"""The weighted losses of an image, for NumPy arrays and PyTorch tensors alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Problem:
    """A style transfer; pictures are (3, H, W) float64 in the space of the network."""

    convention: str  # balanced or mxnet
    content: np.ndarray
    styles: Sequence[tuple[float, np.ndarray]]  # with blending weights that sum to 1
    content_weight: float
    content_layers: Mapping[str, float]
    style_weight: float
    style_layers: Mapping[str, float]
    tv_kind: str = "none"
    tv_weight: float = 0.0


def gradient_factor(problem: Problem) -> float:
    """What the gradient of the losses is multiplied by: under `balanced` the number of values in the image."""
    return float(problem.content.size) if problem.convention == "balanced" else 1.0


def weighted_losses(problem: Problem, image: Any, see: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """The losses by name, `content.<layer>`, `style.<layer>` and `tv`.

    `see` is the network: it turns a picture or the image into the features (N, h, w) of every layer.
    """
    found = {}
    seen = see(image)
    if problem.content_weight > 0:
        wanted = see(problem.content)
        for layer, weight in problem.content_layers.items():
            found[f"content.{layer}"] = problem.content_weight * weight * _content(problem, seen[layer], wanted[layer])
    if problem.style_weight > 0:
        pictures = [(share, see(style)) for share, style in problem.styles]
        for layer, weight in problem.style_layers.items():
            styles = [(share, features[layer]) for share, features in pictures]
            found[f"style.{layer}"] = problem.style_weight * weight * _style(problem, seen[layer], styles)
    found["tv"] = 0.0
    if problem.tv_kind != "none":
        energy = {"laplacian": laplacian_energy, "squared": squared_energy}[problem.tv_kind]
        unit = energy(problem.content) if problem.convention == "balanced" else 1.0
        found["tv"] = problem.tv_weight * energy(image) / unit
    return found


def _content(problem: Problem, features: Any, target: Any) -> Any:
    raw = ((features - target) ** 2).sum()
    if problem.convention == "mxnet":
        return raw
    return raw / (target**2).sum() / sum(problem.content_layers.values())


def _style(problem: Problem, features: Any, styles: Sequence[tuple[float, Any]]) -> Any:
    channels, positions = features.shape[0], features.shape[1] * features.shape[2]
    if problem.convention == "mxnet":
        target = sum(share * gram(style) * positions / (style.shape[1] * style.shape[2]) for share, style in styles)
        return ((gram(features) - target) ** 2).sum() / (channels * positions * channels)
    target = sum(share * normalised_gram(style) for share, style in styles)
    distance = ((normalised_gram(features) - target) ** 2).sum() / (target**2).sum()
    return distance / sum(problem.style_layers.values())


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
    """1/2 <x, K x> for K = [0 -1 0; -1 4 -1; 0 -1 0] / 8 with zeros beyond the border.

    K counts every pair of neighbours, those of a border value and the zero beyond it too: the energy is the sum of
    their squared differences over 16.
    """
    border = sum((edge**2).sum() for edge in (image[..., 0, :], image[..., -1, :], image[..., 0], image[..., -1]))
    return (squared_energy(image) + border) / 16
