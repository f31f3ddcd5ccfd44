"""What goes into a run: its files, the pictures at the sizes of every scale, the network's weights."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styletransfer import weights
from styletransfer.config import Config, find_input
from styletransfer.pictures import colors, images
from styletransfer.pictures.images import Picture
from styletransfer.pictures.metadata import exif_of
from styletransfer.run.picture_sizes import found
from styletransfer.run.resolve import RunPlan
from styletransfer.support.files import hashed


@dataclass(frozen=True)
class Pictures:
    """The pictures at one scale, (H, W, 3) RGB: content and start at the size of the result, styles at theirs.

    They are as the network is to see them: with `color: keep` all are grey. Values are 0..1, except where colours or
    luminance were matched. `photograph` is the picture whose chroma the result gets, if it gets another's.
    """

    height: int
    width: int
    content: Picture | None
    styles: tuple[tuple[float, Picture], ...]  # with blending weights that sum to 1
    start: Picture | None
    photograph: Picture | None = None


def read_pictures(plan: RunPlan) -> list[Pictures]:
    """Read the pictures of a run, resize them for every scale, and give them the colours that the config asks for.

    Raises
    ------
    UserError
        If a file cannot be read.
    """
    inside = [(scale.height, scale.width) for scale in plan.scales]
    content = _read(plan.content, inside)
    styles = [_read(name, [scale.styles[number] for scale in plan.scales]) for number, name in enumerate(plan.styles)]
    start = _read(plan.init.image, inside)
    return [
        _with_colors(
            Pictures(
                *size,
                content[number],
                tuple((share, style[number]) for share, style in zip(plan.styles.values(), styles)),
                start[number],
            ),
            plan.color,
        )
        for number, size in enumerate(inside)
    ]


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


def _read(name: str | None, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    """A picture in each of these sizes, None for none; the picture itself, which may be far larger, is let go."""
    if name is None:
        return [None] * len(sizes)
    picture = images.read(found(name))
    return [images.resize(picture, *size) for size in sizes]


def read_exif(plan: RunPlan) -> bytes:
    """The EXIF that the result gets from the photograph; none unless that is asked for."""
    return exif_of(found(plan.content)) if plan.output.keep_metadata and plan.content else b""


def load_parameters(plan: RunPlan) -> weights.Parameters:
    """The network's weights, in its native space.

    Raises
    ------
    UserError
        If they are absent or unusable.
    """
    return weights.load(plan.spec, find_input(plan.weights_file) if plan.weights_file else None)


def files_of(config: Config) -> dict[str, Path]:
    """Every file that goes into a run, by the config key that names it; absent files are left out."""
    names = {
        "content.image": config.content.image,
        **{f"style.images {name}": name for name in (config.style.images or {})},
        "init.image": config.init.image,
        "weights": config.weights or str(config.spec.weights_path),
    }
    return {key: path for key, name in names.items() if name is not None and (path := find_input(name)).is_file()}


def checksums(files: Mapping[str, Path]) -> dict[str, str]:
    """The sha256 of every file, by the same keys."""
    return {key: hashed(path, hashlib.sha256()) for key, path in files.items()}
