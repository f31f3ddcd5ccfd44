"""The style of one or several paintings, for photographs of any size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from styletransfer.feedforward.instant import Instant, Regions, Shot, Style, blended
from styletransfer.pictures import images, masks
from styletransfer.pictures.images import Picture
from styletransfer.pictures.masks import Mask

STRENGTH = 0.7  # by default: the painting's strokes and colours, with faces that stay faces
_SIZES = 4  # of photographs for which statistics are kept


@dataclass(frozen=True)
class Painting:
    """A painting (H, W, 3), RGB, 0..1, with its weight in a blend."""

    picture: Picture
    weight: float = 1.0


class PaintingStylizer:
    """Gives photographs the style of paintings.

    The statistics of the paintings are found once for every size.

    Parameters
    ----------
    instant : Instant
    paintings : sequence of Painting
        Blended by weight; with masks, one for every mask.
    strength : float
        See :class:`~styletransfer.feedforward.instant.Instant`.
    style_size : int, optional
        The long edge to which paintings are resized; by default, that of the photograph.
    regions : sequence of masks, or None for the rest
        The parts of the photograph, (H, W), 0..1, that get one painting each; they are resized to each photograph.
    """

    def __init__(
        self,
        instant: Instant,
        paintings: Sequence[Painting],
        strength: float = STRENGTH,
        style_size: int | None = None,
        regions: Sequence[Mask | None] = (),
    ) -> None:
        self._instant, self._paintings, self._strength = instant, paintings, strength
        self._size, self._regions = style_size, regions
        self._styles: OrderedDict[int, list[Style]] = OrderedDict()
        self._shot: Shot | None = None

    def begin_shot(self) -> None:
        """Take the next photograph as the first frame of a shot: all that follow are moved as it is."""
        self._shot = {}

    def __call__(self, photograph: Picture) -> Picture:
        """Paint a photograph, (H, W, 3), RGB, 0..1.

        Raises UserError if the regions overlap, or do not cover it.
        """
        height, width = photograph.shape[:2]
        styles = self._at(self._size or max(height, width))
        if self._regions:
            resized = [None if mask is None else images.resize(mask, height, width) for mask in self._regions]
            masks.check(resized, height, width)
            regions: Regions = list(zip(masks.divided(resized, height, width), styles))
        else:
            regions = [(None, blended([(each.weight, style) for each, style in zip(self._paintings, styles)]))]
        return self._instant(photograph, regions, self._strength, self._shot)

    def _at(self, long_edge: int) -> list[Style]:
        """Find the statistics of the paintings at a size."""
        if long_edge not in self._styles:
            while len(self._styles) >= _SIZES:
                self._styles.popitem(last=False)
            self._styles[long_edge] = [
                self._instant.style(images.resize_to(painting.picture, long_edge)) for painting in self._paintings
            ]
        self._styles.move_to_end(long_edge)
        return self._styles[long_edge]
