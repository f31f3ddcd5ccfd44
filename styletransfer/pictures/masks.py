"""Masks that divide a picture into regions: grey values (H, W), 0..1, that sum to 1 everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from styletransfer.support.errors import UserError

Mask = NDArray[np.floating]
# What masks may differ from a sum of 1, or from 0 where they are empty: what is left by the compression of pictures and
# by resizing.
TOLERANCE = 0.1


def check(masks: Sequence[Mask | None], height: int, width: int) -> None:
    """Check that masks, None for one that gets the rest, divide a picture of that size among them.

    Raises UserError if they overlap, do not cover it, or leave nothing to the one that gets the rest.
    """
    total = _total(masks, height, width)
    over, under = (float(np.mean(part)) for part in (total > 1 + TOLERANCE, total < 1 - TOLERANCE))
    rest = [number for number, mask in enumerate(masks) if mask is None]
    if over:
        raise UserError(
            f"regions: the masks overlap on {_percent(over)} of the picture: expected grey values that sum to white at "
            "most"
        )
    if rest and not under:
        raise UserError(f"regions.{rest[0]}: the masks of the others leave nothing to it: expected fewer regions")
    if under and not rest:
        raise UserError(
            f"regions: the masks leave {_percent(under)} of the picture without a style: expected masks that cover it, "
            "or one region without a mask (content: null), which gets the rest"
        )


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def divided(masks: Sequence[Mask | None], height: int, width: int) -> list[Mask]:
    """Fill in the mask that gets the rest, and divide what rounding left, so that masks sum to 1 everywhere."""
    rest = np.clip(1 - _total(masks, height, width), 0, 1)
    filled = [rest if mask is None else mask for mask in masks]
    total = np.maximum(_total(filled, height, width), 1e-6)
    return [mask / total for mask in filled]


def _total(masks: Sequence[Mask | None], height: int, width: int) -> Mask:
    return sum((mask for mask in masks if mask is not None), np.zeros((height, width)))
