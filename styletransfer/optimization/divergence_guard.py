"""The divergence guard: it keeps the best state of a run and rolls back to it with smaller steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from styletransfer.engines import Array, Engine
from styletransfer.optimization.optimizers import Optimizer
from styletransfer.support.errors import Diverged

CHECK_EVERY = 10  # steps between checks of the total
EXPLOSION = 100.0  # times the total at the start of the scale
STEP_FACTOR = 0.5  # applied to the step size at every rollback
MAX_ROLLBACKS = 5


class Guard:
    """Watches the steps of a run.

    One state is kept in memory: first the one at the start of the scale; then, checked every tenth step, any state with
    a lower total than the one kept. So it is also the best image so far.

    A step is rolled back if the total or the norm of the gradient is not finite; every tenth step, also if the total
    exceeds 100 times that at the start of the scale (unless that is 0). Transient spikes in between are tolerated. A
    trial of a line search may be arbitrarily bad as long as it is finite: L-BFGS-B rejects it itself.

    A rollback restores the image and the optimiser of the kept state and halves the step size permanently. The step
    count is not reset. A run is rolled back at most 5 times over all scales; after that it has diverged.

    Parameters
    ----------
    state : nested dictionary of arrays, optional
        From :meth:`state` of an earlier run, which this one resumes.
    """

    def __init__(self, engine: Engine, state: Mapping[str, Any] | None = None) -> None:
        self._engine = engine
        state = dict(state or {})
        self._rollbacks = int(state.pop("tries", 0))
        self._start_total = float(state.pop("start_total", math.nan))
        self._kept = state  # step, total, image, and the optimiser's

    def start(self, step: int, total: float, norm: float, image: Array, optimizer: Optimizer) -> None:
        """Keep the state at the start of a scale, unless the guard resumes within one.

        Raises Diverged if either number is not finite: there is nothing to roll back to.

        Parameters
        ----------
        step : int
            Steps made so far.
        total, norm : float
            The loss of the image and the norm of its gradient.
        image : array (1, 3, H, W)
        """
        if self._kept:
            return
        problem = self.problem(step, total, norm, trial=True)
        if problem:
            raise Diverged(f"step {step}: {problem}, before any update at this size")
        self._start_total = total
        self._keep(step, total, image, optimizer)

    def problem(self, step: int, total: float, norm: float, trial: bool) -> str | None:
        """Return the reason to roll back a step, or None; for the parameters see :meth:`start` and `Move`."""
        if not (math.isfinite(total) and math.isfinite(norm)):
            return "the loss or its gradient is not finite"
        if not trial and step % CHECK_EVERY == 0 and 0 < EXPLOSION * self._start_total < total:
            return f"the loss is more than {EXPLOSION:g} times that at the start"
        return None

    def keep_best(self, step: int, total: float, image: Array, optimizer: Optimizer) -> None:
        """At every tenth step, keep a state if it is better than the one kept."""
        if step % CHECK_EVERY == 0 and total < self._kept["total"]:
            self._keep(step, total, image, optimizer)

    def _keep(self, step: int, total: float, image: Array, optimizer: Optimizer) -> None:
        self._kept = {}  # free it first: do not hold two states in memory
        self._kept = {
            "step": np.array(step),
            "total": np.array(total),
            "image": self._engine.numpy(image),
            "optimizer": optimizer.rollback_state(),
        }

    def roll_back(self, step: int, problem: str, image: Array, optimizer: Optimizer) -> str:
        """Restore image and optimiser from the kept state, with smaller steps; returns one line for the log.

        Raises Diverged if the run was rolled back too often; the image is the best one.
        """
        self._engine.assign(image, self._kept["image"])
        state = self._kept["optimizer"]
        if self._rollbacks >= MAX_ROLLBACKS:
            optimizer.roll_back(state, 1.0)  # its result is the best one too
            raise Diverged(
                f"step {step}: {problem}; {MAX_ROLLBACKS} rollbacks with smaller steps did not help; "
                f"try a smaller {optimizer.step_key}"
            )
        self._rollbacks += 1
        optimizer.roll_back(state, STEP_FACTOR)
        return (
            f"step {step}: {problem}; rolled back to step {self._kept['step']} with steps {STEP_FACTOR:g} times "
            f"as long ({self._rollbacks} of {MAX_ROLLBACKS})"
        )

    def end_scale(self) -> None:
        """Discard the kept state; the next scale starts with its own."""
        self._kept = {}

    def state(self) -> dict[str, Any]:
        """Everything a new guard needs to resume exactly."""
        return {"tries": np.array(self._rollbacks), "start_total": np.array(self._start_total), **self._kept}
