"""The weighted losses of an image, for NumPy arrays and PyTorch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Region:
    """A part of the image with its own style; guides are, by layer, (h, w): how much of each position counts."""

    guides: Mapping[str, np.ndarray]
    styles: Sequence[tuple[float, np.ndarray, Mapping[str, np.ndarray] | None]]  # share, picture, guides
    weight: float = 1.0


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
    regions: Sequence[Region] = ()  # instead of styles


@dataclass(frozen=True)
class Evaluation:
    """An evaluation for an optimiser; the total and the gradients include :func:`gradient_factor`."""

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
        pictures = [style for region in problem.regions for _, style, _ in region.styles]
        known = {id(style): see(style) for style in pictures or [style for _, style in problem.styles]}
        for layer, weight in problem.style_layers.items():
            loss = sum(_styles(problem, layer, seen[layer], known))
            found["style", layer] = problem.style_weight * weight * loss
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


def _styles(problem: Problem, layer: str, features: Any, known: Mapping[int, Mapping[str, Any]]) -> Iterator[Any]:
    """The loss of the whole image, or those of its regions: as if each were all of the image, by its area."""
    if not problem.regions:
        styles = [(share, known[id(style)][layer], None) for share, style in problem.styles]
        yield _style(problem, features, styles, None)
    for region in problem.regions:
        styles = [
            (share, known[id(style)][layer], None if guides is None else guides[layer])
            for share, style, guides in region.styles
        ]
        guide = region.guides[layer]
        yield region.weight * guide.mean() * _style(problem, features, styles, guide)


def _style(
    problem: Problem,
    features: Any,
    styles: Sequence[tuple[float, Any, np.ndarray | None]],
    guide: np.ndarray | None,
) -> Any:
    channels, positions = features.shape[0], positions_of(features, None)
    if problem.normalization == "balanced":
        target = sum(share * normalised_gram(style, there) for share, style, there in styles)
        distance = ((normalised_gram(features, guide) - target) ** 2).sum() / (target**2).sum()
        return distance / sum(problem.style_layers.values())
    target = sum(share * gram(style, there) * positions / positions_of(style, there) for share, style, there in styles)
    square = (gram(features, guide) * positions / positions_of(features, guide) - target) ** 2
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


def positions_of(features: Any, guide: np.ndarray | None) -> float:
    """M, or as many positions as a guide counts."""
    return features.shape[1] * features.shape[2] if guide is None else float(guide.sum())


def gram(features: Any, guide: np.ndarray | None = None) -> Any:
    """F F^T, (N, N), where every position counts as much as the guide says."""
    flat = features.reshape(features.shape[0], -1)
    if guide is None:
        return flat @ flat.T
    counted = guide.reshape(1, -1)
    return (flat * (counted if isinstance(flat, np.ndarray) else flat.new_tensor(counted))) @ flat.T


def normalised_gram(features: Any, guide: np.ndarray | None = None) -> Any:
    """F F^T over N M."""
    return gram(features, guide) / (features.shape[0] * positions_of(features, guide))


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
