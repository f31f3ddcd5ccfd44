"""A style as the command names it: one or several paintings, or a trained style."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from styletransfer.config import find_input
from styletransfer.engines import Engine
from styletransfer.feedforward import style_file
from styletransfer.feedforward.instant import Instant, tile_for
from styletransfer.feedforward.paintings import STRENGTH, Painting, PaintingStylizer
from styletransfer.feedforward.stylize import Stylizer, finished
from styletransfer.pictures import images
from styletransfer.pictures.images import Picture
from styletransfer.pictures.masks import Mask
from styletransfer.support.errors import UserError
from styletransfer.support.files import hashed

REST = "rest"  # in place of a mask: what the other masks leave


class FrameStylizer(Protocol):
    """Gives pictures, or the frames of a video in order, a style."""

    @property
    def begin_shot(self) -> Callable[[], None] | None:
        """Is called before the first frame of every shot; None if shots make no difference."""

    def __call__(self, picture: Picture) -> Picture:
        """Give a picture (H, W, 3), RGB, 0..1, the style."""


@dataclass(frozen=True)
class _Finished:
    """Gives pictures a style, in the colours asked for; `begin_shot` is called before the first frame of a shot."""

    stylizer: Callable[[Picture], Picture]
    strength: float
    keep_colors: bool
    begin_shot: Callable[[], None] | None = None

    def __call__(self, picture: Picture) -> Picture:
        return finished(picture, self.stylizer(picture), self.strength, self.keep_colors)


class AnyStyle(Protocol):
    """A style to give to pictures.

    Attributes
    ----------
    name : str
        Part of the names of results.
    files : dict of Path
        The files that it is read from, by option.
    settings : dict of JSON values
        Tell it from other styles.
    """

    @property
    def name(self) -> str: ...

    @property
    def files(self) -> Mapping[str, Path]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def stylizer(
        self, engine: Engine, precision: str, strength: float | None, keep_colors: bool, memory: int | None
    ) -> FrameStylizer:
        """Make the function from a photograph to a picture, both (H, W, 3), RGB, 0..1.

        Parameters
        ----------
        engine : Engine
        precision : str
            float32 or bfloat16.
        strength : float, optional
            The share of the style, 0..1.
        keep_colors : bool
            Whether only the luminance gets the style.
        memory : int, optional
            The bytes that may be used, besides those of any process.
        """


@dataclass(frozen=True)
class TrainedStyle:
    """A style file."""

    path: Path
    style: style_file.Style

    @property
    def name(self) -> str:
        return self.style.record["name"]

    @property
    def files(self) -> Mapping[str, Path]:
        return {"--style": self.path}

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"--style": self.style.record["sha256"]}

    def stylizer(
        self, engine: Engine, precision: str, strength: float | None, keep_colors: bool, memory: int | None
    ) -> FrameStylizer:
        stylizer = Stylizer(self.style, engine, precision, memory)
        share = 1.0 if strength is None else strength
        return _Finished(stylizer, share, keep_colors)


@dataclass(frozen=True)
class PaintedStyle:
    """One or several paintings, blended by weight or each in the part of the photograph that a mask gives it."""

    paths: Sequence[Path]
    weights: Sequence[float]
    size: int | None = None
    masks: Sequence[Path | None] = field(default=())

    @property
    def name(self) -> str:
        return "+".join(path.stem for path in self.paths)

    @property
    def files(self) -> Mapping[str, Path]:
        masks = [mask for mask in self.masks if mask is not None]
        return {f"--style {path}": path for path in self.paths} | {f"--mask {path}": path for path in masks}

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "--style": [hashed(path, hashlib.sha256()) for path in self.paths],
            "--style-weights": list(self.weights),
            "--style-size": self.size,
            "--mask": [REST if mask is None else hashed(mask, hashlib.sha256()) for mask in self.masks],
        }

    def stylizer(
        self, engine: Engine, precision: str, strength: float | None, keep_colors: bool, memory: int | None
    ) -> FrameStylizer:
        paintings = [Painting(images.read(path), weight) for path, weight in zip(self.paths, self.weights)]
        masks = [None if mask is None else images.read_mask(mask) for mask in self.masks]
        painter = Instant(engine, precision, tile_for(memory))
        return of_paintings(painter, paintings, self.size, masks, strength, keep_colors)


def of_paintings(
    painter: Instant,
    paintings: Sequence[Painting],
    size: int | None,
    masks: Sequence[Mask | None],
    strength: float | None,
    keep_colors: bool,
) -> FrameStylizer:
    """Give pictures the style of paintings; see :class:`PaintedStyle` and :meth:`AnyStyle.stylizer`."""
    stylizer = PaintingStylizer(painter, paintings, STRENGTH if strength is None else strength, size, masks)
    return _Finished(stylizer, 1.0, keep_colors, stylizer.begin_shot)


def read(
    names: Sequence[str], weights: Sequence[float] | None, size: int | None, masks: Sequence[str] | None
) -> AnyStyle:
    """Find a style.

    Raises UserError if there is none, it cannot be used, or options do not go together.

    Parameters
    ----------
    names : sequence of str
        Paintings, or one trained style: the name of a bundled one, or a style file.
    weights : sequence of float, optional
        Of the paintings in their blend; by default, all the same.
    size : int, optional
        The long edge of the paintings in pixels; by default, that of the photograph.
    masks : sequence of str, optional
        For every painting the part of the photograph that gets it, or ``rest``.
    """
    trained = [name for name in names if is_trained(name)]
    if trained:
        for option, value in (("--style-weights", weights), ("--style-size", size), ("--mask", masks)):
            if value is not None:
                raise UserError(f"{option} is for paintings, and {trained[0]} is a trained style")
        if len(names) > 1:
            raise UserError(f"--style {trained[0]}: a trained style cannot be blended; expected paintings, or it alone")
        path = style_file.find(trained[0])
        return TrainedStyle(path, style_file.read(path))
    for option, given in (("--style-weights", weights), ("--mask", masks)):
        if given is not None and len(given) != len(names):
            raise UserError(f"{option}: {len(given)} for {len(names)} paintings; expected one for each")
    if masks and weights:
        raise UserError("--style-weights is for a blend; with --mask, each part has one painting")
    regions = [None if mask == REST else _file(mask) for mask in masks or ()]
    if regions.count(None) > 1:
        raise UserError(f"--mask: {REST} is given {regions.count(None)} times; expected once at most")
    return PaintedStyle([_file(name) for name in names], weights or [1.0] * len(names), size, regions)


def is_trained(name: str) -> bool:
    """Tell a trained style from a painting, by the suffix, or since there is no such file and it has no suffix."""
    path = find_input(name)
    if path.suffix.lower() == style_file.SUFFIX:
        return True
    return not path.is_file() and not path.suffix and len(path.parts) == 1


def _file(name: str) -> Path:
    path = find_input(name)
    if not path.is_file():
        raise UserError(f"picture {name}: no such file")
    return path
