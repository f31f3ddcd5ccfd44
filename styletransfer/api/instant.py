"""Any painting at once, from Python: :func:`stylize`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from styletransfer.api.arguments import Held, PictureLike, Styles
from styletransfer.api.calls import plain_errors
from styletransfer.api.results import to_pillow
from styletransfer.engines import choose
from styletransfer.feedforward import styles
from styletransfer.feedforward.instant import Instant, tile_for
from styletransfer.feedforward.paintings import Painting
from styletransfer.pictures import images
from styletransfer.session import memory as memories
from styletransfer.session.picture_sources import PictureSources
from styletransfer.support.errors import UserError


def stylize(
    content: PictureLike,
    style: Styles,
    *,
    strength: float | None = None,
    size: int | None = None,
    style_size: int | None = None,
    masks: Sequence[PictureLike | None] | None = None,
    keep_colors: bool = False,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    memory: str | None = None,
) -> Image.Image:
    """Give a photograph the style of any painting, or a trained style, at once.

    Parameters
    ----------
    content : path, PIL image or array
        The photograph; as for :func:`~styletransfer.transfer`.
    style : the same, several in a list, a list of (picture, weight), or a dict {path: weight}
        The painting, or several to blend; or the name or file of a trained style.
    strength : float, optional
        The share of the style, 0..1; by default 0.7 for paintings, 1 for a trained style.
    size : int, optional
        The long edge in pixels to which a larger photograph is reduced first.
    style_size : int, optional
        The long edge of the paintings: smaller for smaller strokes. By default, that of the photograph.
    masks : sequence of pictures, optional
        For every painting the part of the photograph that gets it: grey, white inside; None for what the others leave.
    keep_colors : bool
        Whether only the luminance gets the style.
    engine, device, precision, memory : str
        As the config keys.

    Returns
    -------
    PIL image
        RGB, of the size of the photograph.

    Raises
    ------
    UserError
        If an argument or a picture is invalid, or memory runs out; one line.
    """
    with plain_errors():
        if strength is not None and not 0 <= strength <= 1:
            raise UserError(f"stylize(): strength: {strength} is not a number from 0 to 1")
        held = Held("stylize()")
        name = held.name(content, "content")
        paintings = held.styles(style)
        regions = [mask if mask is None else held.name(mask, f"masks {n}") for n, mask in enumerate(masks or (), 1)]
        sources = PictureSources(held.pictures)
        choice = choose(engine, device, precision)
        allowed = memories.for_pictures(memories.limit(memory), choice.memory_factors)
        picture = images.reduce_to(sources.read(name), size)
        if isinstance(style, (str, os.PathLike)) and styles.is_trained(os.fspath(style)):
            places = [styles.REST if mask is None else mask for mask in regions]
            chosen = styles.read([os.fspath(style)], None, style_size, places or None)
            return to_pillow(chosen.stylizer(choice.load(), choice.precision, strength, keep_colors, allowed)(picture))
        if regions and len(regions) != len(paintings):
            raise UserError(f"stylize(): masks: {len(regions)} for {len(paintings)} paintings; expected one for each")
        stylizer = styles.of_paintings(
            Instant(choice.load(), choice.precision, tile_for(allowed)),
            [Painting(sources.read(each), weight) for each, weight in paintings.items()],
            style_size,
            [None if mask is None else sources.read_mask(mask) for mask in regions],
            strength,
            keep_colors,
        )
        return to_pillow(stylizer(picture))
