"""The inputs of a run: its files, the pictures at every scale, and the network's weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from styletransfer import weights
from styletransfer.config import find_input
from styletransfer.feedforward.instant import Instant, blended, tile_for
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.pictures import colors, images
from styletransfer.pictures.images import Picture
from styletransfer.pictures.moments import mixed, moments
from styletransfer.session import memory, regions
from styletransfer.session.picture_sources import FILES, PictureSources
from styletransfer.session.regions import RegionMasks
from styletransfer.session.resolve import RunPlan


@dataclass(frozen=True)
class Pictures:
    """The pictures at one scale, (H, W, 3) RGB: content and start at the size of the result, styles at theirs.

    They are as the network is to see them: with `color: keep` all are grey. Values are 0..1, except where colours or
    luminance were matched. `photograph` is the picture whose chroma the result gets, if it gets another's.
    """

    content: Picture | None
    styles: tuple[tuple[float, Picture], ...]  # with blending weights that sum to 1
    start: Picture | None
    regions: tuple[RegionMasks, ...] = ()  # without any, all of the result has the blended style
    photograph: Picture | None = None


def read_pictures(plan: RunPlan, sources: PictureSources = FILES) -> list[Pictures]:
    """Read the pictures of a run, resize them for every scale, and give them the colours that the config asks for.

    Raises UserError if one cannot be read, or the masks of regions do not divide the result among them.

    Parameters
    ----------
    plan : RunPlan
    sources : PictureSources
        Where the pictures are.
    """
    config, inside = plan.config, [(scale.height, scale.width) for scale in plan.scales]
    content = _read(sources, config.content.image, inside)
    start = _stylised(plan, content[0]) if plan.trained_style else _read(sources, config.init.image, inside)
    styles = [
        _read(sources, name, [scale.styles[number] for scale in plan.scales]) for number, name in enumerate(plan.styles)
    ]
    masks = regions.read_masks(plan, sources)
    pictures = [
        _with_colors(
            Pictures(
                content[number],
                tuple((share, style[number]) for share, style in zip(plan.styles.values(), styles)),
                start[number],
                masks[number],
            ),
            config.color,
        )
        for number in range(len(inside))
    ]
    start_of = {"matched": _matched, "instant": _instant}.get(config.init.kind)
    if start_of:
        pictures[0] = dataclasses.replace(pictures[0], start=start_of(plan, pictures[0]))
    return pictures


def _instant(plan: RunPlan, pictures: Pictures) -> Picture:
    """The photograph in the style of the paintings, by moments of features, those of a region in it."""
    photograph, styles = pictures.content, dict(zip(plan.styles, pictures.styles))
    assert photograph is not None
    if not styles:
        return photograph
    painter = Instant(plan.choice.load(), plan.choice.precision, tile_for(_memory_for_start(plan)))
    regions = []
    for region in _regions(plan, pictures):
        seen = [(share, painter.style(styles[name][1], mask)) for name, (share, mask) in region.paintings.items()]
        regions.append((region.mask, blended(seen)))
    start = painter(photograph, regions, plan.config.init.strength)
    return colors.grey(colors.luminance(start)) if plan.config.color == "keep" else start


def _regions(plan: RunPlan, pictures: Pictures) -> Sequence[RegionMasks]:
    """The regions of the initial image; without any, one that is everything."""
    assert pictures.content is not None
    paintings = {name: (share, None) for name, (share, _) in zip(plan.styles, pictures.styles)}
    return pictures.regions or (RegionMasks(np.ones(pictures.content.shape[:2]), paintings, 1.0),)


def _matched(plan: RunPlan, pictures: Pictures) -> Picture:
    """The photograph with the moments of the paintings' colours, those of a region in it; not clipped."""
    photograph, styles = pictures.content, dict(zip(plan.styles, pictures.styles))
    assert photograph is not None
    if not styles:
        return photograph
    start = np.zeros_like(photograph)
    for region in _regions(plan, pictures):
        wanted = mixed([(share, moments(styles[name][1], mask)) for name, (share, mask) in region.paintings.items()])
        matched = colors.with_moments(photograph, moments(photograph, region.mask), wanted)
        start += region.mask[..., None].astype(np.float32) * matched
    return start


def _with_colors(pictures: Pictures, color: str) -> Pictures:
    """Pictures in the colours in which the network is to see them."""
    photograph = pictures.content
    if color == "style" or photograph is None:
        return pictures
    if color == "match":
        styles = tuple((share, colors.match(style, photograph)) for share, style in pictures.styles)
        return dataclasses.replace(pictures, styles=styles)
    seen = colors.luminance(photograph)
    return dataclasses.replace(
        pictures,
        content=colors.grey(seen),
        styles=tuple(
            (share, colors.grey(colors.match_luminance(colors.luminance(style), seen)))
            for share, style in pictures.styles
        ),
        start=None if pictures.start is None else colors.grey(colors.luminance(pictures.start)),
        photograph=photograph,
    )


def _read(sources: PictureSources, name: str | None, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    """A picture at each of these sizes, or None; the full-size picture, which may be far larger, is not kept."""
    if name is None:
        return [None] * len(sizes)
    picture = sources.read(name)
    return [images.resize(picture, *size) for size in sizes]


def _stylised(plan: RunPlan, photograph: Picture) -> list[Picture]:
    """The photograph of the first scale in the trained style, at the size of every scale."""
    assert plan.trained_style is not None
    allowed = _memory_for_start(plan)
    stylised = Stylizer(plan.trained_style, plan.choice.load(), plan.choice.precision, allowed)(photograph)
    return [images.resize(stylised, scale.height, scale.width) for scale in plan.scales]


def _memory_for_start(plan: RunPlan) -> int | None:
    """The bytes that may be used for the initial image; None if there is no limit."""
    peaks = [scale.memory for scale in plan.scales]
    return None if None in peaks else memory.for_pictures(max(filter(None, peaks)), plan.choice.memory_factors)


def load_parameters(plan: RunPlan) -> weights.Parameters:
    """The network's weights, in its native space.

    Raises UserError if they are missing or unusable.
    """
    return weights.load(plan.config.spec, find_input(plan.config.weights) if plan.config.weights else None)
