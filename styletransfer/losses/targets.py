"""What the losses compare with, found by forward passes through the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import models
from models.runtime import load_mxnet, release_memory
from styletransfer.losses.executors import Grams
from styletransfer.network.executor import Passes, Source, TiledNetwork
from styletransfer.network.tiling import Tile


@dataclass(frozen=True)
class Targets:
    """What the losses compare with: for each layer the content's features or the styles' blended raw Gram matrix.

    Gram matrices are those of style pictures as large as the image: each is multiplied by M / M_style.
    """

    content: Mapping[str, Any]
    style: Mapping[str, Any]


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
    spec = models.load(source.model).SPEC
    found_content: dict[str, Any] = {}
    if content is not None and content_layers:
        found_content = _features(source, content, content_layers)
    found_style: dict[str, Any] = {}
    for weight, style in styles if style_layers else ():
        for layer, gram in _grams(source, style, style_layers).items():
            here, there = (
                spec.output_shape(layer, *size) for size in ((height, width), (style.shape[2], style.shape[3]))
            )
            value = gram * (weight * (here[1] * here[2]) / (there[1] * there[2]))
            found_style[layer] = found_style[layer] + value if layer in found_style else value
    release_memory()
    return Targets(found_content, found_style)


def _features(source: Source, picture: Any, layers: Sequence[str]) -> dict[str, Any]:
    """The features of a whole picture."""
    found: dict[str, Any] = {}
    _look(source, picture, [], layers, lambda network: _Collector(network, found))
    return found


def _grams(source: Source, picture: Any, layers: Sequence[str]) -> dict[str, Any]:
    """The raw Gram matrices of a whole picture."""
    mx = load_mxnet()
    channels = {layer: models.load(source.model).SPEC.output_shape(layer, 1, 1)[0] for layer in layers}
    found = {layer: mx.nd.zeros((number, number), ctx=source.context) for layer, number in channels.items()}
    _look(source, picture, layers, [], lambda network: _Adder(network, source.context, found))
    return found


def _look(
    source: Source,
    picture: Any,
    style_layers: Sequence[str],
    content_layers: Sequence[str],
    watch: Callable[[TiledNetwork], Any],
) -> None:
    height, width = picture.shape[2:]
    Passes(source, style_layers, content_layers, height, width, watch, trainable=False).forward(picture)
    load_mxnet().nd.waitall()  # so that one picture's features are gone before the next one's are found


class _Collector:
    """Puts the features of a section's layers together."""

    def __init__(self, network: TiledNetwork, found: dict[str, Any]) -> None:
        self._network = network
        self._found = found

    def see(self, tile: Tile) -> None:
        for layer in self._network.section.layers:
            if layer not in self._found:
                array = self._network.features[layer]
                self._found[layer] = load_mxnet().nd.zeros(self._network.shape(layer), ctx=array.context)
            self._network.keep(self._found[layer], layer, tile)


class _Adder:
    """Sums up the Gram matrices of a section's layers."""

    def __init__(self, network: TiledNetwork, context: Any, sums: Mapping[str, Any]) -> None:
        self._network = network
        section = network.section
        self._grams = Grams(network.features, section.layers, context, parted=not section.tiling.whole)
        self._sums = sums

    def see(self, tile: Tile) -> None:
        self._grams.add(self._network.parts(tile), self._sums)
