"""The question an optimiser asks: given an image, what are the losses and the gradient?

The seam is the tapped features: a network turns the image into features, executors bound on those same arrays turn
features into raw losses and, with one head gradient per loss, into the gradients that the network goes back with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import models
from models.runtime import load_mxnet
from styletransfer.config.normalizations import LayerFacts, LossNormalization
from styletransfer.losses.executors import Grams, SquaredDistances
from styletransfer.losses.targets import Targets
from styletransfer.losses.total_variation import TotalVariation
from styletransfer.network.arithmetic import squared_norm
from styletransfer.network.executor import Heads, Passes, Source, TiledNetwork, part_of
from styletransfer.network.precision import FLOAT32, cast
from styletransfer.network.tiling import Tile


@dataclass(frozen=True)
class Losses:
    """The weighted losses of one image; the name of a layer's loss is ``content.relu4_2`` or ``style.relu1_1``."""

    layers: Mapping[str, float]
    tv: float

    def _sum(self, group: str) -> float:
        return sum(value for name, value in self.layers.items() if name.startswith(group + "."))

    @property
    def content(self) -> float:
        return self._sum("content")

    @property
    def style(self) -> float:
        return self._sum("style")

    @property
    def total(self) -> float:
        return self.content + self.style + self.tv


@dataclass(frozen=True)
class Evaluation:
    """What an objective says of an image. The gradients are arrays of its shape, valid until the next evaluation.

    The gradient of the TV is kept apart, because the MXNet system adds it after clipping the other.
    """

    losses: Losses
    gradient: Any
    tv_gradient: Any | None
    gain: float = 1.0  # the gradients are those of the total times this

    @property
    def scaled_total(self) -> float:
        """The number whose gradient the two gradients add up to."""
        return self.losses.total * self.gain


@dataclass(frozen=True)
class Weights:
    """How much each loss counts: the config's weights, before the normalization's coefficients."""

    content: float
    content_layers: Mapping[str, float]
    style: float
    style_layers: Mapping[str, float]
    tv: float


class Objective:
    """The losses and the gradient of an image, for one content, style and size.

    Parameters
    ----------
    source : Source
    targets : Targets
    normalization : LossNormalization
    weights : Weights
    tv : TotalVariation, or None
    tv_unit : float
        The TV energy that counts as 1 (that of the content picture, under a relative normalization).
    height, width : int
        The image's.
    """

    def __init__(
        self,
        source: Source,
        targets: Targets,
        normalization: LossNormalization,
        weights: Weights,
        tv: TotalVariation | None,
        tv_unit: float,
        height: int,
        width: int,
    ) -> None:
        spec = models.load(source.model).SPEC
        # A relative normalization hands out the gradient per pixel value, so that it does not fade as images grow.
        self._gain = float(3 * height * width) if normalization.relative else 1.0
        found = {
            **{f"content.{layer}": target for layer, target in targets.content.items()},
            **{f"style.{layer}": target for layer, target in targets.style.items()},
        }
        self._coefficients: dict[str, float] = {}
        for name, target in found.items():
            channels, *positions = spec.output_shape(name.partition(".")[2], height, width)
            facts = LayerFacts(channels, positions[0] * positions[1], height * width, squared_norm(target))
            self._coefficients[name] = _coefficient(name, facts, normalization, weights)
        scaled = {name: value * self._gain for name, value in self._coefficients.items()}
        self._losses = NetworkLosses(source, targets, scaled, height, width)
        self._tv = tv
        self._tv_weight = weights.tv / tv_unit

    @property
    def loss_names(self) -> list[str]:
        """The layers' losses, ``content.<layer>`` and ``style.<layer>``, in order."""
        return list(self._coefficients)

    def __call__(self, image: Any) -> Evaluation:
        """Evaluate an image, an array (1, 3, height, width) in the space of the source."""
        raw = self._losses(image)
        tv_energy, tv_gradient = 0.0, None
        if self._tv is not None:
            tv_energy, tv_gradient = self._tv.energy_and_gradient(image)
            tv_energy, tv_gradient = tv_energy * self._tv_weight, tv_gradient * (self._tv_weight * self._gain)
        layers = {name: coefficient * float(raw[name]) for name, coefficient in self._coefficients.items()}
        return Evaluation(Losses(layers, tv_energy), self._losses.gradient, tv_gradient, self._gain)


class NetworkLosses:
    """The raw losses of the tapped layers, and the gradient of their weighted sum; the seam is the tapped features.

    On the way forward the Gram matrices and content losses are summed up over the tiles of the image; the style losses
    follow from them, and the head gradients of every tile on the way back.

    Parameters
    ----------
    source : Source
    targets : Targets
    coefficients : dict of floats
        For every loss, ``content.<layer>`` or ``style.<layer>``, its factor in the sum whose gradient is wanted.
    height, width : int
        The image's.
    """

    def __init__(
        self, source: Source, targets: Targets, coefficients: Mapping[str, float], height: int, width: int
    ) -> None:
        mx = load_mxnet()
        context = source.context
        self._grams = {layer: mx.nd.zeros(target.shape, ctx=context) for layer, target in targets.style.items()}
        self._style = SquaredDistances(self._grams, targets.style, context)
        self._style_coefficients = [
            mx.nd.array([coefficients[f"style.{layer}"]], ctx=context) for layer in targets.style
        ]
        self._content = dict.fromkeys(targets.content, 0.0)
        content_coefficients = {
            layer: mx.nd.array([coefficients[f"content.{layer}"]], ctx=context) for layer in targets.content
        }

        def watch(network: TiledNetwork) -> _LossWatcher:
            return _LossWatcher(
                network,
                self._grams,
                self._style.gradients,
                targets.content,
                content_coefficients,
                self._content,
                context,
            )

        self._passes = Passes(source, targets.style, targets.content, height, width, watch, trainable=True)

    @property
    def gradient(self) -> Any:
        """That of the image last seen, (1, 3, height, width)."""
        return self._passes.gradient

    def __call__(self, image: Any) -> dict[str, float]:
        """The raw losses of an image, by name; `gradient` is filled."""
        for gram in self._grams.values():
            gram[:] = 0
        self._content.update(dict.fromkeys(self._content, 0.0))
        self._passes.forward(image)
        style = {layer: float(value.asscalar()) for layer, value in self._style.forward().items()}
        self._style.backward(self._style_coefficients)
        self._passes.backward()
        return {
            **{f"content.{layer}": value for layer, value in self._content.items()},
            **{f"style.{layer}": value for layer, value in style.items()},
        }


class _LossWatcher:
    """Sums up the Gram matrices and content losses of a section's layers, and says what it goes back with."""

    def __init__(
        self,
        network: TiledNetwork,
        grams: Mapping[str, Any],
        gram_gradients: Mapping[str, Any],
        content_targets: Mapping[str, Any],
        content_coefficients: Mapping[str, Any],
        content_losses: dict[str, float],
        context: Any,
    ) -> None:
        mx = load_mxnet()
        features, layers = network.features, network.section.layers
        self._network = network
        self._sums = grams
        self._parted = not network.section.tiling.whole
        style = [layer for layer in layers if layer in grams]
        self._grams = Grams(features, style, context, self._parted)
        self._gram_gradients = {layer: gram_gradients[layer] for layer in style}
        self._targets = {layer: content_targets[layer] for layer in layers if layer in content_targets}
        self._here = self._targets  # what the window is compared with
        if self._parted:
            self._here = {layer: mx.nd.zeros(features[layer].shape, ctx=context) for layer in self._targets}
        self._content = SquaredDistances({layer: features[layer] for layer in self._targets}, self._here, context)
        self._content_coefficients = [content_coefficients[layer] for layer in self._targets]
        self._losses = content_losses

    def see(self, tile: Tile) -> None:
        self._grams.add(self._network.parts(tile), self._sums)
        if self._parted:
            for layer, target in self._targets.items():
                (rows, columns), (all_rows, all_columns) = self._network.owned(layer, tile)
                self._here[layer][:] = cast(self._network.features[layer], FLOAT32)  # only what the tile owns counts
                self._here[layer][:, :, rows, columns] = part_of(target, all_rows, all_columns)
        for layer, value in self._content.forward().items():
            self._losses[layer] += float(value.asscalar())

    def heads(self, tile: Tile) -> Heads:
        if self._parted:
            for layer, target in self._targets.items():
                part_of(target, *self._network.seen(layer, tile)).copyto(self._here[layer])
        if not self._network.section.whole:  # what was seen last is not what the losses were last found of
            self._content.forward()
        self._content.backward(self._content_coefficients)
        return Heads(self._content.gradients, self._gram_gradients)


def _coefficient(name: str, facts: LayerFacts, normalization: LossNormalization, weights: Weights) -> float:
    """The whole factor between a raw loss and its place in the total."""
    group, layer = name.split(".", 1)
    by_group = {
        "content": (weights.content, weights.content_layers, normalization.content),
        "style": (weights.style, weights.style_layers, normalization.style),
    }
    weight, layers, norm = by_group[group]
    share = layers[layer] / (sum(layers.values()) if normalization.relative else 1.0)
    return weight * share * norm(facts)
