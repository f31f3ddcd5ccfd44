"""The targets of the losses, computed by forward passes through the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.engines import Array, Network
from styletransfer.losses.guidance import Guidance
from styletransfer.losses.tiled import TiledNetwork, Window
from styletransfer.losses.tiling import segments


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
    network: Network,
    tile: int | None,
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
    tile : int, or None
        The longest side of a tile in pixels; None: no tiles.
    content : array (1, 3, height, width), or None
        The content picture in the network's space.
    styles : sequence of (weight, array (1, 3, h, w))
        The style pictures, of any size; weights sum to 1.
    height, width : int
        Of the image.
    regions : sequence of Region
        Instead of `styles`, which then do not matter.
    """
    engine, spec = network.engine, network.spec
    features: dict[str, Array] = {}
    if content is not None and content_layers:
        features, _ = _features_and_grams(network, tile, content, content_layers, [])
    if not style_layers:
        targets = Targets(features, {})
    elif not regions:
        positions = {layer: float(_positions(spec, layer, height, width)) for layer in style_layers}
        paintings = [Painting(share, picture) for share, picture in styles]
        targets = Targets(features, _blended(network, tile, paintings, positions))
    else:
        guidance = Guidance.of_masks([region.mask for region in regions], spec, style_layers, engine)
        grams = [
            _blended(
                network,
                tile,
                region.paintings,
                {layer: float(sums[number]) for layer, sums in guidance.positions.items()},
            )
            for number, region in enumerate(regions)
        ]
        style = {layer: engine.stack([gram[layer] for gram in grams]) for layer in style_layers}
        targets = Targets(features, style, guidance, [region.weight for region in regions])
    engine.release()
    return targets


def _blended(
    network: Network, tile: int | None, paintings: Sequence[Painting], positions: Mapping[str, float]
) -> dict[str, Array]:
    """Blend the raw Gram matrices of some layers, rescaled to so many positions there."""
    blended: dict[str, Array] = {}
    for painting in paintings:
        guidance = None
        if painting.mask is not None:
            guidance = Guidance.of_masks([painting.mask], network.spec, positions, network.engine)
        _, grams = _features_and_grams(network, tile, painting.picture, [], list(positions), guidance)
        for layer, gram in grams.items():
            there: float = _positions(network.spec, layer, *painting.picture.shape[2:])
            if guidance is not None:
                there = float(guidance.positions[layer][0])
            value = gram * (painting.share * positions[layer] / there)
            blended[layer] = blended[layer] + value if layer in blended else value
    return blended


def _positions(spec: ModelSpec, layer: str, height: int, width: int) -> int:
    _, *sides = spec.output_shape(layer, height, width)
    return sides[0] * sides[1]


def _features_and_grams(
    network: Network,
    tile: int | None,
    picture: Array,
    content_layers: Sequence[str],
    style_layers: Sequence[str],
    guidance: Guidance | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """A whole picture's features in the content layers, and its raw Gram matrices in the style layers.

    With guidance, the Gram matrices are weighted by the map of its first region.
    """
    engine, spec = network.engine, network.spec
    height, width = picture.shape[2:]
    features = {layer: engine.zeros((1, *spec.output_shape(layer, height, width))) for layer in content_layers}
    channels = {layer: spec.output_shape(layer, 1, 1)[0] for layer in style_layers}
    grams = {layer: engine.zeros((number, number)) for layer, number in channels.items()}

    def look(window: Window) -> None:
        for layer in window.segment.layers:
            if layer in grams:
                grams[layer] += window.gram(layer, None if guidance is None else guidance.roots[layer][0])
            if layer in features:
                window.keep(features[layer], layer)

    parts = segments(spec, [*style_layers, *content_layers], height, width, tile)
    TiledNetwork(network, parts, trainable=False).forward(picture, look)
    engine.release()  # frees the features of this picture before those of the next are computed
    return features, grams
