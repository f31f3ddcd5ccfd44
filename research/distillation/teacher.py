"""The teacher, VGG-19 itself, and the targets it gives: the leading principal components of its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from models import model_vgg19, model_vgg_slim, vgg
from styletransfer import weights

_LEAST_ENERGY, _LEAST_GRAM = 0.05, 0.005


@dataclass(frozen=True)
class Target:
    """A layer of the teacher, and the projection of the student that estimates it."""

    layer: str
    projection: vgg.Projection
    weight: float  # in the sum of the losses


# Auxiliary projections, discarded after training: they keep information in the student that its deeper layers need.
AUXILIARY = (
    vgg.Projection("proj2_2", of="relu2_2", channels=64),
    vgg.Projection("proj3_4", of="relu3_4", channels=96),
    vgg.Projection("proj4_2", of="relu4_2", channels=96),
    vgg.Projection("proj4_4", of="relu4_4", channels=128),
)
TARGETS = tuple(
    Target(projection.name.replace("proj", "relu"), projection, weight)
    for projections, weight in ((model_vgg_slim.PROJECTIONS, 1.0), (AUXILIARY, 0.2))
    for projection in projections
)


class Teacher:
    """VGG-19 up to relu5_1 with max pooling, in bfloat16: its features differ by less than a hundredth from float32.

    Parameters
    ----------
    path : path
        All convolutions of VGG-19, in any format that the project reads.
    """

    def __init__(self, path: Path) -> None:
        self._parameters = {
            name: torch.from_numpy(values.copy()).bfloat16()
            for name, values in weights.load(model_vgg19.SPEC, path).items()
        }
        self.bases: dict[str, Tensor] = {}

    @torch.no_grad()
    def features(self, images: Tensor) -> dict[str, Tensor]:
        """The features of the layers of `TARGETS`, of images (n, 3, h, w) in the pixels of VGG-19's SPEC."""
        wanted = {target.layer for target in TARGETS}
        tapped: dict[str, Tensor] = {}
        values = images.bfloat16().contiguous(memory_format=torch.channels_last)
        for block, widths in enumerate(model_vgg19.BLOCKS, start=1):
            for position in range(1, len(widths) + 1):
                name = f"conv{block}_{position}"
                weight, bias = self._parameters[f"{name}_weight"], self._parameters[f"{name}_bias"]
                values = functional.relu(functional.conv2d(values, weight, bias, padding=1))
                layer = name.replace("conv", "relu")
                if layer in wanted:
                    tapped[layer] = values
                if len(tapped) == len(wanted):
                    return tapped
            values = functional.max_pool2d(values, 2)
        raise AssertionError("a target is not a layer of VGG-19")

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """The targets by name of the projection: components (n, channels, h, w), float32."""
        features = self.features(images)
        return {
            target.projection.name: functional.conv2d(
                features[target.layer], self.bases[target.projection.name].bfloat16()[:, :, None, None]
            ).float()
            for target in TARGETS
        }

    def learn_bases(self, batches: Iterable[Tensor]) -> None:
        """Compute the leading principal components of every layer, not centred, from images of one size.

        The rows of a basis, (components, channels), are orthogonal, and scaled so that the mean squares of the
        components over all positions sum to 1.
        """
        moments: dict[str, Tensor] = {}
        count = 0
        for images in batches:
            count += 1
            for layer, features in self.features(images).items():
                rows = features.float().transpose(0, 1).flatten(1)
                moment = (rows @ rows.T).double() / rows.shape[1]
                moments[layer] = moments[layer] + moment if layer in moments else moment
        for target in TARGETS:
            values, vectors = torch.linalg.eigh(moments[target.layer] / count)
            kept = target.projection.channels
            scale = values[-kept:].sum().sqrt()
            self.bases[target.projection.name] = (vectors[:, -kept:].flip(1).T / scale).float().contiguous()


def distances(estimates: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """The two losses of every projection: of features and of Gram matrices, relative to the image's own.

    For estimates E and targets T, (n, channels, h, w) each, with M = h w positions: the means over images of
    |E - T|^2 / (|T|^2 + `_LEAST_ENERGY` M) and of |G_E - G_T|^2 / (|G_T|^2 + `_LEAST_GRAM`), with G = F F^T / M. The
    constants keep images without texture from dominating; over many images |T|^2 is M.
    """
    pairs = {}
    for target in TARGETS:
        estimate, wanted = (values[target.projection.name].float().flatten(2) for values in (estimates, targets))
        energy = wanted.square().sum(1).mean(1) + _LEAST_ENERGY
        error = ((estimate - wanted).square().sum(1).mean(1) / energy).mean()
        gram, wanted_gram = (values @ values.transpose(1, 2) / values.shape[2] for values in (estimate, wanted))
        energy = wanted_gram.square().sum((1, 2)) + _LEAST_GRAM
        pairs[target.projection.name] = error, ((gram - wanted_gram).square().sum((1, 2)) / energy).mean()
    return pairs
