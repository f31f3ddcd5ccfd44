"""The question an optimiser asks: given an image, what are the losses and the gradient?

The seam is the tapped features: a network turns the image into features, executors bound on those same arrays turn
features into raw losses and, with one head gradient per loss, into the gradients that the network goes back with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import models
from models.runtime import Array, Context, load_mxnet, release_memory
from styletransfer.config.normalizations import LayerFacts, LossNormalization
from styletransfer.losses.executors import Grams, GuidedGradients, SquaredDistances
from styletransfer.losses.guidance import Guidance
from styletransfer.losses.targets import Targets
from styletransfer.losses.total_variation import TotalVariation
from styletransfer.network.arithmetic import squared_norm
from styletransfer.network.executor import Heads, Source, TiledNetwork, part_of
from styletransfer.network.precision import FLOAT32, cast
from styletransfer.network.tiling import Section, Tile


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
    gradient: Array
    tv_gradient: Array | None
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
        groups = (
            ("content", targets.content, weights.content, weights.content_layers, normalization.content),
            ("style", targets.style, weights.style, weights.style_layers, normalization.style),
        )
        # The whole factor between a raw loss and its place in the total; of regions, one for each.
        self._coefficients: dict[str, float | NDArray[np.float64]] = {}
        for group, found, weight, layers, factor in groups:
            whole = sum(layers.values()) if normalization.relative else 1.0
            for layer, target in found.items():
                channels, *sides = spec.output_shape(layer, height, width)
                positions, share = sides[0] * sides[1], weight * (layers[layer] / whole)
                facts = LayerFacts(channels, positions, height * width, squared_norm(target))
                if group == "style" and targets.guidance is not None:
                    areas = targets.guidance.positions(layer) / positions
                    own = _of_regions(facts, factor, target, areas)
                    self._coefficients[f"{group}.{layer}"] = share * own * np.array(targets.region_weights)
                else:
                    self._coefficients[f"{group}.{layer}"] = share * factor(facts)
        scaled = {name: value * self._gain for name, value in self._coefficients.items()}
        self._losses = NetworkLosses(source, targets, scaled, height, width)
        self._tv = tv
        self._tv_weight = weights.tv / tv_unit

    @property
    def loss_names(self) -> list[str]:
        """The layers' losses, ``content.<layer>`` and ``style.<layer>``, in order."""
        return list(self._coefficients)

    def __call__(self, image: Array) -> Evaluation:
        """Evaluate an image, an array (1, 3, height, width) in the space of the source."""
        raw = self._losses(image)
        tv_energy, tv_gradient = 0.0, None
        if self._tv is not None:
            tv_energy, tv_gradient = self._tv.energy_and_gradient(image)
            tv_energy, tv_gradient = tv_energy * self._tv_weight, tv_gradient * (self._tv_weight * self._gain)
        layers = {name: float(np.sum(coefficient * raw[name])) for name, coefficient in self._coefficients.items()}
        return Evaluation(Losses(layers, tv_energy), self._losses.gradient, tv_gradient, self._gain)


def _of_regions(
    facts: LayerFacts, factor: Callable[[LayerFacts], float], targets: Array, areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The coefficients of the raw losses of regions, of one layer.

    The Gram matrices of a region are brought to the size of the whole image, as those of a style picture are, and its
    loss counts by its share of the area. So a normalization sees what it would see of an ordinary run; the losses of
    regions that share all positions alike, or of one that has all, sum to that of an ordinary run; and pixels are drawn
    towards their style as strongly in a small region as in a large one.
    """
    found = []
    for target, area in zip(targets, areas):
        own = dataclasses.replace(facts, target_energy=squared_norm(target) / area**2)
        found.append(factor(own) / area**2 * area)
    return np.array(found)


class NetworkLosses:
    """The raw losses of the tapped layers, and the gradient of their weighted sum; the seam is the tapped features.

    On the way forward the Gram matrices and content losses are summed up over the tiles of the image; the style losses
    follow from them, and the head gradients of every tile on the way back.

    Parameters
    ----------
    source : Source
    targets : Targets
    coefficients : dict of floats, or of arrays (regions,)
        For every loss, ``content.<layer>`` or ``style.<layer>``, its factor in the sum whose gradient is wanted.
    height, width : int
        The image's.

    Attributes
    ----------
    gradient : array (1, 3, height, width)
        Of the image last seen.
    """

    def __init__(
        self,
        source: Source,
        targets: Targets,
        coefficients: Mapping[str, float | NDArray[np.float64]],
        height: int,
        width: int,
    ) -> None:
        mx, context = load_mxnet(), source.context

        def heads_of(group: str, layers: Iterable[str]) -> dict[str, Array]:
            return {
                layer: mx.nd.array(np.atleast_1d(coefficients[f"{group}.{layer}"]), ctx=context) for layer in layers
            }

        self._source, self._guidance = source, targets.guidance
        self._sections = source.sections([*targets.style, *targets.content], height, width)
        self._whole: _SectionLosses | None = None  # the last section, which stays bound where it has one tile
        self._grams = {layer: mx.nd.zeros(target.shape, ctx=context) for layer, target in targets.style.items()}
        self._style = SquaredDistances(self._grams, targets.style, context)
        self._style_coefficients = heads_of("style", targets.style)
        self._content_targets = targets.content
        self._content_coefficients = heads_of("content", targets.content)
        self.gradient: Array = mx.nd.zeros((1, 3, height, width), ctx=context)

    def __call__(self, image: Array) -> dict[str, float | NDArray[np.float64]]:
        """The raw losses of an image, by name, with regions those of style for each; `gradient` is filled."""
        given, content = self._forward(image)
        style = {
            layer: float(value.asscalar()) if self._guidance is None else value.asnumpy().astype(np.float64)
            for layer, value in self._style.forward().items()
        }
        self._style.backward(list(self._style_coefficients.values()))
        self._backward(given)
        return {
            **{f"content.{layer}": value for layer, value in content.items()},
            **{f"style.{layer}": value for layer, value in style.items()},
        }

    def _forward(self, image: Array) -> tuple[list[Array], dict[str, float]]:
        """Sum up the Gram matrices over all tiles; what each section was given, and the content losses."""
        mx = load_mxnet()
        for gram in self._grams.values():
            gram[:] = 0
        content = dict.fromkeys(self._content_targets, 0.0)
        given = [image]
        for section in self._sections:
            here = self._bound(section, trainable=section.whole)
            handed_on = mx.nd.zeros(here.network.shape(section.cut), ctx=self._source.context) if section.cut else None
            for tile in section.tiling:
                here.network.forward(given[-1], tile)
                here.add_grams(tile, self._grams)
                here.add_content_losses(tile, content)
                if section.cut:
                    here.network.keep(handed_on, section.cut, tile)
            del here  # its memory is needed
            if section.cut:
                given.append(handed_on)
                release_memory()
        return given, content

    def _backward(self, given: list[Array]) -> None:
        """Go back through all tiles with the head gradients of content and style, and fill `gradient`."""
        mx = load_mxnet()
        above: Array = None  # the gradient of what the section handed on
        for section in reversed(self._sections):
            values = given.pop()
            here = self._bound(section, trainable=True)
            gradient = mx.nd.zeros(values.shape, ctx=self._source.context) if given else self.gradient
            for tile in section.tiling:
                if not section.whole:  # of the whole, features and content losses are still those of the way forward
                    here.network.forward(values, tile)
                heads = here.heads(tile, self._style.gradients)
                if section.cut:
                    head = part_of(above, *here.network.seen(section.cut, tile))
                    if section.cut in heads:
                        head = head + cast(heads[section.cut], FLOAT32)
                    heads[section.cut] = head
                here.network.backward(Heads(heads, {} if self._guidance else self._style.gradients), tile, gradient)
            del here
            above = gradient
            if len(self._sections) > 1:
                self._whole = None
                release_memory()

    def _bound(self, section: Section, trainable: bool) -> _SectionLosses:
        """A section and its losses; only one takes memory at a time."""
        if section.whole and self._whole is not None:
            return self._whole
        content = [layer for layer in section.layers if layer in self._content_targets]
        style = [layer for layer in section.layers if layer in self._grams]
        wanted = {*content, section.cut, *(style if self._guidance else ())}
        by_features = [layer for layer in section.outputs if layer in wanted]
        network = self._source.bind(section, trainable, by_features, () if self._guidance else style)
        targets = {layer: self._content_targets[layer] for layer in content}
        bound = _SectionLosses(
            network, style, targets, self._content_coefficients, self._source.context, self._guidance, trainable
        )
        if section.whole:
            self._whole = bound
        return bound


class _SectionLosses:
    """A section of the network, bound, with the Gram matrices and content losses of its layers.

    Parameters
    ----------
    network : TiledNetwork
    style : names of the layers whose Gram matrices are wanted
    targets : dict of arrays
        The features of the whole content picture, for the section's content layers.
    coefficients : dict of arrays (1,)
        The factor of every content layer's loss.
    context : mxnet Context
    guidance : Guidance, or None
        The regions of the image.
    trainable : bool
        Whether gradients will be asked for.
    """

    def __init__(
        self,
        network: TiledNetwork,
        style: Sequence[str],
        targets: Mapping[str, Array],
        coefficients: Mapping[str, Array],
        context: Context,
        guidance: Guidance | None,
        trainable: bool,
    ) -> None:
        mx = load_mxnet()
        self.network = network
        self._tiled = not network.section.tiling.whole
        self._grams = Grams(network.features, style, context, self._tiled, guidance)
        self._guided: GuidedGradients | None = None
        if guidance is not None and trainable:
            self._guided = GuidedGradients(network.features, style, context, guidance)
        self._targets = self._in_window = targets
        features = {layer: network.features[layer] for layer in targets}
        if self._tiled:
            self._in_window = {layer: mx.nd.zeros(value.shape, ctx=context) for layer, value in features.items()}
        self._content = SquaredDistances(features, self._in_window, context)
        self._coefficients = [coefficients[layer] for layer in targets]

    def add_grams(self, tile: Tile, sums: Mapping[str, Array]) -> None:
        """Add the Gram matrices of what the tile owns, which the network has just seen."""
        self._grams.add(self.network.parts(tile), sums)

    def add_content_losses(self, tile: Tile, sums: dict[str, float]) -> None:
        """Add the raw content losses of what the tile owns, which the network has just seen."""
        if self._tiled:
            for layer, target in self._targets.items():
                (rows, columns), (all_rows, all_columns) = self.network.owned(layer, tile)
                self._in_window[layer][:] = cast(self.network.features[layer], FLOAT32)  # only what it owns counts
                self._in_window[layer][:, :, rows, columns] = part_of(target, all_rows, all_columns)
        for layer, value in self._content.forward().items():
            sums[layer] += float(value.asscalar())

    def heads(self, tile: Tile, of_grams: Mapping[str, Array]) -> dict[str, Array]:
        """The head gradients of the features in the window of the tile that the network has just seen.

        They are those of the content layers; and of the style layers where the image has regions, for which the
        gradients with respect to the Gram matrices are given. Without, the network goes back with these itself.
        """
        heads = dict(self._content_heads(tile))
        if self._guided is not None:
            seen = {layer: self.network.seen(layer, tile) for layer in self.network.section.layers}
            for layer, head in self._guided(of_grams, seen).items():
                heads[layer] = head if layer not in heads else cast(heads[layer], FLOAT32) + cast(head, FLOAT32)
        return heads

    def _content_heads(self, tile: Tile) -> Mapping[str, Array]:
        """The head gradients of the content layers in the window."""
        if self._tiled:
            for layer, target in self._targets.items():
                part_of(target, *self.network.seen(layer, tile)).copyto(self._in_window[layer])
        if not self.network.section.whole:  # of the whole, the losses are still those of these features
            self._content.forward()
        self._content.backward(self._coefficients)
        return self._content.gradients
