"""The sizes that the pictures of a run will have at every scale, told from their files' headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.spec import ModelSpec
from styletransfer.config import Config, find_input
from styletransfer.pictures import images
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.weights import sources


@dataclass(frozen=True)
class Sizes:
    """Those of the pictures at one scale, pixels: the result's, which content and start get too, and the styles'."""

    height: int
    width: int
    styles: tuple[tuple[int, int], ...]  # (height, width) of each


def read_sizes(config: Config) -> list[Sizes]:
    """The sizes that the pictures of a config will have at every scale; the last is that of the result.

    The files are opened but not read, so that memory can be foretold before it is taken. Of a number of scales, those
    are left out that are too small for one of the layers.

    Raises
    ------
    UserError
        If a file is no picture, a mask has other proportions than its picture, or one of the sizes is too small for a
        layer.
    """
    content = images.size(found(config.content.image)) if config.content.image else None
    styles = {name: images.size(found(name)) for name in config.used_styles}
    _check_masks(config, content or config.shape or next(iter(styles.values()), None), styles)
    *smaller, edge = config.long_edges
    scales = []
    for small in smaller:
        try:
            scales.append(_at_scale(config, small, content, styles))
        except UserError:
            if isinstance(config.scales, list):
                raise
    return [*scales, _at_scale(config, edge, content, styles)]


def _check_masks(config: Config, whole: tuple[int, int] | None, styles: Mapping[str, tuple[int, int]]) -> None:
    """See that the masks of regions have the proportions of what they are masks of: `whole`, or one of the paintings.

    Sizes are (height, width).
    """
    for number, region in enumerate(config.used_regions):
        key = f"regions.{number}"
        masks = [(f"{key}.content", region.content, whole)]
        masks += [(f"{key}.style.{name}.mask", style.mask, styles[name]) for name, style in region.style.items()]
        for where, mask, picture in masks:
            if mask is not None and picture is not None:
                _check_proportions(where, mask, images.size(found(mask)), picture)


def _check_proportions(where: str, name: str, mask: tuple[int, int], picture: tuple[int, int]) -> None:
    """Proportions may differ by what rounding to whole pixels makes of them, or by a hundredth."""
    height, width = mask
    fitting_height, fitting_width = picture[0] * width / picture[1], picture[1] * height / picture[0]
    if abs(width - fitting_width) > max(0.01 * fitting_width, 1) and abs(height - fitting_height) > 1:
        raise UserError(
            f"{where}: {name} has {width} x {height} pixels, its picture {picture[1]} x {picture[0]}: expected a mask "
            "of the same proportions"
        )


def found(name: str) -> Path:
    """The file of a picture.

    Raises
    ------
    UserError
        If it is absent, and could be fetched.
    """
    path = find_input(name)
    if not path.exists():
        hint = sources.how_to_get(PROJECT_FOLDER / path)
        if hint:
            raise UserError(f"picture {path}: no such file; {hint}")
    return path


def _at_scale(
    config: Config, edge: int, content: tuple[int, int] | None, styles: Mapping[str, tuple[int, int]]
) -> Sizes:
    """The sizes for an image of a long edge, from those of the files."""
    share = edge / config.long_edges[-1]
    if config.shape:
        height, width = (max(1, round(side * share)) for side in config.shape)
        asked = f"shape: {list(config.shape)}"
    else:
        shape_giver = content if content is not None else next(iter(styles.values()))
        height, width = images.fit(*shape_giver, edge)
        asked = f"size: {config.size}"
    if share < 1:
        asked = f"scales: a long edge of {edge}"
    content_layers, style_layers = list(config.used_content_layers), list(config.used_style_layers)
    _check_size(config.spec, content_layers + style_layers, height, width, asked)
    resized = []
    for name, style in styles.items():
        size = _style_size(config, style, height, width, share)
        _check_size(config.spec, style_layers, *size, f"style picture {name}")
        resized.append(size)
    return Sizes(height, width, tuple(resized))


def _style_size(config: Config, style: tuple[int, int], height: int, width: int, share: float) -> tuple[int, int]:
    """That of a style picture, from its file's, for an image `height` x `width`, a `share` as long as the result."""
    if config.style.size == "match":
        return height, width
    return images.fit(*style, max(1, round((config.style.size or config.size) * share)))


def _check_size(spec: ModelSpec, layers: list[str], height: int, width: int, what: str) -> None:
    if not layers:
        return
    deepest = spec.deepest(layers)
    if min(spec.output_shape(deepest, height, width)[1:]) < 1:
        raise UserError(
            f"{what} gives {width} x {height} pixels, too small for the layer {deepest} of {spec.name}, "
            f"which needs {spec.smallest_side(deepest)} on either side"
        )
