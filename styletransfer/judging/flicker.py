"""The flicker of a trained style in videos, measured where the motion is known.

A camera pans over a photograph: every frame is a part of it, a few whole pixels from the one before, with noise of its
own. What two consecutive frames both show can then be compared exactly, before and after the style was given to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from styletransfer.pictures.images import Picture
from styletransfer.training.stability import overlap

STEPS = ((1, 2), (-1, 3), (2, 1), (-2, 2))  # rows and columns between frames, again and again; 8 columns in all
BORDER = 16  # pixels along the edges that are not compared: there the networks see beyond the frame


def pan(photograph: Picture, frames: int, noise: float) -> Iterator[tuple[Picture, tuple[int, int]]]:
    """Frames of a pan over a photograph, each with its step from the one before, in rows and columns.

    Parameters
    ----------
    photograph : array (H, W, 3), RGB, 0..1
    frames : int
        Their number; they are smaller than the photograph by as much as the camera moves.
    noise : float
        The standard deviation of the noise, in grey levels of 0..255.
    """
    generator = np.random.default_rng(0)
    steps = [(0, 0), *(STEPS[number % len(STEPS)] for number in range(frames - 1))]
    places = np.cumsum(steps, axis=0)
    places -= places.min(axis=0)
    height, width = np.array(photograph.shape[:2]) - places.max(axis=0)
    for (top, left), (rows, columns) in zip(places, steps):
        frame = photograph[top : top + height, left : left + width]
        yield np.clip(frame + generator.normal(0, noise / 255, frame.shape), 0, 1).astype(np.float32), (rows, columns)


def flicker(
    photograph: Picture, stylise: Callable[[Picture], Picture], frames: int = 9, noise: float = 2.0
) -> tuple[float, float]:
    """The mean absolute difference between consecutive frames after undoing the motion, in grey levels of 0..255.

    Parameters
    ----------
    photograph : array (H, W, 3), RGB, 0..1
    stylise : callable
        From a frame to a picture of its size; if it has a method ``begin_shot``, that is called first.
    noise : float
        As for :func:`pan`.

    Returns
    -------
    before, after : float
        That of the frames, which is due to their noise, and that of what `stylise` makes of them.
    """
    differences: list[tuple[float, float]] = []
    last: tuple[Picture, Picture] | None = None
    if begin := getattr(stylise, "begin_shot", None):
        begin()
    for frame, step in pan(photograph, frames, noise):
        now = frame, stylise(frame)
        if last is not None:
            differences.append((difference(last[0], now[0], step), difference(last[1], now[1], step)))
        last = now
    before, after = np.mean(differences, axis=0)
    return float(before), float(after)


def difference(one: Picture, other: Picture, step: tuple[int, int]) -> float:
    """The mean absolute difference of two frames in what both show, in grey levels; `step` leads to the second."""
    seen = [overlap(shift, length) for shift, length in zip(step, one.shape[:2])]
    first, second = (picture[seen[0][number], seen[1][number]] for number, picture in enumerate((one, other)))
    inside = slice(BORDER, -BORDER)
    return 255 * float(np.abs(first[inside, inside] - second[inside, inside]).mean(dtype=np.float64))
