"""SciPy's L-BFGS-B, as the Keras example uses it."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Generator, Mapping

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import OptimizerSettings
from styletransfer.engines import Array, Engine
from styletransfer.losses.objective import Evaluation
from styletransfer.optimization.optimizers.base import Box, Memory, Move, descent_direction, first_step_length
from styletransfer.pictures import images


class LBFGSB:
    """SciPy's L-BFGS-B in rounds of a fixed number of evaluations, each with a fresh history, as in the Keras example.

    Every evaluation is a move, including the trials of line searches; a round ends at the best point that SciPy found.
    SciPy does not expose its history, so the state is the start of the round and its number of evaluations: after
    `restore`, the round is replayed silently up to the same point. Its best point is also in the state, for a run that
    only has to end there. A rollback starts a new round, whose first trial is shorter.
    """

    step_key = "optimizer.first_step"

    @classmethod
    def memory(cls, settings: OptimizerSettings) -> Memory:
        """SciPy's, in double precision: point, gradient, bounds, workspace, arguments and results, stored steps."""
        held = 28.0 + 4.0 * min(settings.history, settings.evaluations)
        return Memory(held, held, 0.0)

    def __init__(self, settings: OptimizerSettings, engine: Engine, image: Array, box: Box | None = None) -> None:
        self._settings, self._engine, self._box = settings, engine, box
        self._rounds = 0
        self._round_start = self._best = engine.numpy(image)
        self._evaluations = 0  # of the current round
        self._to_replay = 0
        self._shortening = 1.0  # factor of first trials, from all rollbacks

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        if self._settings.rounds is not None and self._rounds >= self._settings.rounds:
            return
        replayed = self._to_replay
        if replayed:
            self._engine.assign(image, self._round_start)
        self._round_start = self._engine.numpy(image)
        evaluation = objective(image)  # the last evaluation may be of another point, a trial
        self._evaluations = 0
        length = self._shortening * first_step_length(self._settings, self._round_start.size)
        _, gradient = self._value_and_gradient(evaluation)
        steepness = float(np.linalg.norm(gradient))
        search = _Search(self._round_start, self._settings, length, self._box, steepness)
        best_value, self._best = evaluation.scaled_total, self._round_start
        try:
            search.first()
            while (point := search.tell(*self._value_and_gradient(evaluation))) is not None:
                self._engine.assign(image, point)
                evaluation = objective(image)
                self._evaluations += 1
                if evaluation.scaled_total < best_value:
                    best_value, self._best = evaluation.scaled_total, point
                if self._to_replay:
                    self._to_replay -= 1
                else:
                    yield Move(evaluation, float("nan"), trial=True)
            self._best = search.result
        finally:  # a run that stops within a round must not end at a bad trial
            search.close()
            self._engine.assign(image, self._best)
        self._rounds += 1
        made, self._evaluations, self._to_replay = self._evaluations, 0, 0
        self._round_start = self._engine.numpy(image)
        if 0 < made <= replayed:  # saved after the last evaluation of a round: the next move is in the next round
            yield from self.advance(image, evaluation, objective)

    def _value_and_gradient(self, evaluation: Evaluation) -> tuple[float, NDArray[np.float64]]:
        """The total and its flattened gradient, in double precision."""
        gradient = self._engine.numpy(descent_direction(evaluation, None))
        return evaluation.scaled_total, gradient.astype(np.float64).ravel()

    def finish(self, image: Array) -> None:
        if self._to_replay:
            self._engine.assign(image, self._best)

    def result(self, image: Array) -> Array:
        return image

    def state(self) -> dict[str, NDArray]:
        return {
            "rounds": np.array(self._rounds),
            "round_start": self._round_start,
            "best": self._best,  # of the current round
            "evaluations": np.array(self._evaluations),
            "shortening": np.array(self._shortening),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._rounds = int(state["rounds"])
        self._round_start, self._best = state["round_start"], state["best"]
        self._evaluations = self._to_replay = int(state["evaluations"])
        self._shortening = float(state["shortening"])

    def rollback_state(self) -> dict[str, NDArray]:
        return self.state()

    def roll_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self.restore({**state, "evaluations": np.array(0), "shortening": np.array(factor * self._shortening)})

    def resized_state(self, height: int, width: int) -> dict[str, NDArray]:
        """The history is not carried over: a new first round starts."""
        start = images.enlarged(self._round_start, height, width)
        fresh = {"rounds": np.array(0), "round_start": start, "best": start, "evaluations": np.array(0)}
        return {**self.state(), **fresh}


class _Search:
    """One call of SciPy's L-BFGS-B with inverted control: it returns points and is told their values.

    SciPy calls the objective itself and cannot be suspended, so it runs in a separate thread, which only runs while the
    caller waits for it.
    """

    def __init__(
        self, start: NDArray, settings: OptimizerSettings, length: float, box: Box | None, steepness: float
    ) -> None:
        self._points: queue.Queue[NDArray | None] = queue.Queue()
        self._values: queue.Queue[tuple[float, NDArray] | None] = queue.Queue()
        self._shape, self._box = start.shape, box
        self.result: NDArray = start
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._run, args=(start, settings.evaluations, settings.history), daemon=True
        )
        # Measured in `_unit`, SciPy's first trial step has the length we want. There it has length 1; with bounds it is
        # minus the gradient.
        self._unit = length if box is None or not steepness > 0 else math.sqrt(length / steepness)

    def first(self) -> NDArray | None:
        """The starting point."""
        self._thread.start()
        return self._next()

    def tell(self, value: float, gradient: NDArray) -> NDArray | None:
        """The next point, after the value and gradient of the last; None when the search has ended."""
        self._values.put((value, gradient))
        return self._next()

    def _next(self) -> NDArray | None:
        point = self._points.get()
        if self._error is not None:
            raise self._error
        return point

    def close(self) -> None:
        """Abort the search."""
        self._values.put(None)
        self._thread.join()

    def _run(self, start: NDArray, evaluations: int, history: int) -> None:
        try:
            from scipy.optimize import fmin_l_bfgs_b

            point = start.astype(np.float64).ravel() / self._unit
            bounds = None
            if self._box is not None:
                limits = (np.broadcast_to(limit, start.shape).ravel() / self._unit for limit in self._box.limits)
                bounds = np.stack([*limits], axis=1)
            lowest, _, _ = fmin_l_bfgs_b(self._evaluate, point, maxfun=evaluations, m=history, bounds=bounds)
            self.result = self._image(lowest)
        except _Closed:
            pass
        except Exception as error:  # re-raised in the caller's thread
            self._error = error
        finally:
            self._points.put(None)

    def _evaluate(self, point: NDArray) -> tuple[float, NDArray]:
        self._points.put(self._image(point))
        answer = self._values.get()
        if answer is None:
            raise _Closed
        value, gradient = answer
        return value, gradient * self._unit

    def _image(self, point: NDArray) -> NDArray[np.float32]:
        image = (point * self._unit).astype(np.float32).reshape(self._shape)
        return image if self._box is None else np.clip(image, *self._box.limits)  # rounding may have left the bounds


class _Closed(Exception):
    """The search was closed."""
