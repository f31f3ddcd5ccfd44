"""The question an optimiser asks: given an image, what are the losses and the gradient?

The seam is the tapped features: a :class:`~styletransfer.network.Network` turns the image into features, the loss
executor, bound on those same arrays, turns features into raw losses and, with one head gradient per loss, into the head
gradients that the network goes back with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import models
from models.runtime import load_mxnet
from styletransfer import losses
from styletransfer.conventions import Convention, LayerFacts
from styletransfer.network import Network, tapped
from styletransfer.total_variation import TotalVariation
from styletransfer.weights import Parameters


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
class Targets:
    """What the losses compare with: for each layer the content's features or the styles' blended raw Gram matrix.

    Gram matrices are those of style pictures as large as the image: each is multiplied by M / M_style.
    """

    content: Mapping[str, Any]
    style: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A network as an objective needs it: which one, its parameters for the space in use, its pooling, the device."""

    model: str
    pooling: str
    parameters: Parameters
    context: Any

    def network(
        self, style_layers: Sequence[str], content_layers: Sequence[str], height: int, width: int, trainable: bool
    ) -> Network:
        names, symbol = tapped(self.model, style_layers, content_layers, self.pooling)
        return Network(names, symbol, self.parameters, height, width, self.context, trainable)


def find_targets(
    source: Source,
    content: Any | None,
    styles: Sequence[tuple[float, Any]],
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    height: int,
    width: int,
) -> Targets:
    """Fill the targets with forward passes.

    Parameters
    ----------
    content : array (1, 3, height, width), or None
        The content picture in the network's space.
    styles : sequence of (weight, array (1, 3, h, w))
        The style pictures, of any size; weights sum to 1.
    height, width : int
        The image's.
    """
    mx = load_mxnet()
    found_content: dict[str, Any] = {}
    if content is not None and content_layers:
        network = source.network([], content_layers, height, width, trainable=False)
        network.image[:] = content
        network.forward()
        found_content = {layer: network.features[layer].copy() for layer in content_layers}
        mx.nd.waitall()
        del network
    found_style: dict[str, Any] = {}
    for weight, style in styles if style_layers else ():
        network = source.network(style_layers, [], style.shape[2], style.shape[3], trainable=False)
        network.image[:] = style
        network.forward()
        for layer in style_layers:
            features = network.features[layer]
            channels, *positions = models.load(source.model).SPEC.output_shape(layer, height, width)
            ratio = positions[0] * positions[1] / (features.shape[2] * features.shape[3])
            value = _gram(features, channels, source.context) * (weight * ratio)
            found_style[layer] = found_style[layer] + value if layer in found_style else value
        mx.nd.waitall()
        del network
    return Targets(found_content, found_style)


def _gram(features: Any, channels: int, context: Any) -> Any:
    mx = load_mxnet()
    symbol = losses.gram(mx.sym.Variable("features"), channels)
    return symbol.bind(context, {"features": features}).forward()[0].copy()


class LossExecutor:
    """Raw losses of the features of a network, and the head gradients of their weighted sum.

    Parameters
    ----------
    network : Network
        Its features are bound as they are; nothing is copied.
    targets : Targets
    context : mxnet Context
    """

    def __init__(self, network: Network, targets: Targets, context: Any) -> None:
        mx = load_mxnet()
        variables = {layer: mx.sym.Variable(f"feature_{layer}") for layer in network.names}
        arguments = {f"feature_{layer}": network.features[layer] for layer in network.names}
        self.head_gradients = {
            layer: mx.nd.zeros(network.features[layer].shape, ctx=context) for layer in network.names
        }
        symbols = []
        self.names: list[str] = []
        self.facts: dict[str, LayerFacts] = {}
        pixels = network.image.shape[2] * network.image.shape[3]
        for group, found in (("content", targets.content), ("style", targets.style)):
            for layer, target in found.items():
                name = f"{group}.{layer}"
                _, channels, height, width = network.features[layer].shape
                value = variables[layer] if group == "content" else losses.gram(variables[layer], channels)
                symbols.append(losses.squared_distance(value, mx.sym.Variable(f"target_{name}")))
                arguments[f"target_{name}"] = target
                energy = float(mx.nd.sum(mx.nd.square(target)).asscalar())
                self.names.append(name)
                self.facts[name] = LayerFacts(channels, height * width, pixels, energy)
        self._executor = mx.sym.Group(symbols).bind(
            context,
            arguments,
            args_grad={f"feature_{layer}": gradient for layer, gradient in self.head_gradients.items()},
            grad_req={name: "write" if name.startswith("feature_") else "null" for name in arguments},
        )

    def forward(self) -> list[Any]:
        """The raw losses S, arrays (1,), in the order of `names`."""
        return self._executor.forward(is_train=True)

    def backward(self, coefficients: Sequence[Any]) -> None:
        """Fill `head_gradients` for the sum of coefficient x S; each coefficient is an array (1,)."""
        self._executor.backward(list(coefficients))


@dataclass(frozen=True)
class Weights:
    """How much each loss counts: the config's weights, before the convention's coefficients."""

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
    convention : Convention
    weights : Weights
    tv : TotalVariation, or None
    tv_unit : float
        The TV energy that counts as 1 (that of the content picture, under a relative convention).
    height, width : int
        The image's.
    """

    def __init__(
        self,
        source: Source,
        targets: Targets,
        convention: Convention,
        weights: Weights,
        tv: TotalVariation | None,
        tv_unit: float,
        height: int,
        width: int,
    ) -> None:
        mx = load_mxnet()
        self._network = source.network(list(targets.style), list(targets.content), height, width, trainable=True)
        self._losses = LossExecutor(self._network, targets, source.context)
        self._coefficients = {
            name: _coefficient(name, facts, convention, weights) for name, facts in self._losses.facts.items()
        }
        # A relative convention hands out the gradient per pixel value, so that it does not fade as images grow.
        self._gain = float(3 * height * width) if convention.relative else 1.0
        self._heads = [
            mx.nd.array([self._coefficients[name] * self._gain], ctx=source.context) for name in self._losses.names
        ]
        self._tv = tv
        self._tv_weight = weights.tv / tv_unit

    @property
    def loss_names(self) -> list[str]:
        """The layers' losses, ``content.<layer>`` and ``style.<layer>``, in order."""
        return list(self._losses.names)

    def __call__(self, image: Any) -> Evaluation:
        """Evaluate an image, an array (1, 3, height, width) in the space of the source."""
        image.copyto(self._network.image)
        self._network.forward()
        raw = self._losses.forward()
        self._losses.backward(self._heads)
        self._network.backward(self._losses.head_gradients)
        tv_energy, tv_gradient = 0.0, None
        if self._tv is not None:
            tv_energy, tv_gradient = self._tv.energy_and_gradient(image)
            tv_energy, tv_gradient = tv_energy * self._tv_weight, tv_gradient * (self._tv_weight * self._gain)
        layers = {
            name: self._coefficients[name] * float(value.asscalar()) for name, value in zip(self._losses.names, raw)
        }
        return Evaluation(Losses(layers, tv_energy), self._network.gradient, tv_gradient, self._gain)


def _coefficient(name: str, facts: LayerFacts, convention: Convention, weights: Weights) -> float:
    """The whole factor between a raw loss and its place in the total."""
    group, layer = name.split(".", 1)
    by_group = {
        "content": (weights.content, weights.content_layers, convention.content),
        "style": (weights.style, weights.style_layers, convention.style),
    }
    weight, layers, norm = by_group[group]
    share = layers[layer] / (sum(layers.values()) if convention.relative else 1.0)
    return weight * share * norm(facts)
