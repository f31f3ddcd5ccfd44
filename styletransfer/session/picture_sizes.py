"""The sizes of the pictures of a run at every scale, before they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.spec import ModelSpec
from styletransfer.config import Config, Region
from styletransfer.pictures import images
from styletransfer.session.picture_sources import FILES, PictureSources
from styletransfer.support.errors import UserError


@dataclass(frozen=True)
class Scale:
    """The sizes of the pictures at one scale, in pixels: that of image, content and start, and those of the styles."""

    height: int
    width: int
    styles: tuple[tuple[int, int], ...]  # (height, width) of each


def read_sizes(config: Config, sources: PictureSources = FILES) -> list[Scale]:
    """The sizes of the pictures of a config at every scale; the last is that of the result.

    Files are opened but not read, so that memory can be estimated first. If the config only has a number of scales,
    those that are too small for one of the layers are omitted.

    Raises UserError if one is not a picture, a mask has other proportions than its picture, or one of the sizes is too
    small for a layer.

    Parameters
    ----------
    sources : PictureSources
        Where the pictures are.
    """
    content = sources.size(config.content.image) if config.content.image else None
    styles = {name: sources.size(name) for name in config.used_styles}
    _check_masks(config.used_regions, content or config.shape or next(iter(styles.values()), None), styles, sources)
    *smaller, edge = config.long_edges
    scales = []
    for small in smaller:
        try:
            scales.append(_at_scale(config, small, content, styles))
        except UserError:
            if isinstance(config.scales, list):
                raise
    return [*scales, _at_scale(config, edge, content, styles)]


def _check_masks(
    regions: Sequence[Region],
    whole: tuple[int, int] | None,
    styles: Mapping[str, tuple[int, int]],
    sources: PictureSources,
) -> None:
    """Check that the masks of regions have the proportions of their pictures: `whole`, or one of the paintings.

    Sizes are (height, width).
    """
    for number, region in enumerate(regions):
        key = f"regions.{number}"
        masks = [(f"{key}.content", region.content, whole)]
        masks += [(f"{key}.style.{name}.mask", style.mask, styles[name]) for name, style in region.style.items()]
        for where, mask, picture in masks:
            if mask is not None and picture is not None:
                _check_proportions(where, mask, sources.size(mask), picture)


def _check_proportions(where: str, name: str, mask: tuple[int, int], picture: tuple[int, int]) -> None:
    """Reject a mask of other proportions than its picture, but for a hundredth or rounding to whole pixels."""
    height, width = mask
    fitting_height, fitting_width = picture[0] * width / picture[1], picture[1] * height / picture[0]
    if abs(width - fitting_width) > max(0.01 * fitting_width, 1) and abs(height - fitting_height) > 1:
        raise UserError(
            f"{where}: {name} has {width} x {height} pixels, its picture {picture[1]} x {picture[0]}: expected a mask "
            "of the same proportions"
        )


def _at_scale(
    config: Config, edge: int, content: tuple[int, int] | None, styles: Mapping[str, tuple[int, int]]
) -> Scale:
    """The sizes for an image with the long edge `edge`, from those of the files."""
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
    check_size(config.spec, content_layers + style_layers, height, width, asked)
    resized = []
    for name, style in styles.items():
        size = (height, width)
        if config.style.size != "match":
            size = images.fit(*style, max(1, round((config.style.size or config.size) * share)))
        check_size(config.spec, style_layers, *size, f"style picture {name}")
        resized.append(size)
    return Scale(height, width, tuple(resized))


def check_size(spec: ModelSpec, layers: list[str], height: int, width: int, what: str) -> None:
    """Raise a UserError if a picture, which the message calls `what`, is too small for one of the layers."""
    if not layers:
        return
    deepest = spec.deepest(layers)
    if min(spec.output_shape(deepest, height, width)[1:]) < 1:
        raise UserError(
            f"{what} gives {width} x {height} pixels, too small for the layer {deepest} of {spec.name}, "
            f"which needs {spec.smallest_side(deepest)} on each side"
        )
