"""The interface of the optimisers, and the descent direction they share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

from numpy.typing import NDArray

from styletransfer.config import OptimizerSettings
from styletransfer.engines import Array, Engine
from styletransfer.losses.objective import Evaluation
from styletransfer.pictures import pixels


@dataclass(frozen=True)
class Move:
    """The evaluation of the image after a step, and the learning rate of that step."""

    evaluation: Evaluation
    learning_rate: float
    trial: bool = False  # a trial of a line search, which the optimiser itself rejects if it is bad


@dataclass(frozen=True)
class Memory:
    """Values of 4 bytes that an optimiser holds per value of the image, as `tests/peak_memory.py` measures."""

    steps: float  # while it makes steps
    saved: float  # while its state is saved as well
    written: float  # while the picture is written


class Box:
    """The displayable values of an image, black to white in each channel, as bounds of the optimisation.

    Parameters
    ----------
    space : str
        The pixel space of the image, a key of `pixels.SPACES`.
    """

    def __init__(self, space: str, engine: Engine) -> None:
        self.limits = pixels.displayable_range(space)
        self._engine = engine
        self._low, self._high = (engine.array(limit) for limit in self.limits)

    def project(self, image: Array) -> None:
        """Move every value of `image` to the nearest displayable one, in place."""
        self._engine.clip(image, self._low, self._high)

    def contains(self, image: Array) -> Array:
        """1 where a value is displayable, 0 elsewhere."""
        return (image >= self._low) * (image <= self._high)

    def free(self, image: Array, gradient: Array) -> Array:
        """1 where a small step against the gradient stays displayable, 0 where it does not."""
        return (image > self._low) * (gradient > 0) + (image < self._high) * (gradient < 0)


class Optimizer(Protocol):
    """Updates an image in place."""

    step_key: str  # the config key that sets the step size

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        """Update `image`, whose evaluation is given, and yield every new evaluation."""

    def finish(self, image: Array) -> None:
        """Set `image` to the final image of the run when a restored optimiser makes no more moves."""

    def result(self, image: Array) -> Array:
        """The result so far: `image`, the position of the optimiser, or an average."""

    def state(self) -> dict[str, NDArray]:
        """Everything :meth:`restore` needs to resume exactly."""

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Load a saved state."""

    def rollback_state(self) -> dict[str, NDArray]:
        """The part of the state that :meth:`roll_back` needs."""

    def roll_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        """Roll back to a state of :meth:`rollback_state`, and multiply the step size by `factor`."""

    def resized_state(self, height: int, width: int) -> dict[str, NDArray]:
        """The state for another optimiser that continues with the image resized to another size."""


def norm_limit(settings: OptimizerSettings, values: int) -> float | None:
    """Resolve `clip_norm` for an image with the given number of values."""
    return float(values) if settings.clip_norm == "elements" else settings.clip_norm  # type: ignore[return-value]


def descent_direction(evaluation: Evaluation, limit: float | None) -> Array:
    """The gradient of content and style, clipped to the norm `limit`, plus that of TV."""
    gradient = evaluation.gradient
    if limit is not None and evaluation.norm > limit:
        gradient = gradient * (limit / evaluation.norm)
    return gradient if evaluation.tv_gradient is None else gradient + evaluation.tv_gradient


def first_step_length(settings: OptimizerSettings, values: int) -> float:
    """The Euclidean length of the first trial step of `lbfgs` and `lbfgsb`, for an image with that many values."""
    return 1.0 if settings.first_step is None else settings.first_step * values**0.5
