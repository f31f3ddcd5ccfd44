"""The optimisation loop. It yields one record a step and does no input or output."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from styletransfer.errors import Diverged
from styletransfer.objective import Evaluation, Losses
from styletransfer.optimizers import Optimizer, gradient_norm


@dataclass(frozen=True)
class Record:
    """One step. Step 0 is the starting image before any update."""

    step: int
    scale: int
    losses: Losses
    relative_change: float  # |x - previous x| / |x|; not a number at step 0
    gradient_norm: float  # of content and style, before clipping
    learning_rate: float  # of the update that led here; not a number at step 0
    seconds: float  # since the start
    image: Any  # (1, 3, H, W), valid until the next record is asked for


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

    Raises
    ------
    Diverged
        If a loss or the gradient is no finite number.
    """
    started = time.monotonic() - elapsed
    previous = image.copy()
    evaluation = objective(image)

    def record(step: int, change: float, rate: float) -> Record:
        norm = gradient_norm(evaluation.gradient)
        if not math.isfinite(evaluation.losses.total) or not math.isfinite(norm):
            raise Diverged(f"step {step}: the loss is no finite number; try a smaller optimizer.learning_rate")
        return Record(step, scale, evaluation.losses, change, norm, rate, time.monotonic() - started, image)

    step = after or 0
    if after is None:
        yield record(0, math.nan, math.nan)
    moved = not last_change < stop.relative_change
    while moved and step < stop.max_iterations:
        moved = False
        with contextlib.closing(optimizer.advance(image, evaluation, objective)) as moves:
            for move in moves:
                evaluation, moved = move.evaluation, True
                step += 1
                change = relative_change(image, previous)
                image.copyto(previous)
                yield record(step, change, move.learning_rate)
                if change < stop.relative_change or step >= stop.max_iterations:
                    return


def relative_change(image: Any, previous: Any) -> float:
    """|x_t - x_{t-1}| / |x_t|, the stopping rule of the MXNet system."""
    size = gradient_norm(image)
    return gradient_norm(image - previous) / size if size > 0 else math.inf
