"""Judging pictures: how close each is to a painting's style and to a photograph's content, by every available judge.

A picture is optimised for the network that made it, so other networks judge it: those of `judges.py`. Either distance
can be bought with the other, so pictures are compared by both, as points of a plot; and by their flaws, of `flaws.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from styletransfer import config as configs
from styletransfer.judging import flaws
from styletransfer.judging.judges import Judge
from styletransfer.pictures import images, marks, plots
from styletransfer.pictures.images import Picture
from styletransfer.session import inputs
from styletransfer.session.display import Display
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve
from styletransfer.support import overwriting
from styletransfer.support.commands import one_line
from styletransfer.support.errors import UserError
from styletransfer.support.optional import optional

_LEAST_NOISE = 1e-4  # of a painting; less is rounding to 8 bits


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
class Flaws:
    """The flaws of a picture, and of the painting whose style it has.

    Attributes
    ----------
    clipped, clipped_of_painting : float
        The shares of clipped values.
    chroma_noise : float
        Relative to the painting's.
    """

    clipped: float
    clipped_of_painting: float
    chroma_noise: float


@dataclass(frozen=True)
class Case:
    """The files of a photograph, of a painting, and of the picture to judge; None if it is to be made."""

    content: str
    style: str
    picture: str | None

    @property
    def name(self) -> str:
        """The name of the picture's file, or of the painting's if it is to be made."""
        return Path(self.picture or self.style).name


@dataclass(frozen=True)
class Verdict:
    """The distances of one picture by the name of the judge, its flaws, and the cost of making it."""

    case: Case
    by: Mapping[str, Distances]
    flaws: Flaws
    steps: int
    seconds: float


def cases(contents: Sequence[str], styles: Sequence[str], pictures: Sequence[str] | None) -> list[Case]:
    """One case for each item of the longest list; a list of one item is used for all.

    Raises UserError if lists differ in length.
    """
    lists: dict[str, Sequence[Any]] = {"--content": contents, "--style": styles, "--pictures": pictures or [None]}
    count = max(map(len, lists.values()))
    for option, items in lists.items():
        if len(items) not in (1, count):
            raise UserError(f"{option}: expected 1 or {count} files, as many as the longest list, found {len(items)}")
    return [Case(*(items[number % len(items)] for items in lists.values())) for number in range(count)]


def judge(network: Judge, picture: Picture, photograph: Picture, painting: Picture) -> Distances:
    """Judge a picture (H, W, 3), RGB 0..1, made of a photograph of the same size and a painting of any."""
    return Distances(
        network.style_distances(picture, painting),
        network.style_distances(photograph, painting),
        network.content_distance(picture, photograph),
    )


def judge_cases(
    wanted: Sequence[Case], size: int, assignments: Sequence[str], judges: Sequence[Judge], folder: Path | None
) -> Iterator[Verdict]:
    """Judge pictures: the given ones, or new ones, made with the default settings and `assignments`.

    All are judged at the long edge `size`, the painting too, and written to `folder` if it is given.

    Raises UserError if a file cannot be used.
    """
    for case in wanted:
        photograph, painting = (images.resize_to(images.read(file), size) for file in (case.content, case.style))
        if case.picture is None:
            whole, steps, seconds = _make(case.content, case.style, size, assignments)
        else:
            whole, steps, seconds = images.read(case.picture), 0, 0.0
        picture = images.resize(whole, *photograph.shape[:2])
        if folder:
            path = _target(folder, case)
            with optional(path):
                folder.mkdir(parents=True, exist_ok=True)
                images.write(path, picture, mark=marks.JUDGED)
        by = {network.name: judge(network, picture, photograph, painting) for network in judges}
        noise = flaws.chroma_noise(picture) / max(flaws.chroma_noise(painting), _LEAST_NOISE)
        # Resizing hides clipped values, so they are counted in the files.
        seen = Flaws(flaws.clipped(whole), flaws.clipped(images.read(case.style)), noise)
        yield Verdict(case, by, seen, steps, seconds)


def plot(path: Path, judged: Sequence[Verdict]) -> None:
    """Plot style distance against content distance as a PNG, one panel for each judge; down and left is better.

    Pictures of the same photograph and painting have one colour, and are joined in their order.
    """
    figure = plots.figure(figsize=(7 * len(judged[0].by), 5.5), layout="constrained")
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in judged:
        groups.setdefault((verdict.case.content, verdict.case.style), []).append(verdict)
    for axes, name in zip(figure.subplots(1, len(judged[0].by), squeeze=False)[0], judged[0].by):
        axes.set(title=name, xlabel="content distance", ylabel="style distance")
        axes.grid(True, alpha=0.2)
        for (content, style), verdicts_of_pair in groups.items():
            points = [(verdict.by[name].content, verdict.by[name].style) for verdict in verdicts_of_pair]
            axes.plot(*zip(*points), "o-", linewidth=1, label=f"{Path(content).stem} x {Path(style).stem}")
            for verdict, point in zip(verdicts_of_pair, points):
                text = one_line(Path(verdict.case.name).stem)
                axes.annotate(text, point, (4, 4), textcoords="offset points", fontsize=7, parse_math=False)
        axes.set(xlim=(0, None), ylim=(0, None))
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)  # a name may have dollar signs
    plots.write(path, figure, marks.JUDGED)


def check_output(
    wanted: Sequence[Case], folder: Path | None, plotted: Path | None, weights: Mapping[str, Path], force: bool
) -> None:
    """Check that the pictures of :func:`judge_cases` and the plot can be written.

    Raises UserError if two pictures have the same name, or a file would be overwritten.

    Parameters
    ----------
    folder, plotted : Path, optional
        Where they go.
    weights : dict of Path
        The files that the judges read, by the options that name them.
    force : bool
        Whether files may be overwritten that were not written for a verdict.
    """
    targets: dict[Path, str] = {}
    for case in wanted if folder else ():
        target, source = _target(folder, case), case.picture or case.style  # type: ignore[arg-type]
        if target in targets:
            raise UserError(f"--output: {targets[target]} and {source} would both become {target}; rename one")
        targets[target] = source
    named = {name: Path(name) for case in wanted for name in (case.content, case.style, case.picture) if name}
    written = [*targets, *([plotted] if plotted else [])]
    overwriting.check(written, {**weights, **named}, force, lambda path: marks.read(path) == marks.JUDGED)


def _target(folder: Path, case: Case) -> Path:
    return folder / f"{Path(case.name).stem}.png"


def _make(content: str, style: str, size: int, assignments: Sequence[str]) -> tuple[Picture, int, float]:
    """Make a picture; also returns the steps and seconds it took."""
    values = {"content": {"image": content}, "style": {"images": style}, "size": size}
    plan = resolve(configs.parse(configs.override(values, assignments), "the command line"))
    pictures = inputs.read_pictures(plan)
    for record in Pyramid(plan, pictures, inputs.load_parameters(plan)).records():
        last = record
    picture = Display(plan, pictures).picture(last.values())
    return images.to_bytes(picture) / 255.0, last.step, last.seconds
