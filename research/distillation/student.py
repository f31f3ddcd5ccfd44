"""The student: the bundled network with auxiliary projections, as it is trained.

It is trained on values / `INPUT_SCALE`, and with ReLUs near 1, which suit Adam; the saved parameters are for images in
the pixels of its SPEC, and their ReLUs are `FEATURE_SCALE` times as large.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import graph, model_vgg_slim, vgg
from research.distillation.teacher import TARGETS, Teacher
from styletransfer.weights import Parameters

INPUT_SCALE = 64.0
FEATURE_SCALE = 100.0
_RIDGE = 1e-6  # share of the mean square
_DEAD_BELOW = 1e-3  # share of positions at which a filter must be active to count as alive


class Student(nn.Module):
    """All parameters of the bundled network and its auxiliary projections, by the names of its SPEC."""

    def __init__(self, start: Parameters, seed: int) -> None:
        super().__init__()
        self.values = nn.ParameterDict(
            {name: nn.Parameter(torch.from_numpy(values)) for name, values in _initial(start, seed).items()}
        )

    def relus(self, images: Tensor) -> dict[str, Tensor]:
        """The features of every ReLU, of images (n, 3, h, w) in the pixels of the SPEC."""
        features = {}
        values = (images / INPUT_SCALE).contiguous(memory_format=torch.channels_last)
        for block, widths in enumerate(model_vgg_slim.BLOCKS, start=1):
            for position in range(1, len(widths) + 1):
                name = f"conv{block}_{position}"
                weight, bias = self.values[f"{name}_weight"], self.values[f"{name}_bias"]
                values = functional.relu(functional.conv2d(values, weight, bias, padding=1))
                features[name.replace("conv", "relu")] = values
            values = functional.max_pool2d(values, 2)
        return features

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The projections of `TARGETS` by name, (n, channels, h, w)."""
        with torch.autocast("cpu", torch.bfloat16):
            features = self.relus(images)
            return {
                target.projection.name: functional.conv2d(
                    features[target.projection.of],
                    self.values[f"{target.projection.name}_weight"],
                    self.values[f"{target.projection.name}_bias"],
                )
                for target in TARGETS
            }

    @torch.no_grad()
    def normalize(self, images: Iterable[Tensor]) -> None:
        """Rescale every convolution so that the root mean square of its ReLU is 1."""
        sums: dict[str, Tensor] = {}
        count = 0
        for image in images:
            count += 1
            for layer, features in self.relus(image).items():
                sums[layer] = sums.get(layer, torch.zeros(())) + features.square().mean()
        before = 1.0
        for layer, total in sums.items():
            here, convolution = float((total / count).sqrt()), layer.replace("relu", "conv")
            self.values[f"{convolution}_weight"] *= before / here
            self.values[f"{convolution}_bias"] /= here
            before = here

    @torch.no_grad()
    def fit_projections(self, batches: Iterable[Tensor], teacher: Teacher) -> None:
        """Set every projection to the least-squares fit of its targets, which Adam alone approaches slowly."""
        moments: dict[str, Tensor] = {}
        products: dict[str, Tensor] = {}
        for images in batches:
            targets = teacher(images)
            with torch.autocast("cpu", torch.bfloat16):
                features = self.relus(images)
            for target in TARGETS:
                name = target.projection.name
                rows = features[target.projection.of].float().transpose(0, 1).flatten(1)
                rows = torch.cat([rows, torch.ones(1, rows.shape[1])])
                wanted = targets[name].transpose(0, 1).flatten(1)
                moments[name] = moments.get(name, 0) + (rows @ rows.T).double() / rows.shape[1]
                products[name] = products.get(name, 0) + (wanted @ rows.T).double() / rows.shape[1]
        for name, moment in moments.items():
            ridge = _RIDGE * moment.trace() / len(moment) * torch.eye(len(moment))
            solution = torch.linalg.solve(moment + ridge, products[name].T).T.float()
            self.values[f"{name}_weight"].copy_(solution[:, :-1, None, None])
            self.values[f"{name}_bias"].copy_(solution[:, -1])

    @torch.no_grad()
    def revive(self, images: Iterable[Tensor], generator: torch.Generator) -> int:
        """Reinitialize dead filters, which are hardly ever active and so get no gradient; returns how many."""
        activity: dict[str, Tensor] = {}
        count = 0
        for image in images:
            count += 1
            for layer, features in self.relus(image).items():
                activity[layer] = activity.get(layer, 0) + (features > 0).float().mean((0, 2, 3))
        layers, revived = list(activity), 0
        for layer, following in zip(layers, [*layers[1:], None]):
            dead = activity[layer] / count < _DEAD_BELOW
            if not dead.any():
                continue
            revived += int(dead.sum())
            convolution = layer.replace("relu", "conv")
            weight = self.values[f"{convolution}_weight"]
            noise = torch.randn(weight[dead].shape, generator=generator)
            weight[dead] = noise * weight[~dead].square().mean().sqrt()
            self.values[f"{convolution}_bias"][dead] = 0.0
            readers = [target.projection.name for target in TARGETS if target.projection.of == layer]
            for reader in [*readers, *([following.replace("relu", "conv")] if following else [])]:
                self.values[f"{reader}_weight"][:, dead] *= 0.05
        return revived

    def parameters_of_spec(self) -> Parameters:
        """The parameters of the SPEC, without auxiliary projections."""
        parameters = {name: self.values[name].detach().numpy().copy() for name in model_vgg_slim.SPEC.parameters}
        return _rescaled(parameters, np.float32(FEATURE_SCALE))


def _rescaled(parameters: Parameters, factor: np.float32) -> Parameters:
    """Scale the ReLUs of a network by `factor`, and leave its projections as they are."""
    for name in parameters:
        if name.startswith("conv") and name.endswith("_bias"):
            parameters[name] = parameters[name] * factor
        elif name.startswith("proj") and name.endswith("_weight"):
            parameters[name] = parameters[name] / factor
    scale = factor / np.float32(INPUT_SCALE) if factor > 1 else factor * np.float32(INPUT_SCALE)
    parameters["conv1_1_weight"] = parameters["conv1_1_weight"] * scale
    return parameters


def _initial(start: Parameters, seed: int) -> Parameters:
    """A network of the same family, widened: added filters are random (He et al. 2015), and read with small weights.

    Parameters
    ----------
    start : dict of arrays
        A saved network with the same or fewer filters in each convolution.
    """
    generator = np.random.default_rng(seed)
    start = _rescaled(dict(start), np.float32(1 / FEATURE_SCALE))
    widened: Parameters = {}
    nodes = vgg.nodes(model_vgg_slim.BLOCKS, [target.projection for target in TARGETS])
    for name, shape in graph.parameters(nodes).items():
        if len(shape) == 1:
            values = np.zeros(shape, np.float32)
        else:
            deviation = np.sqrt((0.1 if name.startswith("proj") else 2.0) / np.prod(shape[1:]))
            values = (generator.standard_normal(shape) * deviation).astype(np.float32)
        if name.startswith("conv") and name in start:
            known = tuple(map(slice, start[name].shape))
            if len(shape) > 1:
                values[: start[name].shape[0]] *= 0.05
            values[known] = start[name]
        widened[name] = values
    return widened
