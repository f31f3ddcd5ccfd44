"""The optimisation loop. It yields one record per step and does no I/O."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styletransfer.engines import Array, Engine
from styletransfer.losses.objective import Evaluation, Losses
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.optimizers import Optimizer
from styletransfer.support.errors import Diverged


@dataclass(frozen=True)
class Record:
    """One step. Step 0 is the initial image before any update.

    The record of a step that was rolled back, or with which the run diverged, describes the rejected image: its losses
    may be non-finite.
    """

    step: int
    scale: int
    losses: Losses
    relative_change: float  # |x - previous x| / |x|; NaN at step 0 and after a rollback
    gradient_norm: float  # of content and style, before clipping
    learning_rate: float  # of the update that led here; NaN at step 0
    seconds: float  # since the start
    image: Array  # (1, 3, H, W), the result so far; valid until the next record is requested
    engine: Engine  # of the image
    rollback: str | None = None  # for a step that was rolled back: why, and to which step; one line
    diverged: bool = False  # whether the run ends here, after too many rollbacks; the image is the best one

    def values(self) -> NDArray[np.float32]:
        """A copy of the image, (1, 3, H, W), in the pixel space of the run."""
        return self.engine.numpy(self.image)


@dataclass(frozen=True)
class StoppingRule:
    """The end of the loop: at a step, or as soon as |x - previous x| / |x| falls below `relative_change`."""

    max_iterations: int
    relative_change: float = 0.0


def optimize(
    engine: Engine,
    image: Array,
    objective: Callable[[Array], Evaluation],
    optimizer: Optimizer,
    stop: StoppingRule,
    scale: int = 0,
    after: int | None = None,
    elapsed: float = 0.0,
    last_change: float = math.nan,
    guard: Guard | None = None,
) -> Generator[Record, None, None]:
    """Update `image` in place until the stopping rule holds, or the optimiser makes no more moves.

    Raises Diverged: see :class:`Guard`; raised after the record of that step was yielded. The image is the best one
    kept.

    Parameters
    ----------
    engine : Engine
        Of the image.
    image : array (1, 3, H, W)
    objective, optimizer, stop
    scale : int
        Written into the records.
    after : int, optional
        The step that `image` and `optimizer` have already reached; the first record is that of the next step. By
        default, the first record is step 0, the image as given.
    elapsed : float
        Seconds spent before resuming.
    last_change : float
        The relative change of the step `after`, which may already satisfy the stopping rule.
    guard : Guard, optional
        Rolls back steps that diverge; by default a new one.
    """
    guard = guard or Guard(engine)
    started = time.monotonic() - elapsed
    previous = engine.copy(image)
    lengths: Callable[[], list[float]] = list  # of the image last evaluated, and of its change

    def evaluated(image: Array) -> Evaluation:
        nonlocal lengths
        found = objective(image)
        lengths = found.numbers.ask([engine.norm(image), engine.norm(image - previous)])
        return found

    evaluation = objective(image)
    step = after or 0

    def record(change: float, rate: float, rollback: str | None = None, diverged: bool = False) -> Record:
        seconds = time.monotonic() - started
        result = optimizer.result(image)
        length = evaluation.norm
        return Record(step, scale, evaluation.losses, change, length, rate, seconds, result, engine, rollback, diverged)

    try:
        guard.start(step, evaluation.losses.total, evaluation.norm, image, optimizer)
    except Diverged:
        if after is None:
            yield record(math.nan, math.nan, diverged=True)
        raise
    if after is None:
        yield record(math.nan, math.nan)
    moved = not last_change < stop.relative_change
    if not moved or step >= stop.max_iterations:
        optimizer.finish(image)
    while moved and step < stop.max_iterations:
        moved, problem, rate = False, None, math.nan
        with contextlib.closing(optimizer.advance(image, evaluation, evaluated)) as moves:
            for move in moves:
                evaluation, rate, moved = move.evaluation, move.learning_rate, True
                step += 1
                problem = guard.problem(step, evaluation.losses.total, evaluation.norm, move.trial)
                if problem:
                    break
                change = relative_change(*lengths())
                engine.assign(previous, image)
                guard.keep_best(step, evaluation.losses.total, image, optimizer)
                yield record(change, rate)
                if change < stop.relative_change or step >= stop.max_iterations:
                    return
        if problem:
            try:
                rollback = guard.roll_back(step, problem, image, optimizer)
            except Diverged:
                yield record(math.nan, rate, diverged=True)
                raise
            engine.assign(previous, image)
            yield record(math.nan, rate, rollback)
            evaluation = objective(image)


def relative_change(length: float, change: float) -> float:
    """|x_t - x_{t-1}| / |x_t|, the stopping rule of the MXNet system."""
    return change / length if length > 0 else math.inf
