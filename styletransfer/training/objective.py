"""The losses of a batch of crops as the network stylises them, and their gradient with respect to its parameters.

The losses are those of the making of one picture (:mod:`styletransfer.losses.objective`): the style's targets are
fixed, the content's are the features of each crop. Crops pass one by one, which is as fast on a processor as all at
once, and makes Gram matrices and instance normalization those of single pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from styletransfer.config.normalizations import LossNormalization
from styletransfer.engines import Array, Bound, Network, Numbers
from styletransfer.losses.objective import Evaluation, GroupedLayer, Losses, LossWeights, Objective
from styletransfer.losses.targets import Targets, find_targets
from styletransfer.losses.total_variation import TotalVariation
from styletransfer.training.network import TrainableTransformer
from styletransfer.training.photographs import Crops
from styletransfer.training.stability import GROUPED_LAYER, StabilityLoss

_SAMPLES = 8  # batches of crops that measure the photographs


class BatchObjective:
    """The mean losses of a batch, for parameters of the network in a vector.

    A relative normalization measures content and TV relative to the mean square features and the mean TV of a sample of
    crops. They are the same for all crops, so that an empty sky does not count more than a face.

    Parameters
    ----------
    network : TrainableTransformer
        For crops of this size.
    styles : sequence of (weight, array (1, 3, h, w))
        The style pictures in the network's space; weights sum to 1.
    tv : TotalVariation, or None
    batch : int
        The number of the batch that is evaluated first.
    stability : StabilityLoss, optional

    Attributes
    ----------
    next_batch : int
        The number of the batch that is evaluated next.
    """

    def __init__(
        self,
        network: TrainableTransformer,
        loss_network: Network,
        styles: Sequence[tuple[float, Array]],
        normalization: LossNormalization,
        weights: LossWeights,
        tv: TotalVariation | None,
        crops: Crops,
        batch: int = 0,
        stability: StabilityLoss | None = None,
    ) -> None:
        self.next_batch = batch
        self._network, self._crops, self._engine = network, crops, loss_network.engine
        self._stability = stability
        sample = crops.sample(0)
        height, width = sample.shape[2:]
        self._content = _ContentFeatures(loss_network, list(weights.content_layers), height, width)
        style = find_targets(loss_network, None, None, styles, [], list(weights.style_layers), height, width).style
        # The objective divides by the squared norm of its first targets, here the mean over the photographs.
        mean_squares, tv_unit = self._measured(tv if normalization.relative else None)
        self._targets = {layer: values**0.5 for layer, values in mean_squares.items()}
        self._objective = Objective(
            loss_network, None, Targets(self._targets, style), normalization, weights, tv, tv_unit, height, width
        )

    @property
    def grouped_layers(self) -> list[GroupedLayer]:
        """The layers that have a loss, and stability."""
        return [*self._objective.grouped_layers, *([] if self._stability is None else [GROUPED_LAYER])]

    def __call__(self, values: Array) -> Evaluation:
        """Evaluate parameters, a vector, on the next batch."""
        batch, crops = self.next_batch, self._crops.batch(self.next_batch)
        self.next_batch += 1
        networks = [self._network, *([] if self._stability is None else [self._stability.network])]
        for network in networks:
            network.set_parameters(values)
        losses: list[Losses] = []
        for number in range(len(crops)):
            crop = crops[number : number + 1]
            self._content.fill(crop, self._targets)
            result = self._network.forward(crop)
            evaluation = self._objective(result)
            gradient, layers = evaluation.gradient, dict(evaluation.losses.layers)
            if evaluation.tv_gradient is not None:
                gradient = gradient + evaluation.tv_gradient
            gradient = gradient / evaluation.gain
            if self._stability is not None:
                layers[GROUPED_LAYER], added = self._stability(crop, result, batch, number)
                gradient = gradient + added
            losses.append(Losses(layers, evaluation.losses.tv))
            self._network.backward(gradient)
        whole = networks[0].gradient if len(networks) == 1 else networks[0].gradient + networks[1].gradient
        gradient = whole / len(crops)
        numbers = Numbers(self._engine)
        norm = numbers.ask([self._engine.norm(gradient)])
        return Evaluation(numbers, lambda: (_mean(losses), norm()[0]), gradient)

    def _measured(self, tv: TotalVariation | None) -> tuple[dict[str, Array], float]:
        """Over a sample of crops: the mean squares of the content features, and the mean TV (1 if it is 0)."""
        squares: dict[str, Array] = {}
        energy, count = 0.0, 0
        for number in range(_SAMPLES):
            crops = self._crops.sample(number)
            for crop in crops[:, None]:
                for layer, features in self._content(crop).items():
                    square = features * features
                    squares[layer] = squares[layer] + square if layer in squares else square
                if tv is not None:
                    energy += self._engine.numbers([tv.energy_and_gradient(self._engine.array(crop))[0]])[0]
            count += len(crops)
        return {layer: total / count for layer, total in squares.items()}, energy / count or 1.0


class _ContentFeatures:
    """The features of crops in the content layers, forward only."""

    def __init__(self, network: Network, layers: list[str], height: int, width: int) -> None:
        self._layers, self._engine = layers, network.engine
        self._bound: Bound | None = network.bind(layers, (3, height, width), trainable=False) if layers else None

    def __call__(self, crop: NDArray[np.float32]) -> dict[str, Array]:
        """The features, by layer; valid until the next call."""
        if self._bound is None:
            return {}
        self._bound.forward(self._engine.array(crop))
        return {layer: self._bound.features(layer) for layer in self._layers}

    def fill(self, crop: NDArray[np.float32], targets: Mapping[str, Array]) -> None:
        """Copy the features into arrays."""
        for layer, features in self(crop).items():
            self._engine.assign(targets[layer], features)


def _mean(losses: Sequence[Losses]) -> Losses:
    """The mean of the losses of several images."""
    names = losses[0].layers
    layers = {name: sum(each.layers[name] for each in losses) / len(losses) for name in names}
    return Losses(layers, sum(each.tv for each in losses) / len(losses))
