"""What goes into a run: its files, the pictures at the sizes of every scale, the network's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styletransfer import weights
from styletransfer.config import Config, find_input
from styletransfer.pictures import images
from styletransfer.pictures.images import Picture
from styletransfer.run import regions
from styletransfer.run.picture_sizes import found
from styletransfer.run.regions import RegionMasks
from styletransfer.run.resolve import RunPlan
from styletransfer.support.files import hashed


@dataclass(frozen=True)
class Pictures:
    """The pictures at one scale, (H, W, 3) RGB 0..1: content and start at the size of the result, styles at theirs."""

    height: int
    width: int
    content: Picture | None
    styles: tuple[tuple[float, Picture], ...]  # with blending weights that sum to 1
    start: Picture | None
    regions: tuple[RegionMasks, ...] = ()  # without any, all of the result has the blended style


def read_pictures(plan: RunPlan) -> list[Pictures]:
    """Read the pictures of a run and resize them for every scale.

    Raises
    ------
    UserError
        If a file cannot be read, or the masks of regions do not divide the result among them.
    """
    inside = [(scale.height, scale.width) for scale in plan.scales]
    content = _read(plan.content, inside)
    styles = [_read(name, [scale.styles[number] for scale in plan.scales]) for number, name in enumerate(plan.styles)]
    start = _read(plan.init.image, inside)
    masks = regions.read_masks(plan)
    return [
        Pictures(
            *size,
            content[number],
            tuple((share, style[number]) for share, style in zip(plan.styles.values(), styles)),
            start[number],
            masks[number],
        )
        for number, size in enumerate(inside)
    ]


def _read(name: str | None, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    """A picture in each of these sizes, None for none; the picture itself, which may be far larger, is let go."""
    if name is None:
        return [None] * len(sizes)
    picture = images.read(found(name))
    return [images.resize(picture, *size) for size in sizes]


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
        **regions.files_of(config),
        "weights": config.weights or str(config.spec.weights_path),
    }
    return {key: path for key, name in names.items() if name is not None and (path := find_input(name)).is_file()}


def checksums(files: Mapping[str, Path]) -> dict[str, str]:
    """The sha256 of every file, by the same keys."""
    return {key: hashed(path, hashlib.sha256()) for key, path in files.items()}
