"""The question an optimiser asks: given an image, what are the losses and the gradient?

The seam is the tapped features: a network turns the image into features, executors bound on those same arrays turn
features into raw losses and, with one head gradient per loss, into the gradients that the network goes back with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import models
from models.runtime import Array, Context, load_mxnet, release_memory
from styletransfer.config.normalizations import LayerFacts, LossNormalization
from styletransfer.losses.executors import Grams, SquaredDistances
from styletransfer.losses.targets import Targets
from styletransfer.losses.total_variation import TotalVariation
from styletransfer.network.arithmetic import squared_norm
from styletransfer.network.executor import Backbone, Heads, TiledNetwork, crop
from styletransfer.network.precision import FLOAT32, cast
from styletransfer.network.tiling import Segment, Tile

GroupedLayer = tuple[str, str]  # the group, content or style, and the name of one of its layers


@dataclass(frozen=True)
class Losses:
    """The weighted losses of one image: those of the layers of both groups, and that of the total variation."""

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
class LossWeights:
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
    backbone : Backbone
    targets : Targets
    normalization : LossNormalization
    weights : LossWeights
    tv : TotalVariation, or None
    tv_unit : float
        The TV energy that counts as 1 (that of the content picture, under a relative normalization).
    height, width : int
        The image's.
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
        # A relative normalization hands out the gradient per pixel value, so that it does not fade as images grow.
        self._gain = float(3 * height * width) if normalization.relative else 1.0
        groups = (
            ("content", targets.content, weights.content, weights.content_layers, normalization.content),
            ("style", targets.style, weights.style, weights.style_layers, normalization.style),
        )
        self._coefficients: dict[GroupedLayer, float] = {}  # the factor between a raw loss and its place in the total
        for group, found, weight, layers, factor in groups:
            whole = sum(layers.values()) if normalization.relative else 1.0
            for layer, target in found.items():
                channels, *positions = spec.output_shape(layer, height, width)
                facts = LayerFacts(channels, positions[0] * positions[1], height * width, squared_norm(target))
                self._coefficients[group, layer] = weight * (layers[layer] / whole) * factor(facts)
        scaled = {key: value * self._gain for key, value in self._coefficients.items()}
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
        layers = {key: coefficient * float(raw[key]) for key, coefficient in self._coefficients.items()}
        return Evaluation(Losses(layers, tv_energy), self._losses.gradient, tv_gradient, self._gain)


class NetworkLosses:
    """The raw losses of the tapped layers, and the gradient of their weighted sum; the seam is the tapped features.

    On the way forward the Gram matrices and content losses are summed up over the tiles of the image; the style losses
    follow from them, and the head gradients of every tile on the way back.

    Parameters
    ----------
    backbone : Backbone
    targets : Targets
    coefficients : dict of floats
        For every layer of both groups, the factor of its loss in the sum whose gradient is wanted.
    height, width : int
        The image's.

    Attributes
    ----------
    gradient : array (1, 3, height, width)
        Of the image last seen.
    """

    def __init__(
        self, backbone: Backbone, targets: Targets, coefficients: Mapping[GroupedLayer, float], height: int, width: int
    ) -> None:
        mx, context = load_mxnet(), backbone.context

        def heads_of(group: str, layers: Iterable[str]) -> dict[str, Array]:
            return {layer: mx.nd.array([coefficients[group, layer]], ctx=context) for layer in layers}

        self._backbone = backbone
        self._segments = backbone.segments([*targets.style, *targets.content], height, width)
        self._whole: _SegmentLosses | None = None  # the last segment, which stays bound where it has one tile
        self._grams = {layer: mx.nd.zeros(target.shape, ctx=context) for layer, target in targets.style.items()}
        self._style = SquaredDistances(self._grams, targets.style, context)
        self._style_coefficients = heads_of("style", targets.style)
        self._content_targets = targets.content
        self._content_coefficients = heads_of("content", targets.content)
        self.gradient: Array = mx.nd.zeros((1, 3, height, width), ctx=context)

    def __call__(self, image: Array) -> dict[GroupedLayer, float]:
        """The raw losses of an image; `gradient` is filled."""
        given, content = self._forward(image)
        style = {layer: float(value.asscalar()) for layer, value in self._style.forward().items()}
        self._style.backward(list(self._style_coefficients.values()))
        self._backward(given)
        return {
            **{("content", layer): value for layer, value in content.items()},
            **{("style", layer): value for layer, value in style.items()},
        }

    def _forward(self, image: Array) -> tuple[list[Array], dict[str, float]]:
        """Sum up the Gram matrices over all tiles; what each segment was given, and the content losses."""
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
        """Go back through all tiles with the head gradients of content and style, and fill `gradient`."""
        mx = load_mxnet()
        above: Array = None  # the gradient of what the segment handed on
        for segment in reversed(self._segments):
            values = given.pop()
            here = self._bound(segment, trainable=True)
            gradient = mx.nd.zeros(values.shape, ctx=self._backbone.context) if given else self.gradient
            for tile in segment.tiling:
                if not segment.whole:  # of the whole, features and content losses are still those of the way forward
                    here.network.forward(values, tile)
                heads = here.content_heads(tile)
                if segment.cut:
                    head = crop(above, *here.network.seen(segment.cut, tile))
                    if segment.cut in heads:
                        head = head + cast(heads[segment.cut], FLOAT32)
                    heads = {**heads, segment.cut: head}
                here.network.backward(Heads(heads, self._style.gradients), tile, gradient)
            del here
            above = gradient
            if len(self._segments) > 1:
                self._whole = None
                release_memory()

    def _bound(self, segment: Segment, trainable: bool) -> _SegmentLosses:
        """A segment and its losses; only one takes memory at a time."""
        if segment.whole and self._whole is not None:
            return self._whole
        content = [layer for layer in segment.layers if layer in self._content_targets]
        style = [layer for layer in segment.layers if layer in self._grams]
        by_features = [layer for layer in segment.outputs if layer in content or layer == segment.cut]
        network = self._backbone.bind(segment, trainable, by_features, style)
        targets = {layer: self._content_targets[layer] for layer in content}
        bound = _SegmentLosses(network, style, targets, self._content_coefficients, self._backbone.context)
        if segment.whole:
            self._whole = bound
        return bound


class _SegmentLosses:
    """A segment of the network, bound, with the Gram matrices and content losses of its layers.

    Parameters
    ----------
    network : TiledNetwork
    style : names of the layers whose Gram matrices are wanted
    targets : dict of arrays
        The features of the whole content picture, for the segment's content layers.
    coefficients : dict of arrays (1,)
        The factor of every content layer's loss.
    context : mxnet Context
    """

    def __init__(
        self,
        network: TiledNetwork,
        style: Sequence[str],
        targets: Mapping[str, Array],
        coefficients: Mapping[str, Array],
        context: Context,
    ) -> None:
        mx = load_mxnet()
        self.network = network
        self._tiled = not network.segment.tiling.whole
        self._grams = Grams(network.features, style, context, masked=self._tiled)
        self._targets = self._in_window = targets
        features = {layer: network.features[layer] for layer in targets}
        if self._tiled:
            self._in_window = {layer: mx.nd.zeros(value.shape, ctx=context) for layer, value in features.items()}
        self._content = SquaredDistances(features, self._in_window, context)
        self._coefficients = [coefficients[layer] for layer in targets]

    def add_grams(self, tile: Tile, sums: Mapping[str, Array]) -> None:
        """Add the Gram matrices of what the tile owns, which the network has just seen."""
        self._grams.add(self.network.owned_in_window(tile), sums)

    def add_content_losses(self, tile: Tile, sums: dict[str, float]) -> None:
        """Add the raw content losses of what the tile owns, which the network has just seen."""
        if self._tiled:
            for layer, target in self._targets.items():
                (rows, columns), (all_rows, all_columns) = self.network.owned(layer, tile)
                self._in_window[layer][:] = cast(self.network.features[layer], FLOAT32)  # only what it owns counts
                self._in_window[layer][:, :, rows, columns] = crop(target, all_rows, all_columns)
        for layer, value in self._content.forward().items():
            sums[layer] += float(value.asscalar())

    def content_heads(self, tile: Tile) -> Mapping[str, Array]:
        """The head gradients of the content layers in the window of the tile that the network has just seen."""
        if self._tiled:
            for layer, target in self._targets.items():
                crop(target, *self.network.seen(layer, tile)).copyto(self._in_window[layer])
        if not self.network.segment.whole:  # of the whole, the losses are still those of these features
            self._content.forward()
        self._content.backward(self._coefficients)
        return self._content.gradients
