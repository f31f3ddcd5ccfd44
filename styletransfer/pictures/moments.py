"""The mean and the covariance of colours, or of the features of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """The mean (channels,) and the covariance (channels, channels) of colours or features."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments(values: NDArray, mask: NDArray | None = None) -> Moments:
    """Find the moments of values (H, W, channels), in double precision; a mask (H, W), 0..1, says how much each counts.

    Rows are taken one by one, since all values in double precision would take twice the memory.
    """
    shares = np.ones(values.shape[:2]) if mask is None else np.asarray(mask, np.float64)
    shares = shares / max(shares.sum(), 1e-12)
    channels = values.shape[2]
    mean, products = np.zeros(channels), np.zeros((channels, channels))
    for row, weights in zip(values, shares):
        mean += weights @ row
    for row, weights in zip(values, shares):
        centred = row - mean
        products += (weights[:, None] * centred).T @ centred
    return Moments(mean, products)


def mixed(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Find the moments of all values together, of parts that have the given shares, which sum to 1."""
    mean = sum((share * part.mean for share, part in parts), np.zeros(()))
    covariance = np.zeros(())
    for share, part in parts:
        offset = part.mean - mean
        covariance = covariance + share * (part.covariance + np.outer(offset, offset))
    return Moments(mean, covariance)


def power(covariance: NDArray, exponent: float, least: float = 0.0) -> NDArray[np.float64]:
    """Raise a symmetric matrix to a power, through its eigenvalues.

    Of a negative power it is the pseudo-inverse: eigenvalues below `least` count as 0.
    """
    variances, axes = np.linalg.eigh(covariance)
    if exponent > 0:
        return (axes * np.maximum(variances, 0.0) ** exponent) @ axes.T
    counts = variances >= least
    return (axes[:, counts] * variances[counts] ** exponent) @ axes[:, counts].T
