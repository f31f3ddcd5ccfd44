"""Guidance maps: the share of each region of a picture in every position of a layer.

The guided Gram matrix of a region r (Gatys, Ecker, Bethge, Hertzmann, Shechtman 2017, "Controlling Perceptual Factors
in Neural Style Transfer", spatial control, https://arxiv.org/abs/1611.07865) is, raw,

    G_r = sum over positions p of T_r(p) F(p) F(p)^T,

with features F, (N, M), and a map T_r, (M,), of values 0..1. It stands for sum T_r positions, as F F^T stands for all
M: it is normalised by N sum T_r, where F F^T is by N M. The paper multiplies the features by a guidance channel whose
squares sum to 1, so that guidance enters squared; T_r here is that square, before it is normalised. So a value of 1/2
means that half of what is seen there counts, and the Gram matrices of regions whose maps sum to 1 everywhere sum to
that of the whole.

A mask reaches a layer by area: every pixel belongs to the position whose receptive field has its centre nearest, and T
at a position is the mean of the mask over its pixels. So maps of masks that sum to 1 sum to 1 in every layer, soft
edges stay soft, and no region disappears from deep layers, as small ones do where only positions count whose receptive
fields lie inside the mask (the mode `inside` of the authors' program, which propagates masks by receptive field;
its mode `simple` resamples them, as here).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec, ReceptiveField
from styletransfer.engines import Array, Engine


def at_layer(mask: NDArray, spec: ModelSpec, layer: str) -> NDArray[np.float64]:
    """The map T of a mask in a layer.

    Parameters
    ----------
    mask : array (height, width), values 0..1
        Of the whole picture.

    Returns
    -------
    array (height, width) of the layer, values 0..1
    """
    _, height, width = spec.output_shape(layer, *mask.shape)
    field = spec.receptive_field(layer)
    return _means(_means(np.asarray(mask, dtype=np.float64), height, field).T, width, field).T


def _means(values: NDArray[np.float64], positions: int, field: ReceptiveField) -> NDArray[np.float64]:
    """The means of the rows that belong to each position along the first axis."""
    length = len(values)
    # The centre of position i is i x stride - offset + size / 2; pixels change hands half a stride before it.
    borders = np.arange(positions) * field.stride - field.offset + (field.size - field.stride) / 2
    borders = np.clip([0, *borders[1:], length], 0, length)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    row = np.minimum(borders.astype(int), length - 1)
    integrals = sums[row] + (borders - row)[:, None] * values[row]
    widths = np.diff(borders)[:, None]
    # A window at the edge of a pooling that rounds up may have its centre beyond the picture, and no pixels of its own.
    return np.where(widths > 0, np.diff(integrals, axis=0) / np.maximum(widths, 1e-9), values[row[:-1]])


@dataclass(frozen=True)
class Guidance:
    """The maps of all regions of a picture.

    Attributes
    ----------
    maps : dict of arrays (regions, 1, height, width)
        T_r in every layer.
    roots : dict of arrays (regions, height, width)
        Their square roots, by which features are multiplied for the Gram matrices.
    positions : dict of arrays (regions,)
        sum T_r: the number of positions that the Gram matrix of a region stands for.
    """

    maps: Mapping[str, Array]
    roots: Mapping[str, Array]
    positions: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of_masks(cls, masks: Sequence[NDArray], spec: ModelSpec, layers: Iterable[str], engine: Engine) -> Guidance:
        """Make the maps of some layers from the masks of regions, each (height, width) of the picture."""
        by_layer = {layer: np.stack([at_layer(mask, spec, layer) for mask in masks]) for layer in layers}
        return cls(
            {layer: engine.array(maps[:, None]) for layer, maps in by_layer.items()},
            {layer: engine.array(np.sqrt(maps)) for layer, maps in by_layer.items()},
            {layer: maps.sum(axis=(1, 2)) for layer, maps in by_layer.items()},
        )

    @property
    def regions(self) -> int:
        """The number of regions."""
        return len(next(iter(self.positions.values())))
