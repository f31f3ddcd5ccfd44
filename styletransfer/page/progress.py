"""The progress of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from styletransfer.config import Config
from styletransfer.page import runs
from styletransfer.session import curves, picture_sizes, resolve
from styletransfer.session.curves import Curve
from styletransfer.support.errors import UserError

CURVE = "curve.csv"
_RECENT = 10  # steps from which the time of a step is estimated


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes
    ----------
    picture : Path, or None
        The newest.
    step : int
        The last one written.
    steps : int
        The largest number of steps at all scales; 0 if unknown.
    seconds_left : float, or None
        If it makes all of them.
    """

    picture: Path | None
    curve: Curve | None
    step: int
    steps: int
    seconds_left: float | None


def read(folder: Path, config: Config) -> Progress:
    """Read the progress of the run in a folder."""
    scales = scales_of(config)
    curve = curve_of(folder)
    last = -1 if curve is None else int(curve.column("step")[-1])
    return Progress(
        runs.newest(folder),
        curve,
        max(0, last),
        sum(steps for steps, _ in scales),
        None if curve is None else seconds_left(curve, scales),
    )


def scales_of(config: Config) -> list[tuple[int, int]]:
    """The largest number of steps, and the pixels of the image, at every scale; none if a picture is gone."""
    try:
        sizes = picture_sizes.read_sizes(config)
    except UserError:
        return []
    return [(steps, size.height * size.width) for steps, size in zip(config.steps[-len(sizes) :], sizes)]


def curve_of(folder: Path) -> Curve | None:
    """The losses of the run in a folder so far; None if there are none."""
    try:
        return curves.read(folder / CURVE)
    except UserError:
        return None


def seconds_left(curve: Curve, scales: Sequence[tuple[int, int]]) -> float | None:
    """The time that the steps left will take, if each takes as long as the recent ones, for every pixel.

    Parameters
    ----------
    curve : Curve
        So far.
    scales : sequence of (steps, pixels)
    """
    steps, numbers, seconds = (curve.column(name) for name in ("step", "scale", "seconds"))
    scale = int(numbers[-1])
    begun = numbers.index(scale)
    first, last = max(begun, len(numbers) - 1 - _RECENT), len(numbers) - 1
    if first == last or scale >= len(scales):
        return None
    of_a_step = (seconds[last] - seconds[first]) / (steps[last] - steps[first])
    most, pixels = scales[scale]
    left = max(0.0, most - (steps[last] - steps[begun]))
    return of_a_step * (left + sum(count * size / pixels for count, size in scales[scale + 1 :]))


def seconds_of_a_pixel(folder: Path, config: Config) -> float | None:
    """The time that a step of a finished run took, over the pixels of the image."""
    curve, scales = curve_of(folder), scales_of(config)
    work = sum(steps * pixels for steps, pixels in scales)
    if curve is None or not work or curve.column("step")[-1] != sum(steps for steps, _ in scales):
        return None
    return curve.column("seconds")[-1] / work


def estimate(config: Config, seconds: float | None) -> tuple[int | None, float | None]:
    """The memory in bytes and the time in seconds that a run will take.

    Parameters
    ----------
    seconds : float, or None
        The time of a step over the pixels of the image, from an earlier run.
    """
    work = sum(steps * pixels for steps, pixels in scales_of(config))
    return resolve.peak_memory(config), None if seconds is None or not work else seconds * work
