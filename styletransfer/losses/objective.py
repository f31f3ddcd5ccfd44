"""The objective of the optimisation: the losses of an image and their gradient.

The interface between network and losses is the tapped features. The network turns an image into features; executors
that are bound to the same arrays turn features into raw losses and, with one head gradient per loss, into the gradients
that the network propagates back.
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
from styletransfer.network.executor import Backbone, Heads, TiledNetwork, crop
from styletransfer.network.precision import FLOAT32, cast
from styletransfer.network.tiling import Segment, Tile

GroupedLayer = tuple[str, str]  # the group, such as content or style, and the name of one of its layers


@dataclass(frozen=True)
class Losses:
    """The weighted losses of one image, of the layers of all groups and of the total variation.

    The groups are content and style, and in the training of a style with a stability loss also stability.
    """

    layers: Mapping[GroupedLayer, float]
    tv: float

    def _sum(self, wanted: str) -> float:
        return sum(value for (group, _), value in self.layers.items() if group == wanted)

    @property
    def content(self) -> float:
        return self._sum("content")

    @property
    def style(self) -> float:
        return self._sum("style")

    @property
    def total(self) -> float:
        return self.content + self.style + self._sum("stability") + self.tv


@dataclass(frozen=True)
class Evaluation:
    """The losses and gradients of an image. The gradients have its shape and are valid until the next evaluation.

    The gradient of the TV is kept apart, because the MXNet system adds it after clipping the other.
    """

    losses: Losses
    gradient: Array
    tv_gradient: Array | None
    gain: float = 1.0  # by which the gradients of the total are multiplied

    @property
    def scaled_total(self) -> float:
        """The number whose gradient the two gradients add up to."""
        return self.losses.total * self.gain


@dataclass(frozen=True)
class LossWeights:
    """The weights of the losses, as in the config, without the coefficients of the normalization."""

    content: float
    content_layers: Mapping[str, float]
    style: float
    style_layers: Mapping[str, float]
    tv: float


class Objective:
    """The losses and the gradient of an image, for one content, style and size.

    Parameters
    ----------
    backbone : Backbone
    targets : Targets
    normalization : LossNormalization
    weights : LossWeights
    tv : TotalVariation, or None
    tv_unit : float
        What the TV energy is divided by: that of the content picture, under a relative normalization.
    height, width : int
        Of the image.
    """

    def __init__(
        self,
        backbone: Backbone,
        targets: Targets,
        normalization: LossNormalization,
        weights: LossWeights,
        tv: TotalVariation | None,
        tv_unit: float,
        height: int,
        width: int,
    ) -> None:
        spec = models.load(backbone.model).SPEC
        # A relative normalization multiplies the gradient by the number of values, or it would fade in large images.
        self._gain = float(3 * height * width) if normalization.relative else 1.0
        groups = (
            ("content", targets.content, weights.content, weights.content_layers, normalization.content),
            ("style", targets.style, weights.style, weights.style_layers, normalization.style),
        )
        # The whole factor between a raw loss and its place in the total; of regions, one for each.
        self._coefficients: dict[GroupedLayer, float | NDArray[np.float64]] = {}
        for group, found, weight, layers, factor in groups:
            whole = sum(layers.values()) if normalization.relative else 1.0
            for layer, target in found.items():
                channels, *sides = spec.output_shape(layer, height, width)
                positions, share = sides[0] * sides[1], weight * (layers[layer] / whole)
                facts = LayerFacts(channels, positions, height * width, squared_norm(target))
                if group == "style" and targets.guidance is not None:
                    areas = targets.guidance.positions(layer) / positions
                    own = _of_regions(facts, factor, target, areas)
                    self._coefficients[group, layer] = share * own * np.array(targets.region_weights)
                else:
                    self._coefficients[group, layer] = share * factor(facts)
        scaled = {name: value * self._gain for name, value in self._coefficients.items()}
        self._losses = NetworkLosses(backbone, targets, scaled, height, width)
        self._tv = tv
        self._tv_weight = weights.tv / tv_unit

    @property
    def grouped_layers(self) -> list[GroupedLayer]:
        """The layers that have a loss, in order."""
        return list(self._coefficients)

    def __call__(self, image: Array) -> Evaluation:
        """Evaluate an image, an array (1, 3, height, width) in the pixel space of the backbone."""
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
    """The raw losses of the tapped layers, and the gradient of their weighted sum.

    The forward pass sums Gram matrices and content losses over the tiles of the image. The style losses, and the head
    gradients for the backward pass over the tiles, follow from these sums.

    Parameters
    ----------
    backbone : Backbone
    targets : Targets
    coefficients : dict of floats, or of arrays (regions,)
        For every loss, ``content.<layer>`` or ``style.<layer>``, its factor in the sum whose gradient is wanted.
    height, width : int
        Of the image.

    Attributes
    ----------
    gradient : array (1, 3, height, width)
        Of the last image.
    """

    def __init__(
        self,
        backbone: Backbone,
        targets: Targets,
        coefficients: Mapping[GroupedLayer, float | NDArray[np.float64]],
        height: int,
        width: int,
    ) -> None:
        mx, context = load_mxnet(), backbone.context

        def heads_of(group: str, layers: Iterable[str]) -> dict[str, Array]:
            return {layer: mx.nd.array(np.atleast_1d(coefficients[group, layer]), ctx=context) for layer in layers}

        self._backbone, self._guidance = backbone, targets.guidance
        self._segments = backbone.segments([*targets.style, *targets.content], height, width)
        self._whole: _SegmentLosses | None = None  # the last segment, which stays bound where it has one tile
        self._grams = {layer: mx.nd.zeros(target.shape, ctx=context) for layer, target in targets.style.items()}
        self._style = SquaredDistances(self._grams, targets.style, context)
        self._style_coefficients = heads_of("style", targets.style)
        self._content_targets = targets.content
        self._content_coefficients = heads_of("content", targets.content)
        self.gradient: Array = mx.nd.zeros((1, 3, height, width), ctx=context)

    def __call__(self, image: Array) -> dict[GroupedLayer, float | NDArray[np.float64]]:
        """The raw losses of an image, by name, with regions those of style for each; `gradient` is filled."""
        given, content = self._forward(image)
        style = {
            layer: float(value.asscalar()) if self._guidance is None else value.asnumpy().astype(np.float64)
            for layer, value in self._style.forward().items()
        }
        self._style.backward(list(self._style_coefficients.values()))
        self._backward(given)
        return {
            **{("content", layer): value for layer, value in content.items()},
            **{("style", layer): value for layer, value in style.items()},
        }

    def _forward(self, image: Array) -> tuple[list[Array], dict[str, float]]:
        """Sum Gram matrices over all tiles; returns the input of every segment, and the content losses."""
        mx = load_mxnet()
        for gram in self._grams.values():
            gram[:] = 0
        content = dict.fromkeys(self._content_targets, 0.0)
        given = [image]
        for segment in self._segments:
            here = self._bound(segment, trainable=segment.whole)
            handed_on = (
                mx.nd.zeros(here.network.shape(segment.cut), ctx=self._backbone.context) if segment.cut else None
            )
            for tile in segment.tiling:
                here.network.forward(given[-1], tile)
                here.add_grams(tile, self._grams)
                here.add_content_losses(tile, content)
                if segment.cut:
                    here.network.keep(handed_on, segment.cut, tile)
            del here  # its memory is needed
            if segment.cut:
                given.append(handed_on)
                release_memory()
        return given, content

    def _backward(self, given: list[Array]) -> None:
        """Propagate the head gradients of content and style back through all tiles, and fill `gradient`."""
        mx = load_mxnet()
        above: Array = None  # the gradient of the segment's output
        for segment in reversed(self._segments):
            values = given.pop()
            here = self._bound(segment, trainable=True)
            gradient = mx.nd.zeros(values.shape, ctx=self._backbone.context) if given else self.gradient
            for tile in segment.tiling:
                if not segment.whole:  # otherwise features and losses are still valid
                    here.network.forward(values, tile)
                heads = here.heads(tile, self._style.gradients)
                if segment.cut:
                    head = crop(above, *here.network.seen(segment.cut, tile))
                    if segment.cut in heads:
                        head = head + cast(heads[segment.cut], FLOAT32)
                    heads[segment.cut] = head
                here.network.backward(Heads(heads, {} if self._guidance else self._style.gradients), tile, gradient)
            del here
            above = gradient
            if len(self._segments) > 1:
                self._whole = None
                release_memory()

    def _bound(self, segment: Segment, trainable: bool) -> _SegmentLosses:
        """Bind a segment and its losses; only one is kept in memory at a time."""
        if segment.whole and self._whole is not None:
            return self._whole
        content = [layer for layer in segment.layers if layer in self._content_targets]
        style = [layer for layer in segment.layers if layer in self._grams]
        wanted = {*content, segment.cut, *(style if self._guidance else ())}
        by_features = [layer for layer in segment.outputs if layer in wanted]
        network = self._backbone.bind(segment, trainable, by_features, () if self._guidance else style)
        targets = {layer: self._content_targets[layer] for layer in content}
        bound = _SegmentLosses(
            network, style, targets, self._content_coefficients, self._backbone.context, self._guidance, trainable
        )
        if segment.whole:
            self._whole = bound
        return bound


class _SegmentLosses:
    """A bound segment of the network, with the Gram matrices and content losses of its layers.

    Parameters
    ----------
    network : TiledNetwork
    style : names of the style layers
    targets : dict of arrays
        The features of the whole content picture, for the segment's content layers.
    coefficients : dict of arrays (1,)
        The factors of the content losses.
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
        self._tiled = not network.segment.tiling.whole
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
        """Add the Gram matrices of the part that a tile owns, after its forward pass."""
        self._grams.add(self.network.owned_by_layer(tile), sums)

    def add_content_losses(self, tile: Tile, sums: dict[str, float]) -> None:
        """Add the raw content losses of the part that a tile owns, after its forward pass."""
        if self._tiled:
            for layer, target in self._targets.items():
                (rows, columns), (all_rows, all_columns) = self.network.owned(layer, tile)
                # No loss outside the part that the tile owns.
                self._in_window[layer][:] = cast(self.network.features[layer], FLOAT32)
                self._in_window[layer][:, :, rows, columns] = crop(target, all_rows, all_columns)
        for layer, value in self._content.forward().items():
            sums[layer] += float(value.asscalar())

    def heads(self, tile: Tile, of_grams: Mapping[str, Array]) -> dict[str, Array]:
        """The head gradients of the features in the window of the tile that the network has just seen.

        They are those of the content layers; and of the style layers where the image has regions, for which the
        gradients with respect to the Gram matrices are given. Without, the network goes back with these itself.
        """
        heads = dict(self._content_heads(tile))
        if self._guided is not None:
            seen = {layer: self.network.seen(layer, tile) for layer in self.network.segment.layers}
            for layer, head in self._guided(of_grams, seen).items():
                heads[layer] = head if layer not in heads else cast(heads[layer], FLOAT32) + cast(head, FLOAT32)
        return heads

    def _content_heads(self, tile: Tile) -> Mapping[str, Array]:
        """The head gradients of the content layers in the window."""
        if self._tiled:
            for layer, target in self._targets.items():
                crop(target, *self.network.seen(layer, tile)).copyto(self._in_window[layer])
        if not self.network.segment.whole:  # otherwise the losses of these features are still valid
            self._content.forward()
        self._content.backward(self._coefficients)
        return self._content.gradients
