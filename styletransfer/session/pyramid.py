"""A run at all its scales: the image is optimised at the smallest, then enlarged to the next with the optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from styletransfer.engines import Array
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.loop import Record, StoppingRule, optimize
from styletransfer.pictures import images
from styletransfer.session import binding
from styletransfer.session.inputs import Pictures
from styletransfer.session.resolve import RunPlan
from styletransfer.session.resume_state import ResumeState
from styletransfer.weights import Parameters


class Pyramid:
    """The optimisation of one picture, scale by scale.

    After the last step of a scale, or when its stopping rule holds, the image is enlarged to the next scale, where the
    curve continues. The state of the optimiser is enlarged with it; L-BFGS starts a new history.

    Parameters
    ----------
    plan : RunPlan
        For a resumed run, with its original precision and tiles.
    pictures : sequence of Pictures
        One for every scale, from :func:`~styletransfer.session.inputs.read_pictures`.
    parameters : dict of arrays
        The network's, in its native space.
    state : ResumeState, optional
        From :meth:`state` of an earlier run, which this one resumes exactly.
    elapsed : float
        Seconds that the earlier run took.
    last_change : float
        The relative change of its last step.

    Attributes
    ----------
    steps : list of int
        The largest number at every scale.
    """

    def __init__(
        self,
        plan: RunPlan,
        pictures: Sequence[Pictures],
        parameters: Parameters,
        state: ResumeState | None = None,
        elapsed: float = 0.0,
        last_change: float = math.nan,
    ) -> None:
        self._plan, self._pictures, self._parameters = plan, pictures, parameters
        self.steps = [scale.steps for scale in plan.scales]
        self._scale, self._begun = (0, 0) if state is None else (state.scale, state.begun)
        self._step = None if state is None else state.step
        self._last_change = last_change
        self._run = self._bound(None if state is None else state.image)
        if state is not None:
            self._run.optimizer.restore(state.optimizer)
            self._run.generator.bit_generator.state = state.generator
        self._guard = Guard(self._run.engine, None if state is None else state.guard)
        self._started = time.monotonic() - elapsed

    @property
    def image(self) -> Array:
        """The result so far, an array (1, 3, H, W) in the pixel space of the run."""
        return self._run.optimizer.result(self._run.image)

    def values(self) -> NDArray[np.float32]:
        """A copy of :attr:`image`."""
        return self._run.engine.numpy(self.image)

    def records(self) -> Generator[Record, None, None]:
        """The records of all steps at all scales, from :func:`~styletransfer.optimization.loop.optimize`.

        Raises Diverged: see :class:`~styletransfer.optimization.divergence_guard.Guard`; the image is the best one of
        the scale.
        """
        while True:
            limit = self._begun + self.steps[self._scale]
            yield from self._at_this_scale(limit)
            if self._scale == len(self.steps) - 1:
                return
            self._climb()

    def _at_this_scale(self, limit: int) -> Generator[Record, None, None]:
        steps = optimize(
            self._run.engine,
            self._run.image,
            self._run.objective,
            self._run.optimizer,
            StoppingRule(limit, self._plan.config.stop.relative_change),
            scale=self._scale,
            after=self._step,
            elapsed=time.monotonic() - self._started,
            last_change=self._last_change,
            guard=self._guard,
        )
        for record in steps:
            self._step, self._last_change = record.step, record.relative_change
            yield record

    def _bound(self, image: NDArray | None = None) -> binding.Bound:
        """Bind the current scale; `image` is the image to go on with."""
        scale = self._plan.scales[self._scale]
        return binding.bind(self._plan, scale, self._pictures[self._scale], self._parameters, image)

    def _climb(self) -> None:
        """Move to the next scale."""
        before, self._scale = self._run, self._scale + 1
        scale = self._plan.scales[self._scale]
        size = scale.height, scale.width
        engine = before.engine
        image, optimizer, generator = self.values(), before.optimizer.resized_state(*size), before.generator
        del before, self._run  # its memory is needed
        self._guard.end_scale()
        engine.release()
        self._run = self._bound(images.enlarged(image, *size))
        self._run.optimizer.restore(optimizer)
        self._run.generator = generator
        self._begun, self._last_change = self._step or 0, math.nan

    def state(self) -> ResumeState:
        """Everything needed to resume after the last record."""
        run = self._run
        return ResumeState(
            self._plan.choice.engine,
            self._plan.choice.precision,
            self._plan.tiles,
            self._step or 0,
            self._scale,
            self._begun,
            run.engine.numpy(run.image),
            run.generator.bit_generator.state,
            run.optimizer.state(),
            self._guard.state(),
        )
