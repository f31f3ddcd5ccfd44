"""Pictures judged: how close each comes to a painting's style and to a photograph's content, by every eye there is.

A picture made with a network pleases that network; others judge it, the eyes of `eyes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from styletransfer import config as configs
from styletransfer.pictures import images, pixels
from styletransfer.pictures.images import Picture
from styletransfer.run import inputs
from styletransfer.run.pyramid import Pyramid
from styletransfer.run.resolve import resolve
from styletransfer.studies.eyes import Eye


@dataclass(frozen=True)
class Distances:
    """What one eye says of one picture.

    Attributes
    ----------
    style_layers, untouched_layers : dict of float
        The style distance in every layer: of the picture, and of the photograph itself.
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
    """What is said of one picture: by every eye, by its name; and what it took to make it."""

    style: str
    by: Mapping[str, Distances]
    steps: int
    seconds: float


def judge(eye: Eye, picture: Picture, photograph: Picture, painting: Picture) -> Distances:
    """Judge a picture (H, W, 3), RGB 0..1, made of a photograph of the same size and a painting of any."""
    return Distances(
        eye.style_distances(picture, painting),
        eye.style_distances(photograph, painting),
        eye.content_distance(picture, photograph),
    )


def verdicts(
    content: str,
    styles: Sequence[str],
    pictures: Sequence[str] | None,
    size: int,
    assignments: Sequence[str],
    eyes: Sequence[Eye],
    folder: Path | None,
) -> Iterator[Verdict]:
    """Judge a picture for every style: those given, or ones made with the default preset and `assignments`.

    Everything is judged at the long edge `size`. Pictures that are made are kept in `folder`, if there is one.

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
            folder.mkdir(parents=True, exist_ok=True)
            images.write(folder / f"{Path(style).stem}.png", picture)
        by = {eye.name: judge(eye, picture, photograph, painting) for eye in eyes}
        yield Verdict(style, by, steps, seconds)


def _at_size(picture: Picture, long_edge: int) -> Picture:
    return images.resize(picture, *images.fit(picture.shape[0], picture.shape[1], long_edge))


def _make(content: str, style: str, size: int, assignments: Sequence[str]) -> tuple[Picture, int, float]:
    """The picture, and the steps and seconds it took."""
    values = {"content": {"image": content}, "style": {"images": style}, "size": size}
    plan = resolve(configs.parse(configs.override(values, assignments), "the command line"))
    for record in Pyramid(plan, inputs.read_pictures(plan), inputs.load_parameters(plan)).records():
        last = record
    picture = images.denoise(pixels.to_picture(last.image.asnumpy(), plan.pixels), plan.output.denoise)
    return images.to_bytes(picture) / 255.0, last.step, last.seconds
