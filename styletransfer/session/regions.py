"""The masks of a run's regions: read, checked, and resized with the pictures that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from styletransfer.config import Region
from styletransfer.pictures import images
from styletransfer.pictures.masks import TOLERANCE, Mask, check, divided
from styletransfer.session.picture_sources import FILES, PictureSources
from styletransfer.session.resolve import RunPlan
from styletransfer.support.errors import UserError


@dataclass(frozen=True)
class RegionMasks:
    """The masks of one region at one scale.

    Attributes
    ----------
    mask : array (H, W), values 0..1
        How much of each pixel of the result belongs to it. Those of all regions sum to 1.
    paintings : dict of (share, array (h, w) or None)
        By the painting's file: its share in the region's style; they sum to 1; and how much of each of its pixels
        counts, at its size, None for all.
    weight : float
        Of the region's style loss.
    """

    mask: Mask
    paintings: Mapping[str, tuple[float, Mask | None]]
    weight: float


def files_of(regions: Sequence[Region]) -> dict[str, str | None]:
    """Every file that regions name, by its config key."""
    files: dict[str, str | None] = {}
    for number, region in enumerate(regions):
        key = f"regions.{number}"
        files[f"{key}.content"] = region.content
        for name, style in region.style.items():
            files[f"{key}.style {name}"] = name
            files[f"{key}.style {name} mask"] = style.mask
    return files


def read_masks(plan: RunPlan, sources: PictureSources = FILES) -> list[tuple[RegionMasks, ...]]:
    """The regions of a run at every scale; none where all of the result has one style.

    Raises UserError if a mask cannot be read or is empty, or if the masks overlap or do not cover the result.
    """
    if not plan.config.used_regions:
        return [()] * len(plan.scales)
    inside = [(scale.height, scale.width) for scale in plan.scales]
    masks = [
        _read(sources, region.content, f"regions.{number}.content", inside)
        for number, region in enumerate(plan.config.used_regions)
    ]
    check([each[-1] for each in masks], *inside[-1])
    of_paintings = [_read_of_paintings(sources, plan, number) for number in range(len(plan.config.used_regions))]
    return [
        tuple(
            RegionMasks(mask, {name: (share, each[scale]) for name, (share, each) in paintings.items()}, region.weight)
            for region, mask, paintings in zip(
                plan.config.used_regions, divided([each[scale] for each in masks], *inside[scale]), of_paintings
            )
        )
        for scale in range(len(inside))
    ]


def _read_of_paintings(
    sources: PictureSources, plan: RunPlan, number: int
) -> dict[str, tuple[float, list[Mask | None]]]:
    """The share of every painting of a region, and its mask at every scale."""
    sizes = {name: [scale.styles[place] for scale in plan.scales] for place, name in enumerate(plan.styles)}
    paintings, key = plan.config.used_regions[number].style, f"regions.{number}.style"
    whole = sum(painting.weight for painting in paintings.values())
    return {
        name: (
            painting.weight / whole,
            _read(sources, painting.mask, f"{key}.{name}.mask", sizes[name]),
        )
        for name, painting in paintings.items()
    }


def _read(sources: PictureSources, name: str | None, key: str, sizes: Sequence[tuple[int, int]]) -> list[Mask | None]:
    """A mask in each of these sizes, None for none."""
    if name is None:
        return [None] * len(sizes)
    mask = sources.read_mask(name)
    if mask.max() <= TOLERANCE:
        raise UserError(f"{key}: {name} is black all over: expected a mask that is white somewhere")
    return [images.resize(mask, *size) for size in sizes]
