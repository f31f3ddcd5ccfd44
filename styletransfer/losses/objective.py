"""The objective of the optimisation: the losses of an image and their gradient.

The interface between network and losses is the tapped features. The network turns an image into features, Gram matrices
and distances from targets, and propagates back one head gradient per tapped layer. A loss weight is a factor of a head
gradient.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styletransfer.config.normalizations import LayerFacts, LossNormalization
from styletransfer.engines import Array, Engine, Head, Network, Numbers, Scalar
from styletransfer.losses.targets import Targets
from styletransfer.losses.tiled import TiledNetwork, Window
from styletransfer.losses.tiling import segments
from styletransfer.losses.total_variation import TotalVariation

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

    Attributes
    ----------
    numbers : Numbers
        Those that are read with the losses; more can be asked for.
    read : function
        Gives the losses, and the Euclidean norm of the gradient without that of the TV.
    gradient, tv_gradient : array, array or None
    gain : float
        By which the gradients of the total are multiplied.
    """

    numbers: Numbers
    read: Callable[[], tuple[Losses, float]]
    gradient: Array
    tv_gradient: Array | None = None
    gain: float = 1.0

    @functools.cached_property
    def losses_and_norm(self) -> tuple[Losses, float]:
        """Both, read once."""
        return self.read()

    @property
    def losses(self) -> Losses:
        return self.losses_and_norm[0]

    @property
    def norm(self) -> float:
        return self.losses_and_norm[1]

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
    tile : int, or None
        The longest side of a tile in pixels; None: no tiles.
    tv : TotalVariation, or None
    tv_unit : float
        The divisor of the TV energy: that of the content picture, under a relative normalization.
    height, width : int
        Of the image.
    """

    def __init__(
        self,
        network: Network,
        tile: int | None,
        targets: Targets,
        normalization: LossNormalization,
        weights: LossWeights,
        tv: TotalVariation | None,
        tv_unit: float,
        height: int,
        width: int,
    ) -> None:
        engine, spec = network.engine, network.spec
        # A relative normalization multiplies the gradient by the number of values, or it would fade in large images.
        self._gain = float(3 * height * width) if normalization.relative else 1.0
        groups = (
            ("content", targets.content, weights.content, weights.content_layers, normalization.content),
            ("style", targets.style, weights.style, weights.style_layers, normalization.style),
        )
        # The whole factor between a raw loss and its place in the total; of regions, one for each.
        self._coefficients: dict[GroupedLayer, float | NDArray[np.float64]] = {}
        for group, group_targets, weight, layers, factor in groups:
            whole = sum(layers.values()) if normalization.relative else 1.0
            for layer, target in group_targets.items():
                channels, *sides = spec.output_shape(layer, height, width)
                positions, share = sides[0] * sides[1], weight * (layers[layer] / whole)
                facts = LayerFacts(channels, positions, height * width, _energy(engine, target))
                if group == "style" and targets.guidance is not None:
                    areas = targets.guidance.positions[layer] / positions
                    own = _of_regions(engine, facts, factor, target, areas)
                    self._coefficients[group, layer] = share * own * np.array(targets.region_weights)
                else:
                    self._coefficients[group, layer] = share * factor(facts)
        scaled = {name: value * self._gain for name, value in self._coefficients.items()}
        self._engine = engine
        self._losses = NetworkLosses(network, tile, targets, scaled, height, width)
        self._tv = tv
        self._tv_weight = weights.tv / tv_unit

    @property
    def grouped_layers(self) -> list[GroupedLayer]:
        """The layers that have a loss, in order."""
        return list(self._coefficients)

    def __call__(self, image: Array) -> Evaluation:
        """Evaluate an image, an array (1, 3, height, width) in the network's pixel space."""
        raw, gradient = self._losses(image)
        tv_energy, tv_gradient = 0.0, None
        if self._tv is not None:
            tv_energy, tv_gradient = self._tv.energy_and_gradient(image)
            tv_gradient = tv_gradient * (self._tv_weight * self._gain)
        scalars = [*itertools.chain.from_iterable(raw.values()), tv_energy, self._engine.norm(gradient)]
        numbers = Numbers(self._engine)
        asked = numbers.ask(scalars)

        def read() -> tuple[Losses, float]:
            *values, tv_energy, norm = asked()
            each = iter(values)
            layers = {
                name: float(np.sum(self._coefficients[name] * np.array(list(itertools.islice(each, len(parts))))))
                for name, parts in raw.items()
            }
            return Losses(layers, tv_energy * self._tv_weight), norm

        return Evaluation(numbers, read, gradient, tv_gradient, self._gain)


def _energy(engine: Engine, target: Array) -> float:
    """The sum of squares."""
    (energy,) = engine.numbers([engine.dot(target, target)])
    return energy


def _of_regions(
    engine: Engine,
    facts: LayerFacts,
    factor: Callable[[LayerFacts], float],
    targets: Array,
    areas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The coefficients of the raw losses of regions, of one layer.

    The Gram matrices of a region are brought to the size of the whole image, as those of a style picture are, and its
    loss counts by its share of the area. So a normalization sees what it would see of an ordinary run; the losses of
    regions that share all positions alike, or of one that has all, sum to that of an ordinary run; and pixels are drawn
    towards their style as strongly in a small region as in a large one.
    """
    coefficients = []
    for target, area in zip(targets, areas):
        own = dataclasses.replace(facts, target_energy=_energy(engine, target) / area**2)
        coefficients.append(factor(own) / area**2 * area)
    return np.array(coefficients)


class NetworkLosses:
    """The raw losses of the tapped layers, and the gradient of their weighted sum.

    The forward pass sums Gram matrices and content losses over the tiles of the image. The style losses, and the head
    gradients for the backward pass over the tiles, follow from these sums.

    Parameters
    ----------
    tile : int, or None
        The longest side of a tile in pixels; None: no tiles.
    coefficients : dict of floats, or of arrays (regions,)
        The factor of every loss in the sum to differentiate.
    height, width : int
        Of the image.
    """

    def __init__(
        self,
        network: Network,
        tile: int | None,
        targets: Targets,
        coefficients: Mapping[GroupedLayer, float | NDArray[np.float64]],
        height: int,
        width: int,
    ) -> None:
        self._engine, self._targets, self._coefficients = network.engine, targets, coefficients
        self._grams = {layer: self._engine.zeros(target.shape) for layer, target in targets.style.items()}
        # 2 x coefficient, of the gradients of |G - A|^2 with respect to G.
        self._factors = {
            layer: 2 * coefficients["style", layer]
            if targets.guidance is None
            else self._engine.array(2 * np.reshape(coefficients["style", layer], (-1, 1, 1)))
            for layer in targets.style
        }
        parts = segments(network.spec, [*targets.style, *targets.content], height, width, tile)
        by_gram = () if targets.guidance else set(targets.style) - set(targets.content)
        self._network = TiledNetwork(network, parts, by_gram=by_gram)

    def __call__(self, image: Array) -> tuple[dict[GroupedLayer, list[Scalar]], Array]:
        """The raw losses of an image, of style one for each region, and the gradient, (1, 3, height, width)."""
        content: dict[str, Scalar] = dict.fromkeys(self._targets.content, 0.0)
        for gram in self._grams.values():
            gram[:] = 0
        self._network.forward(image, lambda window: self._look(window, content))
        style, of_grams = {}, {}
        for layer, gram in self._grams.items():
            difference = gram - self._targets.style[layer]
            by_region = [difference] if self._targets.guidance is None else list(difference)
            style[layer] = [self._engine.dot(each, each) for each in by_region]
            of_grams[layer] = difference * self._factors[layer]
        gradient = self._network.backward(lambda window: self._heads(window, of_grams))
        raw = {("content", layer): [value] for layer, value in content.items()}
        return {**raw, **{("style", layer): values for layer, values in style.items()}}, gradient

    def _look(self, window: Window, content: dict[str, Scalar]) -> None:
        """Add the Gram matrices and the content losses of a window."""
        guidance = self._targets.guidance
        for layer in window.segment.layers:
            if layer in self._grams and guidance is None:
                self._grams[layer] += window.gram(layer)
            elif layer in self._grams and guidance is not None:
                for region in range(guidance.regions):
                    self._grams[layer][region] += window.gram(layer, guidance.roots[layer][region])
            if layer in content:
                content[layer] = content[layer] + window.squared_distance(layer, self._targets.content[layer])

    def _heads(self, window: Window, of_grams: Mapping[str, Array]) -> dict[str, Head]:
        """The head gradients of the layers in a window."""
        heads = {}
        for layer in window.segment.layers:
            target, maps = self._targets.content.get(layer), None
            if self._targets.guidance is not None and layer in of_grams:
                maps = window.in_window(self._targets.guidance.maps[layer], layer)
            heads[layer] = Head(
                None if target is None else window.in_window(target, layer),
                self._coefficients.get(("content", layer), 0.0),
                of_grams.get(layer),
                maps,
            )
        return heads
