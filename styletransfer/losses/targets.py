"""The targets of the losses, computed by forward passes through the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import models
from models.runtime import Array, load_mxnet, release_memory
from styletransfer.losses.executors import Grams
from styletransfer.network.executor import Backbone


@dataclass(frozen=True)
class Targets:
    """For each layer the features of the content picture, or the blended raw Gram matrix of the style pictures.

    The Gram matrices are those of style pictures as large as the image: each is multiplied by M / M_style.
    """

    content: Mapping[str, Array]
    style: Mapping[str, Array]


def find_targets(
    backbone: Backbone,
    content: Array | None,
    styles: Sequence[tuple[float, Array]],
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    height: int,
    width: int,
) -> Targets:
    """Compute the targets with forward passes.

    Parameters
    ----------
    content : array (1, 3, height, width), or None
        The content picture in the network's space.
    styles : sequence of (weight, array (1, 3, h, w))
        The style pictures, of any size; weights sum to 1.
    height, width : int
        Of the image.
    """
    spec = models.load(backbone.model).SPEC
    found_content: dict[str, Array] = {}
    if content is not None and content_layers:
        found_content, _ = _features_and_grams(backbone, content, content_layers, [])
    found_style: dict[str, Array] = {}
    for weight, style in styles if style_layers else ():
        _, grams = _features_and_grams(backbone, style, [], style_layers)
        for layer, gram in grams.items():
            here, there = (
                spec.output_shape(layer, *size) for size in ((height, width), (style.shape[2], style.shape[3]))
            )
            value = gram * (weight * (here[1] * here[2]) / (there[1] * there[2]))
            found_style[layer] = found_style[layer] + value if layer in found_style else value
    release_memory()
    return Targets(found_content, found_style)


def _features_and_grams(
    backbone: Backbone, picture: Array, content_layers: Sequence[str], style_layers: Sequence[str]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The features of a picture in the content layers, and its raw Gram matrices in the style layers."""
    mx, context = load_mxnet(), backbone.context
    spec = models.load(backbone.model).SPEC
    channels = {layer: spec.output_shape(layer, 1, 1)[0] for layer in style_layers}
    grams = {layer: mx.nd.zeros((number, number), ctx=context) for layer, number in channels.items()}
    features: dict[str, Array] = {}
    given = picture
    for segment in backbone.segments([*style_layers, *content_layers], *picture.shape[2:]):
        network = backbone.bind(segment, False, segment.outputs, ())
        here = Grams(
            network.features,
            [layer for layer in segment.layers if layer in grams],
            context,
            masked=not segment.tiling.whole,
        )
        kept = [layer for layer in segment.layers if layer in content_layers]
        features |= {layer: mx.nd.zeros(network.shape(layer), ctx=context) for layer in kept}
        handed_on = mx.nd.zeros(network.shape(segment.cut), ctx=context) if segment.cut else None
        for tile in segment.tiling:
            network.forward(given, tile)
            here.add(network.owned_in_window(tile), grams)
            for layer in kept:
                network.keep(features[layer], layer, tile)
            if segment.cut:
                network.keep(handed_on, segment.cut, tile)
        given = handed_on
        del network, here  # their memory is needed
        if segment.cut:
            release_memory()
    mx.nd.waitall()  # frees the features of this picture before those of the next are computed
    return features, grams
