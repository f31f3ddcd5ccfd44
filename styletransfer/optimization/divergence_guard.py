"""The guard against divergence: it keeps the best state of a run, to which the run goes back with smaller steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from styletransfer.optimization.optimizers import Optimizer
from styletransfer.support.errors import Diverged

EVERY = 10  # steps between looks at the total
EXPLODED = 100.0  # times the total of the scale's start
FACTOR = 0.5  # of the step, whenever a run goes back
TRIES = 5
_OPTIMIZER = "optimizer."


class Guard:
    """Watches the steps of a run.

    One state is kept, in memory: at first that with which the scale starts; then, looked at every tenth step, any
    whose total is lower than that of the state kept. So it is also the best image seen.

    A step is taken back where the total or the norm of the gradient is no finite number. At every tenth step it also is
    where the total exceeds 100 times that of the scale's start (if that is not 0); noise that passes in between is let
    pass. A trial of a line search may be as bad as it likes, as long as it is finite: L-BFGS-B itself takes it back.

    To take a step back is to go on from the state kept, image and optimiser, with steps half as long, for good. The
    count of steps goes on. It is done 5 times in a run at most, whatever the scales; then the run has diverged.

    Parameters
    ----------
    state : dict of arrays, optional
        What :meth:`state` said of an earlier run, which this one goes on with.
    """

    def __init__(self, state: Mapping[str, NDArray] | None = None) -> None:
        state = dict(state or {})
        self._tries = int(state.pop("tries", 0))
        self._start_total = float(state.pop("start_total", math.nan))
        self._kept = state  # step, total, image, and the optimiser's

    def start(self, step: int, total: float, norm: float, image: Any, optimizer: Optimizer) -> None:
        """Keep the state with which a scale starts, unless the guard goes on within one.

        Parameters
        ----------
        step : int
            How many have been made.
        total, norm : float
            The loss of the image and the norm of its gradient.
        image : array (1, 3, H, W)
        optimizer : Optimizer

        Raises
        ------
        Diverged
            If one of the two numbers is not finite: there is nothing to go back to.
        """
        if self._kept:
            return
        trouble = self.trouble(step, total, norm, trial=True)
        if trouble:
            raise Diverged(f"step {step}: {trouble}, before any update at this size")
        self._start_total = total
        self._keep(step, total, image, optimizer)

    def trouble(self, step: int, total: float, norm: float, trial: bool) -> str | None:
        """Why a step is to be taken back, if it is; the parameters as those of :meth:`start`, and of a move."""
        if not (math.isfinite(total) and math.isfinite(norm)):
            return "the loss or its gradient is no finite number"
        if not trial and step % EVERY == 0 and 0 < EXPLODED * self._start_total < total:
            return f"the loss is more than {EXPLODED:g} times that of the start"
        return None

    def keep_best(self, step: int, total: float, image: Any, optimizer: Optimizer) -> None:
        """Keep a state without trouble if it is time, and it is better than the one kept."""
        if step % EVERY == 0 and total < self._kept["total"]:
            self._keep(step, total, image, optimizer)

    def _keep(self, step: int, total: float, image: Any, optimizer: Optimizer) -> None:
        self._kept = {}  # two at a time would take memory
        self._kept = {
            "step": np.array(step),
            "total": np.array(total),
            "image": image.asnumpy(),
            **{f"{_OPTIMIZER}{name}": value for name, value in optimizer.way_back().items()},
        }

    def go_back(self, step: int, trouble: str, image: Any, optimizer: Optimizer) -> str:
        """Put image and optimiser back to the state kept, with smaller steps; one line that says so.

        Raises
        ------
        Diverged
            If that has been done too often; the image is the best one.
        """
        image[:] = self._kept["image"]
        if self._tries >= TRIES:
            raise Diverged(
                f"step {step}: {trouble}; going back with smaller steps did not help, {TRIES} times; "
                f"try a smaller {optimizer.step_key}"
            )
        self._tries += 1
        state = {name[len(_OPTIMIZER) :]: value for name, value in self._kept.items() if name.startswith(_OPTIMIZER)}
        optimizer.go_back(state, FACTOR)
        return (
            f"step {step}: {trouble}; back to step {self._kept['step']} with steps {FACTOR:g} times as long "
            f"({self._tries} of {TRIES})"
        )

    def leave_scale(self) -> None:
        """Let go of the state kept; the next scale starts with its own."""
        self._kept = {}

    def state(self) -> dict[str, NDArray]:
        """All that a new guard needs to go on exactly."""
        return {"tries": np.array(self._tries), "start_total": np.array(self._start_total), **self._kept}
