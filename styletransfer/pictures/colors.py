"""Colours of pictures: luminance and chroma, and giving one picture the colours of another.

Both ways are those of Gatys, Bethge, Hertzmann, Shechtman 2016, Preserving Color in Neural Artistic Style Transfer
(arXiv:1606.05897). Luminance and chroma are those of Y'IQ, the space of the paper, whose luminance is the luma of
Rec. 601. It is linear in the gamma-encoded values of a picture file, which are also what the networks see. So a picture
is taken apart and put together without loss, and a change of luminance alone adds the same number to R, G and B.

A picture is a float array (H, W, 3), RGB, values 0..1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from styletransfer.pictures.images import Picture
from styletransfer.pictures.moments import Moments, moments, power

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
    matrix = power(wanted.covariance, 0.5) @ power(found.covariance, -0.5, LEAST_VARIANCE)
    offset = wanted.mean - matrix @ found.mean
    return (np.asarray(picture) @ matrix.T.astype(np.float32) + offset).astype(np.float32)
