"""What the losses compare with, found by forward passes through the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import models
from models.runtime import load_mxnet
from styletransfer.loss_executors import Grams
from styletransfer.network import Source


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
    mx = load_mxnet()
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
    mx.nd.waitall()
    return Targets(found_content, found_style)


def _features(source: Source, picture: Any, layers: Sequence[str]) -> dict[str, Any]:
    """The features of a whole picture."""
    mx = load_mxnet()
    height, width = picture.shape[2:]
    spec = models.load(source.model).SPEC
    network = source.bind([], layers, height, width, trainable=False)
    if network.tiling.whole:
        network.forward(picture, network.tiling.tiles[0])
        return {layer: network.features[layer].copy() for layer in layers}
    found = {layer: mx.nd.zeros((1, *spec.output_shape(layer, height, width)), ctx=source.context) for layer in layers}
    for tile in network.tiling.tiles:
        network.forward(picture, tile)
        for layer in layers:
            (rows, columns), (all_rows, all_columns) = network.owned(layer, tile)
            found[layer][:, :, all_rows, all_columns] = network.features[layer][:, :, rows, columns]
    return found


def _grams(source: Source, picture: Any, layers: Sequence[str]) -> dict[str, Any]:
    """The raw Gram matrices of a whole picture."""
    network = source.bind(layers, [], picture.shape[2], picture.shape[3], trainable=False)
    grams = Grams(network.features, layers, source.context)
    found: dict[str, Any] = {}
    for tile in network.tiling.tiles:
        network.forward(picture, tile)
        for layer, gram in grams.forward().items():
            found[layer] = found[layer] + gram if layer in found else gram.copy()
    return found
