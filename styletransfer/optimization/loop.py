"""The optimisation loop. It yields one record a step and does no input or output."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from styletransfer.losses.objective import Evaluation, Losses
from styletransfer.network.arithmetic import norm
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.optimizers import Optimizer
from styletransfer.support.errors import Diverged


@dataclass(frozen=True)
class Record:
    """One step. Step 0 is the starting image before any update.

    A step that was taken back, or with which the run diverged, tells of the image that was left: its losses may be no
    finite numbers.
    """

    step: int
    scale: int
    losses: Losses
    relative_change: float  # |x - previous x| / |x|; not a number at step 0 or taken back
    gradient_norm: float  # of content and style, before clipping
    learning_rate: float  # of the update that led here; not a number at step 0
    seconds: float  # since the start
    image: Any  # (1, 3, H, W), valid until the next record is asked for
    taken_back: str | None = None  # why, and to where; one line
    diverged: bool = False  # whether the run ends here, as going back no longer helps; the image is the best one


@dataclass(frozen=True)
class Stop:
    """When the loop ends: at a step, or as soon as |x - previous x| / |x| falls below `relative_change`."""

    max_iterations: int
    relative_change: float = 0.0


def optimize(
    image: Any,
    objective: Callable[[Any], Evaluation],
    optimizer: Optimizer,
    stop: Stop,
    scale: int = 0,
    after: int | None = None,
    elapsed: float = 0.0,
    last_change: float = math.nan,
    guard: Guard | None = None,
) -> Generator[Record, None, None]:
    """Move `image` in place until the stopping rule holds, or the optimiser makes no more moves.

    Parameters
    ----------
    image : array (1, 3, H, W)
    objective, optimizer, stop
    scale : int
        Written into the records.
    after : int, optional
        The step that `image` and `optimizer` have already reached; the first record is that of the next step. Without,
        it is step 0, the image as it is.
    elapsed : float
        Seconds spent before.
    last_change : float
        The relative change of the step `after`, at which the run may have been about to end.
    guard : Guard, optional
        What takes steps back that diverge. Without, a new one.

    Raises
    ------
    Diverged
        As the guard says, behind the record of that step; the image is the best one that it kept.
    """
    guard = guard or Guard()
    started = time.monotonic() - elapsed
    previous = image.copy()
    evaluation = objective(image)
    length = norm(evaluation.gradient)
    step = after or 0

    def record(change: float, rate: float, taken_back: str | None = None, diverged: bool = False) -> Record:
        seconds = time.monotonic() - started
        return Record(step, scale, evaluation.losses, change, length, rate, seconds, image, taken_back, diverged)

    try:
        guard.start(step, evaluation.losses.total, length, image, optimizer)
    except Diverged:
        if after is None:
            yield record(math.nan, math.nan, diverged=True)
        raise
    if after is None:
        yield record(math.nan, math.nan)
    moved = not last_change < stop.relative_change
    if not moved or step >= stop.max_iterations:
        optimizer.settle(image)
    while moved and step < stop.max_iterations:
        moved, trouble, rate = False, None, math.nan
        with contextlib.closing(optimizer.advance(image, evaluation, objective)) as moves:
            for move in moves:
                evaluation, rate, moved = move.evaluation, move.learning_rate, True
                step += 1
                length = norm(evaluation.gradient)
                trouble = guard.trouble(step, evaluation.losses.total, length, move.trial)
                if trouble:
                    break
                change = relative_change(image, previous)
                image.copyto(previous)
                guard.keep_best(step, evaluation.losses.total, image, optimizer)
                yield record(change, rate)
                if change < stop.relative_change or step >= stop.max_iterations:
                    return
        if trouble:
            try:
                taken_back = guard.go_back(step, trouble, image, optimizer)
            except Diverged:
                yield record(math.nan, rate, diverged=True)
                raise
            image.copyto(previous)
            yield record(math.nan, rate, taken_back)
            evaluation = objective(image)


def relative_change(image: Any, previous: Any) -> float:
    """|x_t - x_{t-1}| / |x_t|, the stopping rule of the MXNet system."""
    size = norm(image)
    return norm(image - previous) / size if size > 0 else math.inf
