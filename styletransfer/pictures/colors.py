"""Colours of pictures: luminance and chroma, and giving one picture the colours of another.

Both ways are those of Gatys, Bethge, Hertzmann, Shechtman 2016, Preserving Color in Neural Artistic Style Transfer
(arXiv:1606.05897). Luminance and chroma are those of Y'IQ, the space of the paper, whose luminance is the luma of
Rec. 601. It is linear in the gamma-encoded values of a picture file, which are also what the networks see. So a picture
is taken apart and put together without loss, and a change of luminance alone adds the same number to R, G and B.

A picture is a float array (H, W, 3), RGB, values 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styletransfer.pictures.images import Picture

_LUMA = (0.299, 0.587, 0.114)  # of R, G, B: Rec. 601
# The smallest variance along a principal axis of a picture's colours that counts, that of one grey level: what is
# below is rounding or the noise of a JPEG, which would be blown up to full colours.
LEAST_VARIANCE = 1 / 255**2


def luminance(picture: Picture) -> NDArray[np.float64]:
    """The luminance Y' (H, W) of a picture, 0..1."""
    return np.asarray(picture, dtype=np.float64) @ np.array(_LUMA)


def grey(values: NDArray) -> Picture:
    """The grey picture (H, W, 3) of a luminance (H, W)."""
    return np.repeat(values.astype(np.float32)[..., None], 3, axis=2)


def with_luminance(picture: Picture, values: NDArray) -> Picture:
    """The picture with another luminance and its own chroma.

    Not every luminance can have every chroma: a saturated blue is neither very light nor very dark. Where the result
    would leave 0..1, its luminance is the nearest one that does not; the chroma is the picture's everywhere.

    Parameters
    ----------
    picture : array (H, W, 3)
    values : array (H, W)
        The luminance.
    """
    shift = np.clip(values - luminance(picture), -picture.min(axis=2), 1.0 - picture.max(axis=2))
    return picture + shift[..., None]


def match_luminance(values: NDArray, reference: NDArray) -> NDArray[np.float64]:
    """Scale and shift a luminance (H, W) to the mean and standard deviation of a reference (any height and width).

    As in section 4 of the paper, to which it is a linear histogram matching. The result is not clipped. Where all
    values are the same they become the mean of the reference.
    """
    deviation = float(values.std())
    gain = float(reference.std()) / deviation if deviation**2 > LEAST_VARIANCE else 0.0
    return (values - values.mean()) * gain + reference.mean()


def match(picture: Picture, reference: Picture) -> Picture:
    """Give a picture the mean and the covariance of the colours of a reference, by a linear map of RGB.

    x -> A (x - m) + m', where m and m' are the means, A = C'^(1/2) C^(-1/2), and C and C' the covariances (section 3
    of the paper, in the form that it takes from Image Analogies). The result is not clipped, or its mean and covariance
    would not be those of the reference; so its values may lie outside 0..1.

    Where the colours of the picture do not vary along an axis (a grey picture), the inverse is the pseudo-inverse: an
    axis counts if its variance is at least `LEAST_VARIANCE`. Then the covariance is equal only as far as the picture's
    colours reach: a grey picture becomes one of shades of a single colour, and one of a single colour the mean of the
    reference.

    Parameters
    ----------
    picture, reference : arrays (H, W, 3), of any heights and widths
    """
    return with_moments(picture, moments(picture), moments(reference))


def with_moments(picture: Picture, found: Moments, wanted: Moments) -> Picture:
    """The map of :func:`match` that makes the moments `wanted` of the moments `found`, applied to a picture."""
    matrix = _power(wanted.covariance, 0.5) @ _power(found.covariance, -0.5)
    offset = wanted.mean - matrix @ found.mean
    return (np.asarray(picture) @ matrix.T.astype(np.float32) + offset).astype(np.float32)


@dataclass(frozen=True)
class Moments:
    """The mean (3,) and the covariance (3, 3) of colours."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def moments(picture: Picture, mask: NDArray | None = None) -> Moments:
    """The moments of the colours of a picture (H, W, 3); with a mask (H, W), 0..1, every pixel counts by its value."""
    shares = np.ones(picture.shape[:2]) if mask is None else np.asarray(mask, np.float64)
    shares = shares / max(shares.sum(), 1e-12)
    mean = np.tensordot(shares, picture, axes=2)
    products = np.zeros((3, 3))
    for row, weights in zip(picture, shares):  # not all at once: in double precision it would be twice as large
        centred = row - mean
        products += (weights[:, None] * centred).T @ centred
    return Moments(mean, products)


def mixed(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """The moments of all colours together, of pictures that have the given shares, which sum to 1."""
    mean = sum((share * part.mean for share, part in parts), np.zeros(3))
    covariance = np.zeros((3, 3))
    for share, part in parts:
        covariance += share * (part.covariance + np.outer(part.mean - mean, part.mean - mean))
    return Moments(mean, covariance)


def _power(covariance: NDArray, exponent: float) -> NDArray[np.float64]:
    """A power of a symmetric matrix, through its eigenvalues; of a negative power the pseudo-inverse."""
    variances, axes = np.linalg.eigh(covariance)
    if exponent > 0:
        return (axes * np.maximum(variances, 0.0) ** exponent) @ axes.T
    counts = variances >= LEAST_VARIANCE
    return (axes[:, counts] * variances[counts] ** exponent) @ axes[:, counts].T
