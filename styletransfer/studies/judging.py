"""Judging pictures: how close each is to a painting's style and to a photograph's content, by every available judge.

A picture is optimised for the network that made it, so other networks judge it: those of `eyes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from styletransfer import config as configs
from styletransfer.pictures import images
from styletransfer.pictures.images import Picture
from styletransfer.run import inputs
from styletransfer.run.display import Display
from styletransfer.run.pyramid import Pyramid
from styletransfer.run.resolve import resolve
from styletransfer.studies.eyes import Judge
from styletransfer.support.optional import optional


@dataclass(frozen=True)
class Distances:
    """The distances of one picture according to one judge.

    Attributes
    ----------
    style_layers, untouched_layers : dict of float
        The style distances by layer: of the picture, and of the photograph itself.
    content : float
        The content distance.
    """

    style_layers: Mapping[str, float]
    untouched_layers: Mapping[str, float]
    content: float

    @property
    def style(self) -> float:
        """The style distance of the picture."""
        return float(np.mean(list(self.style_layers.values())))

    @property
    def untouched(self) -> float:
        """The style distance of the photograph itself."""
        return float(np.mean(list(self.untouched_layers.values())))


@dataclass(frozen=True)
class Verdict:
    """The distances of one picture by the name of the judge, and the cost of making it."""

    style: str
    by: Mapping[str, Distances]
    steps: int
    seconds: float


def judge(network: Judge, picture: Picture, photograph: Picture, painting: Picture) -> Distances:
    """Judge a picture (H, W, 3), RGB 0..1, made of a photograph of the same size and a painting of any."""
    return Distances(
        network.style_distances(picture, painting),
        network.style_distances(photograph, painting),
        network.content_distance(picture, photograph),
    )


def verdicts(
    content: str,
    styles: Sequence[str],
    pictures: Sequence[str] | None,
    size: int,
    assignments: Sequence[str],
    judges: Sequence[Judge],
    folder: Path | None,
) -> Iterator[Verdict]:
    """Judge one picture per style: the given ones, or pictures made with the default preset and `assignments`.

    All pictures are judged at the long edge `size`, and written to `folder` if it is given.

    Raises
    ------
    UserError
        If a file cannot be used.
    """
    photograph = _at_size(images.read(content), size)
    for number, style in enumerate(styles):
        painting = _at_size(images.read(style), size)
        if pictures is None:
            picture, steps, seconds = _make(content, style, size, assignments)
        else:
            picture, steps, seconds = images.read(pictures[number]), 0, 0.0
        picture = images.resize(picture, *photograph.shape[:2])
        if folder:
            path = folder / f"{Path(style).stem}.png"
            with optional(path):
                folder.mkdir(parents=True, exist_ok=True)
                images.write(path, picture)
        by = {network.name: judge(network, picture, photograph, painting) for network in judges}
        yield Verdict(style, by, steps, seconds)


def _at_size(picture: Picture, long_edge: int) -> Picture:
    return images.resize(picture, *images.fit(picture.shape[0], picture.shape[1], long_edge))


def _make(content: str, style: str, size: int, assignments: Sequence[str]) -> tuple[Picture, int, float]:
    """Make a picture; also returns the steps and seconds it took."""
    values = {"content": {"image": content}, "style": {"images": style}, "size": size}
    plan = resolve(configs.parse(configs.override(values, assignments), "the command line"))
    pictures = inputs.read_pictures(plan)
    for record in Pyramid(plan, pictures, inputs.load_parameters(plan)).records():
        last = record
    picture = Display(plan, pictures).picture(last.image.asnumpy())
    return images.to_bytes(picture) / 255.0, last.step, last.seconds
