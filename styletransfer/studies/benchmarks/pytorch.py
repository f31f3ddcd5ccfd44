"""The network and the objective in PyTorch, as in typical PyTorch programs.

The objective is that of the normalization `balanced`, implemented independently: only the weights are shared with
`styletransfer/losses/objective.py`. Only `load_torch` imports PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models.runtime import threads
from styletransfer.losses import symbols
from styletransfer.losses.objective import LossWeights
from styletransfer.network.executor import parameters_for
from styletransfer.pictures import pixels
from styletransfer.session.inputs import Pictures
from styletransfer.session.resolve import RunPlan
from styletransfer.support.errors import UserError, nearest
from styletransfer.weights import Parameters


def load_torch() -> ModuleType:
    """Import PyTorch, with the same number of threads as ours."""
    import torch

    torch.set_num_threads(threads())
    return torch


def blocks_of(model: str) -> Sequence[Sequence[int]]:
    """The blocks of a network of the VGG family.

    Raises
    ------
    UserError
        If it belongs to another family.
    """
    family = {name: blocks for name in models.names() if (blocks := getattr(models.load(name), "BLOCKS", None))}
    if model not in family:
        raise UserError(f"{model} is not a network of the VGG family; {nearest(model, family)}")
    return family[model]


class Network:
    """A network of the VGG family: maps an image (1, 3, H, W) to the tapped features.

    Parameters
    ----------
    model : str
    parameters : dict of arrays
    pooling : str
        max or avg.
    layers : names of the tapped ReLUs and projections
    precision : str
        float32; or bfloat16, for weights and features.
    channels_last : bool
        Whether the memory format is channels-last.
    """

    def __init__(
        self,
        model: str,
        parameters: Parameters,
        pooling: str,
        layers: Sequence[str],
        precision: str = "float32",
        channels_last: bool = False,
    ) -> None:
        torch = load_torch()
        self._blocks = blocks_of(model)
        self._wanted = set(layers)
        if any(layer.startswith("pool") for layer in self._wanted):
            raise UserError("the comparison with PyTorch does not support poolings as layers")
        projections = getattr(models.load(model), "PROJECTIONS", ())
        self._projections = {projection.of: projection.name for projection in projections}
        self._pool = getattr(torch.nn.functional, f"{pooling}_pool2d")
        self._dtype = getattr(torch, precision)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._parameters: dict[str, Any] = {}
        for name, array in parameters.items():
            value = torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._dtype)
            self._parameters[name] = value.contiguous(memory_format=self._format) if value.ndim == 4 else value

    def __call__(self, image: Any) -> dict[str, Any]:
        """The tapped features, arrays (1, channels, height, width), by layer."""
        functional = load_torch().nn.functional
        found: dict[str, Any] = {}
        value = image.to(self._dtype, memory_format=self._format)
        for number, block in enumerate(self._blocks, start=1):
            for position in range(1, len(block) + 1):
                suffix = f"{number}_{position}"
                weight, bias = self._parameters[f"conv{suffix}_weight"], self._parameters[f"conv{suffix}_bias"]
                value = functional.relu(functional.conv2d(value, weight, bias, padding=1))
                if f"relu{suffix}" in self._wanted:
                    found[f"relu{suffix}"] = value
                projection = self._projections.get(f"relu{suffix}")
                if projection in self._wanted:
                    weight, bias = self._parameters[f"{projection}_weight"], self._parameters[f"{projection}_bias"]
                    found[projection] = functional.conv2d(value, weight, bias)
                if len(found) == len(self._wanted):
                    return found
            value = self._pool(value, 2)
        return found


class Objective:
    """The balanced total of an image: losses relative to the energy of their targets, and the Laplacian TV.

    Parameters
    ----------
    network : Network
    content : array (1, 3, H, W)
    styles : sequence of (weight, array (1, 3, h, w))
        Weights sum to 1.
    weights : LossWeights
        A TV weight above 0 adds the Laplacian TV relative to that of the content.
    """

    def __init__(
        self, network: Network, content: NDArray, styles: Sequence[tuple[float, NDArray]], weights: LossWeights
    ):
        torch = load_torch()
        self._network = network
        self._laplacian = torch.tensor(symbols.LAPLACIAN).expand(3, 1, 3, 3).contiguous()
        with torch.no_grad():
            picture = torch.from_numpy(content)
            features = network(picture)
            self._content = {layer: features[layer] for layer in weights.content_layers if weights.content > 0}
            positions = {layer: value.shape[2] * value.shape[3] for layer, value in features.items()}
            self._style: dict[str, Any] = {}
            for share, style in styles:
                for layer, value in network(torch.from_numpy(style)).items():
                    if layer in weights.style_layers:
                        scaled = gram(value) * (share * positions[layer] / (value.shape[2] * value.shape[3]))
                        self._style[layer] = self._style[layer] + scaled if layer in self._style else scaled
            self._content_factors = _factors(weights.content, weights.content_layers, self._content)
            self._style_factors = _factors(weights.style, weights.style_layers, self._style)
            self._tv_factor = weights.tv / float(self._tv(picture)) if weights.tv > 0 else 0.0

    def __call__(self, image: Any) -> Any:
        """The total, a differentiable scalar."""
        features = self._network(image)
        total = self._tv(image) * self._tv_factor if self._tv_factor else image.new_zeros(())
        for layer, target in self._content.items():
            total = total + _energy(features[layer] - target) * self._content_factors[layer]
        for layer, target in self._style.items():
            total = total + _energy(gram(features[layer]) - target) * self._style_factors[layer]
        return total

    def _tv(self, image: Any) -> Any:
        """1/2 <x, K x>."""
        laplacian = load_torch().nn.functional.conv2d(image, self._laplacian, padding=1, groups=3)
        return 0.5 * (image * laplacian).sum()


def gram(features: Any) -> Any:
    """The raw Gram matrix F F^T, float32, of features (1, channels, height, width)."""
    flat = features.flatten(2)[0]
    return (flat @ flat.T).float()


def _energy(value: Any) -> Any:
    """The sum of squares, in float32."""
    return value.float().square().sum()


def _factors(weight: float, layers: Mapping[str, float], targets: Mapping[str, Any]) -> dict[str, float]:
    """The factor of each layer's raw sum of squares."""
    whole = sum(layers.values())
    return {layer: weight * layers[layer] / whole / float(_energy(target)) for layer, target in targets.items()}


def objective_of(plan: RunPlan, pictures: Pictures, parameters: Parameters) -> Objective:
    """The float32, channels-first objective of a run, for the pictures of one of its scales.

    Raises
    ------
    UserError
        If the run uses something that is not implemented here.
    """
    if plan.normalization != "balanced":
        raise UserError(f"the comparison with PyTorch needs normalization: balanced, not {plan.normalization}")
    if plan.tv not in ("laplacian", "none"):
        raise UserError(f"the comparison with PyTorch needs tv.kind: laplacian or none, not {plan.tv}")
    if pictures.content is None:
        raise UserError("the comparison with PyTorch needs a content picture")
    if plan.regions:
        raise UserError("the comparison with PyTorch needs one style for the whole picture: expected regions: null")
    network = Network(
        plan.spec.name,
        parameters_for(plan.spec.name, parameters, plan.pixels),
        plan.pooling,
        [*plan.content_layers, *plan.style_layers],
    )
    weights = plan.loss_weights if plan.tv != "none" else dataclasses.replace(plan.loss_weights, tv=0.0)
    return Objective(
        network,
        pixels.from_picture(pictures.content, plan.pixels),
        [(weight, pixels.from_picture(style, plan.pixels)) for weight, style in pictures.styles],
        weights,
    )
