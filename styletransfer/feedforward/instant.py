"""A photograph in the style of any painting, in one pass: whitening and colouring transforms.

Y. Li, C. Fang, J. Yang, Z. Wang, X. Lu, M.-H. Yang: Universal Style Transfer via Feature Transforms, 2017,
https://arxiv.org/abs/1705.08086. From the deepest style layer of the bundled network to the first, the features of the
picture get the mean and the covariance of the painting's, and a decoder (`models/decoders.py`) paints a picture with
these features, which enters the next, finer level.

Two things are not as in the paper. Before the features of a level get the painting's moments, those of the photograph
are mixed in, so that what the deeper decoders have lost comes back, in the painting's colours: with `strength` .6 the
content distance by VGG-19 is half that of mixing afterwards, as the paper does, at the same style distance. And of all
linear maps that give features these moments, the one that moves them least is used (M. Lu, H. Zhao, A. Yao, Y.
Chen, F. Xu, L. Zhang: A Closed-Form Solution to Universal Style Transfer, 2019, https://arxiv.org/abs/1906.00668), not
the paper's whitening followed by colouring: it keeps more of the photograph.

Means and covariances are sums over positions, and windows overlap by what the networks see, so a picture in tiles is
that of one window, to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models import decoders, model_vgg_slim
from models.graph import Nodes
from styletransfer import weights
from styletransfer.engines import Engine
from styletransfer.feedforward.strips import strips
from styletransfer.losses.tiled import TiledNetwork, Window
from styletransfer.losses.tiling import segments
from styletransfer.pictures import images, pixels
from styletransfer.pictures.images import Picture
from styletransfer.pictures.moments import Moments, mixed, moments, power

_SPEC = model_vgg_slim.SPEC
_MARGIN = 8  # pixels of reflection at each side, as the border of what a decoder paints is poor
_MULTIPLE = 16  # of sides, of which the deepest features are 1/16
_LEAST = 1e-5  # of an eigenvalue, share of the largest: what is below is rounding
_SMALLEST = 1e-12  # eigenvalue
_TILE = 1088  # pixels, the longest side of a window
_SMALLEST_TILE = 256  # pixels
_WINDOW_BYTES = 800  # for every pixel of a window
_PICTURE_BYTES = 130  # for every pixel of a picture: the finest features, and images
_HELD = 2 << 20  # pixels, of photographs whose features are held, not found again for every level
_STEEPNESS = 4
_ROWS = 64  # of features, which are transformed at once

Features = NDArray[np.float32]  # (channels, height, width)


Style = Mapping[str, Moments]  # of a painting's features, by layer
Shot = dict[str, list[Moments]]  # of features of its first frame, for each region, by layer
Regions = Sequence[tuple[NDArray | None, Style]]  # a mask (H, W), 0..1, and its style; None: all of the picture


def blended(parts: Sequence[tuple[float, Style]]) -> Style:
    """Blend styles by weight: the moments of all their features together."""
    total = sum(weight for weight, _ in parts)
    return {layer: mixed([(weight / total, style[layer]) for weight, style in parts]) for layer in decoders.LAYERS}


def least_map(found: NDArray, wanted: NDArray) -> NDArray[np.float64]:
    """The symmetric matrix A with A C A = C' that moves values of covariance C least: the optimal transport.

    A = C^(-1/2) (C^(1/2) C' C^(1/2))^(1/2) C^(-1/2). Where C is singular, it is the pseudo-inverse: values that do not
    vary along an axis stay so.
    """
    least = max(_LEAST * float(np.linalg.eigvalsh(found)[-1]), _SMALLEST)
    root, inverse = power(found, 0.5), power(found, -0.5, least)
    return inverse @ power(root @ wanted @ root, 0.5) @ inverse


def least_memory(height: int, width: int) -> int:
    """Estimate the bytes that a picture takes at least, besides those of any process."""
    return _PICTURE_BYTES * height * width + _WINDOW_BYTES * _SMALLEST_TILE**2


def tile_for(memory: int | None) -> int:
    """Choose the longest side of a window, in pixels, for the bytes that may be used besides those of any process."""
    if memory is None:
        return _TILE
    return max(_SMALLEST_TILE, min(_TILE, int((memory / 2 / _WINDOW_BYTES) ** 0.5)))


class Instant:
    """Gives photographs the style of paintings.

    Parameters
    ----------
    engine : Engine
    precision : str
        float32 or bfloat16, of the networks.
    tile : int
        The longest side of a window, in pixels.
    """

    def __init__(self, engine: Engine, precision: str, tile: int = _TILE) -> None:
        self._engine, self._tile = engine, tile
        self._encoder = engine.network(_SPEC, weights.load(_SPEC), _SPEC.pooling, precision)
        self._decoders = {
            layer: engine.network(spec, weights.load(spec), spec.pooling, precision)
            for layer in decoders.LAYERS
            for spec in [decoders.spec(layer)]
        }

    def style(self, painting: Picture, mask: NDArray | None = None) -> Style:
        """Find the moments of a painting's features.

        Parameters
        ----------
        painting : array (H, W, 3), RGB, 0..1
        mask : array (H, W), 0..1, optional
            How much every pixel counts.
        """
        seen = self._encode(_entered(painting), decoders.LAYERS)
        return {layer: moments(_positions(features), _mask_for(features, mask)) for layer, features in seen.items()}

    def __call__(
        self, photograph: Picture, regions: Regions, strength: float = 1.0, shot: Shot | None = None
    ) -> Picture:
        """Paint a photograph.

        Parameters
        ----------
        photograph : array (H, W, 3), RGB, 0..1
        regions : sequence of (mask, style)
            Masks sum to 1 everywhere.
        strength : float
            The share, at every level, of the features of the picture that enters it, 0..1; the rest are those of the
            photograph. Towards 0, moments move less too, so that 0 gives the photograph.
        shot : dict, optional
            The moments that features had in the first frame of a shot, by layer and region; filled in if empty. All
            frames are moved as the first, or their colours would change with what comes into the picture.

        Returns
        -------
        array (H, W, 3), RGB, 0..1
        """
        height, width = photograph.shape[:2]
        low, high = pixels.displayable_range(_SPEC.pixels)
        own = image = _entered(photograph)
        held = {} if height * width > _HELD else self._encode(own, decoders.LAYERS)
        for layer in reversed(decoders.LAYERS):
            features = self._mixed(image, own, held.pop(layer, None), layer, strength)
            share = 1 - (1 - strength) ** _STEEPNESS
            found = _transform(
                features, [(mask, style[layer]) for mask, style in regions], share, (shot or {}).get(layer)
            )
            if shot is not None:
                shot[layer] = found
            image = self._decode(features, layer)
            np.clip(image, low, high, out=image)
        inner = image[:, :, _MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
        return pixels.to_picture(inner, _SPEC.pixels)

    def _mixed(
        self, image: NDArray[np.float32], own: NDArray[np.float32], held: Features | None, layer: str, strength: float
    ) -> Features:
        """Mix the features of an image with those of the photograph, its `own` image or the features `held` of it."""
        if image is own:
            return self._encode(own, [layer])[layer] if held is None else held
        features = self._encode(image, [layer], strength)[layer]
        if held is None:
            self._encode(own, [layer], 1 - strength, {layer: features})
        else:
            features += np.float32(1 - strength) * held
        return features

    def _encode(
        self,
        image: NDArray[np.float32],
        layers: Sequence[str],
        share: float = 1.0,
        added_to: dict[str, Features] | None = None,
    ) -> dict[str, Features]:
        """Find the features of an image, (1, 3, H, W), in some layers, times `share`; they may be added to others."""
        height, width = image.shape[2:]
        kept = added_to or {layer: np.zeros(_SPEC.output_shape(layer, height, width), np.float32) for layer in layers}

        def look(window: Window) -> None:
            for layer in window.segment.layers:
                inside, (rows, columns) = window.owned(layer)
                owned = self._engine.crop(window.bound.features(layer), *inside)
                kept[layer][:, rows, columns] += np.float32(share) * self._engine.numpy(owned)[0]

        parts = segments(_SPEC, layers, height, width, self._tile)
        TiledNetwork(self._encoder, parts, trainable=False).forward(self._engine.array(image), look)
        return kept

    def _decode(self, features: Features, layer: str) -> NDArray[np.float32]:
        """Paint the image, (1, 3, H, W), of features of a layer."""
        spec, result = decoders.spec(layer), decoders.image(layer)
        channels, *sides = features.shape
        factor = spec.output_shape(result, *sides)[1] // sides[0]
        owned, halo = max(1, self._tile // factor), reach(spec.nodes)
        (height, rows), (width, columns) = (strips(side, owned, halo) for side in sides)
        bound = self._decoders[layer].bind([result], (channels, height, width), trainable=False)
        image = np.empty((1, 3, *(side * factor for side in sides)), np.float32)
        for row in rows:
            for column in columns:
                window = features[None, :, row.start : row.start + height, column.start : column.start + width]
                bound.forward(self._engine.array(np.ascontiguousarray(window)))
                painted = self._engine.numpy(bound.features(result))
                part = painted[:, :, row.owned_in_window(factor), column.owned_in_window(factor)]
                image[:, :, row.owned(factor), column.owned(factor)] = part
        return image


def reach(nodes: Nodes) -> int:
    """Count the positions of a decoder's input, on each side, that a position's part of the image depends on."""
    found = 0
    for node in reversed(nodes):
        found = -(-found // 2) if node.op == "upsample" else found + node.pad
    return found


def _transform(
    features: Features,
    regions: Sequence[tuple[NDArray | None, Moments]],
    strength: float,
    given: Sequence[Moments] | None = None,
) -> list[Moments]:
    """Move the moments of features to those of styles, by `strength`, in place.

    Returns the moments from which they were moved, for each region: those `given`, or their own.
    """
    channels, height, width = features.shape
    masks = [_mask_for(features, mask) for mask, _ in regions]
    before = list(given) if given else [moments(_positions(features), mask) for mask in masks]
    maps = []
    for mask, (_, wanted), found in zip(masks, regions, before):
        matrix = strength * least_map(found.covariance, wanted.covariance) + (1 - strength) * np.eye(channels)
        offset = strength * wanted.mean + (1 - strength) * found.mean - matrix @ found.mean
        maps.append((mask, matrix.astype(np.float32), offset.astype(np.float32)))
    for begin in range(0, height, _ROWS):
        rows = slice(begin, begin + _ROWS)
        flat, total = features[:, rows].reshape(channels, -1), 0.0
        for mask, matrix, offset in maps:
            moved = (matrix @ flat + offset[:, None]).reshape(channels, -1, width)
            total = total + (moved if mask is None else moved * mask[rows].astype(np.float32))
        features[:, rows] = total
    return before


def _positions(features: Features) -> NDArray[np.float32]:
    """Arrange features as (height, width, channels)."""
    return features.transpose(1, 2, 0)


def _entered(picture: Picture) -> NDArray[np.float32]:
    """Convert a picture for the network, extended by reflection to sides that the deepest layer divides evenly."""
    return _extended(pixels.from_picture(picture, _SPEC.pixels), 2)


def _extended(array: NDArray, axis: int) -> NDArray:
    """Extend the rows, which are that axis, and the columns of an array by reflection."""
    sides = [(_MARGIN, _MARGIN + -(side + 2 * _MARGIN) % _MULTIPLE) for side in array.shape[axis:]]
    return np.pad(array, [(0, 0)] * axis + sides, mode="symmetric")


def _mask_for(features: Features, mask: NDArray | None) -> NDArray | None:
    """Reduce a mask to the size of features."""
    return None if mask is None else images.resize(_extended(mask, 0), *features.shape[1:])
