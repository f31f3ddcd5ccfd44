"""The average of the images that an optimiser makes, in place of its last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping

import numpy as np
from numpy.typing import NDArray

from styletransfer.engines import Array, Engine
from styletransfer.losses.objective import Evaluation
from styletransfer.optimization.optimizers.base import Memory, Move, Optimizer
from styletransfer.pictures import images


def with_average(inner: Memory) -> Memory:
    """Add the memory of an average to that of an optimiser: its own, and that of the state to roll back to."""
    return Memory(inner.steps + 2.0, inner.saved + 3.0, inner.written + 2.0)


class Averaged:
    """An optimiser whose result is an exponential moving average of its images.

    With the decay d, the images x_1 ... x_n of a scale, the first being that with which the scale starts, have the
    weights d^(n - i), divided by their sum: the bias correction of Adam (Kingma and Ba 2014, section 3). The optimiser
    itself does not see the average; but the next scale starts from it. As in style-transfer-pytorch (Crowson 2021).
    """

    def __init__(self, optimizer: Optimizer, image: Array, decay: float, engine: Engine) -> None:
        self._optimizer, self._decay, self._engine = optimizer, decay, engine
        self._average, self._count = engine.copy(image), 1
        self.step_key = optimizer.step_key

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        with contextlib.closing(self._optimizer.advance(image, evaluation, objective)) as moves:
            for move in moves:
                self._count += 1
                weight = (1 - self._decay) / (1 - self._decay**self._count)
                self._average += weight * (image - self._average)
                yield move

    def finish(self, image: Array) -> None:
        self._optimizer.finish(image)

    def result(self, image: Array) -> Array:
        return self._average

    def state(self) -> dict[str, NDArray]:
        return {**self._optimizer.state(), **self._own_state()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._optimizer.restore(state)
        self._engine.assign(self._average, state["average"])
        self._count = int(state["averaged"])

    def rollback_state(self) -> dict[str, NDArray]:
        return {**self._optimizer.rollback_state(), **self._own_state()}

    def roll_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self._optimizer.roll_back(state, factor)
        self._engine.assign(self._average, state["average"])
        self._count = int(state["averaged"])

    def resized_state(self, height: int, width: int) -> dict[str, NDArray]:
        average = images.enlarged(self._engine.numpy(self._average), height, width)
        return {**self._optimizer.resized_state(height, width), "average": average, "averaged": np.array(1)}

    def _own_state(self) -> dict[str, NDArray]:
        return {"average": self._engine.numpy(self._average), "averaged": np.array(self._count)}
