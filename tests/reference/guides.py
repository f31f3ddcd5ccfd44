"""Masks at a network's layers, by looking up every quarter of a pixel where it belongs."""

from __future__ import annotations

import numpy as np

from models.spec import ModelSpec


def guide(mask: np.ndarray, spec: ModelSpec, layer: str) -> np.ndarray:
    """The mean of a mask (H, W) over what lies nearest to the centre of every position's receptive field, (h, w)."""
    _, height, width = spec.output_shape(layer, *mask.shape)
    fine = np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)
    rows, columns = (_nearest(length, positions, spec, layer) for length, positions in zip(fine.shape, (height, width)))
    sums, counts = np.zeros((height, width)), np.zeros((height, width))
    places = rows[:, None], columns[None, :]
    np.add.at(sums, places, fine)
    np.add.at(counts, places, 1.0)
    return sums / counts


def _nearest(halves: int, positions: int, spec: ModelSpec, layer: str) -> np.ndarray:
    """For every half of a pixel along one axis the position with the nearest centre."""
    size, stride, offset = 1, 1, 0
    for node in spec.nodes:  # in one chain, as branches beside the longest have 1 x 1 kernels
        size, offset, stride = size + (node.kernel - 1) * stride, offset + node.pad * stride, stride * node.stride
        if node.name == layer:
            break
    centres = np.arange(positions) * stride - offset + size / 2
    places = (np.arange(halves) + 0.5) / 2
    return np.abs(places[:, None] - centres[None, :]).argmin(axis=1)
