"""The targets of the losses, computed by forward passes through the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import NDArray

import models
from models.runtime import Array, load_mxnet, release_memory
from models.spec import ModelSpec
from styletransfer.losses.executors import Grams
from styletransfer.losses.guidance import Guidance
from styletransfer.network.executor import Backbone


@dataclass(frozen=True)
class Painting:
    """A style picture of a region.

    Attributes
    ----------
    share : float
        Its weight among those of the region, which sum to 1.
    picture : array (1, 3, h, w)
        In the network's space, of any size.
    mask : array (h, w), values 0..1, or None
        How much of each pixel counts; None: all.
    """

    share: float
    picture: Array
    mask: NDArray | None = None


@dataclass(frozen=True)
class Region:
    """A part of the image with a style of its own.

    Attributes
    ----------
    mask : array (height, width) of the image, values 0..1
        How much of each pixel belongs to it.
    paintings : sequence of Painting
    weight : float
        Of its style loss, besides its area.
    """

    mask: NDArray
    paintings: Sequence[Painting]
    weight: float = 1.0


@dataclass(frozen=True)
class Targets:
    """For each layer the features of the content picture, or the blended raw Gram matrix of the style pictures.

    Gram matrices are those of style pictures as large as the image: each is multiplied by M / M_style. With regions, a
    layer has one for each, in an array (regions, channels, channels), and M and M_style are the sums of their guidance
    maps.

    Attributes
    ----------
    content, style : dict of arrays
    guidance : Guidance, or None
        The regions of the image, in the style layers; None: it has one style.
    region_weights : sequence of floats
        Of their style losses.
    """

    content: Mapping[str, Array]
    style: Mapping[str, Array]
    guidance: Guidance | None = None
    region_weights: Sequence[float] = ()


def find_targets(
    backbone: Backbone,
    content: Array | None,
    styles: Sequence[tuple[float, Array]],
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    height: int,
    width: int,
    regions: Sequence[Region] = (),
) -> Targets:
    """Compute the targets with forward passes.

    Parameters
    ----------
    content : array (1, 3, height, width), or None
        The content picture in the network's space.
    styles : sequence of (weight, array (1, 3, h, w))
        The style pictures, of any size; weights sum to 1.
    height, width : int
        The image's.
    regions : sequence of Region
        Instead of `styles`, which then do not matter.
    """
    mx = load_mxnet()
    spec = models.load(backbone.model).SPEC
    found_content: dict[str, Array] = {}
    if content is not None and content_layers:
        found_content, _ = _features_and_grams(backbone, content, content_layers, [])
    if not style_layers:
        targets = Targets(found_content, {})
    elif not regions:
        positions = {layer: _positions(spec, layer, height, width) for layer in style_layers}
        paintings = [Painting(share, picture) for share, picture in styles]
        targets = Targets(found_content, _blended(backbone, paintings, positions))
    else:
        guidance = Guidance.of_masks([region.mask for region in regions], spec, style_layers, backbone.context)
        sums = {layer: guidance.positions(layer) for layer in style_layers}
        grams = [
            _blended(backbone, region.paintings, {layer: float(each[number]) for layer, each in sums.items()})
            for number, region in enumerate(regions)
        ]
        style = {layer: mx.nd.stack(*(gram[layer] for gram in grams)) for layer in style_layers}
        targets = Targets(found_content, style, guidance, [region.weight for region in regions])
    release_memory()
    return targets


def _blended(backbone: Backbone, paintings: Sequence[Painting], positions: Mapping[str, float]) -> dict[str, Array]:
    """The blended raw Gram matrices of some layers, as of pictures with so many positions there."""
    spec = models.load(backbone.model).SPEC
    blended: dict[str, Array] = {}
    for painting in paintings:
        guidance = None
        if painting.mask is not None:
            guidance = Guidance.of_masks([painting.mask], spec, positions, backbone.context)
        _, grams = _features_and_grams(backbone, painting.picture, [], list(positions), guidance)
        for layer, gram in grams.items():
            if guidance is None:
                there: float = _positions(spec, layer, *painting.picture.shape[2:])
            else:
                gram, there = gram[0], float(guidance.positions(layer)[0])
            value = gram * (painting.share * positions[layer] / there)
            blended[layer] = blended[layer] + value if layer in blended else value
    return blended


def _positions(spec: ModelSpec, layer: str, height: int, width: int) -> int:
    _, *sides = spec.output_shape(layer, height, width)
    return sides[0] * sides[1]


def _features_and_grams(
    backbone: Backbone,
    picture: Array,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    guidance: Guidance | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """A whole picture's features in the content layers, and its raw Gram matrices in the style layers.

    With guidance, the Gram matrices are those of its regions, (regions, channels, channels).
    """
    mx, context = load_mxnet(), backbone.context
    spec = models.load(backbone.model).SPEC
    channels = {layer: spec.output_shape(layer, 1, 1)[0] for layer in style_layers}
    regions = () if guidance is None else (guidance.regions,)
    grams = {layer: mx.nd.zeros((*regions, number, number), ctx=context) for layer, number in channels.items()}
    features: dict[str, Array] = {}
    given = picture
    for segment in backbone.segments([*style_layers, *content_layers], *picture.shape[2:]):
        network = backbone.bind(segment, False, segment.outputs, ())
        here = Grams(
            network.features,
            [layer for layer in segment.layers if layer in grams],
            context,
            masked=not segment.tiling.whole,
            guidance=guidance,
        )
        kept = [layer for layer in segment.layers if layer in content_layers]
        features |= {layer: mx.nd.zeros(network.shape(layer), ctx=context) for layer in kept}
        handed_on = mx.nd.zeros(network.shape(segment.cut), ctx=context) if segment.cut else None
        for tile in segment.tiling:
            network.forward(given, tile)
            here.add(network.owned_by_layer(tile), grams)
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
