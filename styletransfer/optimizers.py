"""The optimisers: each asks the objective for losses and gradient and moves the image, an array (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer.config import OptimizerSettings, Schedule
from styletransfer.objective import Evaluation


@dataclass(frozen=True)
class Move:
    """The image after a step, evaluated, and the learning rate that the step took."""

    evaluation: Evaluation
    learning_rate: float


class Optimizer(Protocol):
    """Moves an image in place."""

    def advance(self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]) -> Iterator[Move]:
        """Move `image`, whose evaluation is given, and yield every new evaluation."""

    def state(self) -> dict[str, NDArray]:
        """All that :meth:`restore` needs to go on exactly."""

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a saved state."""


def scheduled_rate(base: float, schedule: Schedule | None, update: int) -> float:
    """The learning rate of an update, counted from 1: base x factor^floor((update - 1) / step).

    As MXNet's FactorScheduler, which lowers the rate for the first time at update step + 1.
    """
    if schedule is None:
        return base
    return base * schedule.factor ** ((update - 1) // schedule.step)


def gradient_norm(gradient: Any) -> float:
    """The Euclidean norm. MXNet's own ``norm`` sums in float32 and is 1e-4 off on large arrays."""
    mx = load_mxnet()
    return float(mx.nd.sum(mx.nd.square(gradient)).asscalar()) ** 0.5


def clipped(gradient: Any, limit: float | None) -> Any:
    """The gradient, scaled down to the norm `limit` where its own is larger."""
    norm = gradient_norm(gradient) if limit is not None else 0.0
    return gradient * (limit / norm) if limit is not None and norm > limit else gradient


def norm_limit(settings: OptimizerSettings, values: int) -> float | None:
    """`clip_norm` for an image of so many values."""
    return float(values) if settings.clip_norm == "elements" else settings.clip_norm  # type: ignore[return-value]


class SGD:
    """Gradient descent with momentum and weight decay, as ``mxnet.optimizer.SGD``.

    v <- momentum v - rate (gradient + weight_decay x);  x <- x + v. The gradient is that of content and style, clipped,
    plus that of TV.
    """

    def __init__(self, settings: OptimizerSettings, image: Any) -> None:
        self._settings = settings
        self._velocity = image.zeros_like()
        self._limit = norm_limit(settings, image.size)
        self._updates = 0

    def advance(self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]) -> Iterator[Move]:
        mx = load_mxnet()
        gradient = clipped(evaluation.gradient, self._limit)
        if evaluation.tv_gradient is not None:
            gradient = gradient + evaluation.tv_gradient
        self._updates += 1
        rate = scheduled_rate(self._settings.learning_rate, self._settings.schedule, self._updates)
        mx.nd.sgd_mom_update(
            image,
            gradient,
            self._velocity,
            out=image,
            lr=rate,
            momentum=self._settings.momentum,
            wd=self._settings.weight_decay,
        )
        yield Move(objective(image), rate)

    def state(self) -> dict[str, NDArray]:
        return {"velocity": self._velocity.asnumpy(), "updates": np.array(self._updates)}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._velocity[:] = state["velocity"]
        self._updates = int(state["updates"])


OPTIMIZERS: Mapping[str, Callable[[OptimizerSettings, Any], Optimizer]] = {"sgd": SGD}
