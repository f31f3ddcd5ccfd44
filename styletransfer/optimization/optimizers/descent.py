"""First-order optimisers, which make one gradient step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import OptimizerSettings, Schedule
from styletransfer.engines import Array, Engine
from styletransfer.losses.objective import Evaluation
from styletransfer.optimization.optimizers.base import Box, Memory, Move, descent_direction, norm_limit
from styletransfer.pictures import images


def _enlarged(state: Mapping[str, NDArray], height: int, width: int) -> dict[str, NDArray]:
    """A state with every image-shaped array resized."""
    return {name: images.enlarged(value, height, width) if value.ndim == 4 else value for name, value in state.items()}


_LEAST_RATE = 1e-30


def scheduled_rate(base: float, schedule: Schedule | None, update: int) -> float:
    """The learning rate of an update, counted from 1: base x factor^floor((update - 1) / step).

    Like MXNet's FactorScheduler, which first lowers the rate at update step + 1. Rates too small for MXNet's float32
    are 0.
    """
    if schedule is None:
        return base
    rate = base * schedule.factor ** ((update - 1) // schedule.step)
    return rate if rate > _LEAST_RATE else 0.0


class _Descent:
    """Base class of the first-order optimisers."""

    step_key = "optimizer.learning_rate"
    _held = 0.0  # values of 4 bytes per value of the image, measured on top of those that every run holds

    @classmethod
    def memory(cls, settings: OptimizerSettings) -> Memory:
        return Memory(cls._held, cls._held, cls._held)

    def __init__(self, settings: OptimizerSettings, engine: Engine, image: Array, box: Box | None = None) -> None:
        self._settings, self._engine, self._box = settings, engine, box
        self._limit = norm_limit(settings, math.prod(image.shape))
        self._updates = 0
        self._shortening = 1.0  # factor of the step size, from all rollbacks

    def _next_rate(self) -> float:
        """Count the next update and return its learning rate."""
        self._updates += 1
        return self._shortening * scheduled_rate(self._settings.learning_rate, self._settings.schedule, self._updates)

    def _project(self, image: Array) -> None:
        if self._box is not None:
            self._box.project(image)

    def finish(self, image: Array) -> None:
        """Nothing to do: every step leaves a valid final image."""

    def result(self, image: Array) -> Array:
        return image

    def state(self) -> dict[str, NDArray]:
        return {"updates": np.array(self._updates), "shortening": np.array(self._shortening)}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._updates, self._shortening = int(state["updates"]), float(state["shortening"])

    def rollback_state(self) -> dict[str, NDArray]:
        return self.state()

    def roll_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self.restore({**state, "shortening": np.array(factor * self._shortening)})

    def resized_state(self, height: int, width: int) -> dict[str, NDArray]:
        return _enlarged(self.state(), height, width)


class SGD(_Descent):
    """Gradient descent with momentum and weight decay, as ``mxnet.optimizer.SGD``.

    v <- momentum v - rate (gradient + weight_decay x);  x <- x + v. The gradient is the clipped gradient
    of content and style plus that of TV.
    """

    def __init__(self, settings: OptimizerSettings, engine: Engine, image: Array, box: Box | None = None) -> None:
        super().__init__(settings, engine, image, box)
        self._velocity = engine.zeros(image.shape)

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        gradient = descent_direction(evaluation, self._limit)
        rate = self._next_rate()
        self._velocity *= self._settings.momentum
        self._engine.add_scaled(self._velocity, -rate, gradient)
        if self._settings.weight_decay:
            self._engine.add_scaled(self._velocity, -rate * self._settings.weight_decay, image)
        image += self._velocity
        self._project(image)
        yield Move(objective(image), rate)

    def state(self) -> dict[str, NDArray]:
        return {**super().state(), "velocity": self._engine.numpy(self._velocity)}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        super().restore(state)
        self._engine.assign(self._velocity, state["velocity"])


class Adam(_Descent):
    """Adam (Kingma and Ba 2014, algorithm 1, in the form at the end of section 2, which TensorFlow uses)."""

    _held = 2.0  # the means of the gradient and of its square

    def __init__(self, settings: OptimizerSettings, engine: Engine, image: Array, box: Box | None = None) -> None:
        super().__init__(settings, engine, image, box)
        self._mean, self._variance = engine.zeros(image.shape), engine.zeros(image.shape)

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        settings = self._settings
        gradient = descent_direction(evaluation, self._limit)
        if settings.weight_decay:
            gradient = gradient + settings.weight_decay * image
        rate = self._next_rate()
        correction = (1 - settings.beta2**self._updates) ** 0.5 / (1 - settings.beta1**self._updates)
        self._mean *= settings.beta1
        self._engine.add_scaled(self._mean, 1 - settings.beta1, gradient)
        self._variance *= settings.beta2
        self._engine.add_scaled(self._variance, 1 - settings.beta2, gradient * gradient)
        step = self._mean / (self._variance**0.5 + settings.epsilon)
        self._engine.add_scaled(image, -rate * correction, step)
        self._project(image)
        yield Move(objective(image), rate)

    def state(self) -> dict[str, NDArray]:
        return {
            **super().state(),
            "mean": self._engine.numpy(self._mean),
            "variance": self._engine.numpy(self._variance),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        super().restore(state)
        self._engine.assign(self._mean, state["mean"])
        self._engine.assign(self._variance, state["variance"])


class AcceptReject(_Descent):
    """Plain gradient steps, accepted for each value separately only if it stays within the displayable range."""

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        rate = self._next_rate()
        proposed = image - rate * descent_direction(evaluation, self._limit)
        assert self._box is not None
        self._engine.assign(image, self._engine.where(self._box.contains(proposed), proposed, image))
        yield Move(objective(image), rate)
