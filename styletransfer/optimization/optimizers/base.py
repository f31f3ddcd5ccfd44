"""What the optimisers share: the question they answer, and the direction in which all of them go."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from styletransfer.config import OptimizerSettings
from styletransfer.losses.objective import Evaluation
from styletransfer.network.arithmetic import norm


@dataclass(frozen=True)
class Move:
    """The image after a step, evaluated, and the learning rate that the step took."""

    evaluation: Evaluation
    learning_rate: float
    trial: bool = False  # whether the optimiser itself takes it back if it is bad


@dataclass(frozen=True)
class Memory:
    """The values of 4 bytes that an optimiser holds for each value of the image, as `tests/peak_memory.py` measures."""

    steps: float  # while it makes steps
    saved: float  # while its state is saved as well
    written: float  # while the picture is written


class Optimizer(Protocol):
    """Moves an image in place."""

    step_key: str  # the config key of how long its steps are

    @classmethod
    def memory(cls, settings: OptimizerSettings) -> Memory:
        """What it holds at most with these settings."""

    def advance(
        self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]
    ) -> Generator[Move, None, None]:
        """Move `image`, whose evaluation is given, and yield every new evaluation."""

    def settle(self, image: Any) -> None:
        """Bring `image` to what the run ends with, where it was restored and makes no move any more."""

    def state(self) -> dict[str, NDArray]:
        """All that :meth:`restore` needs to go on exactly."""

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a saved state."""

    def way_back(self) -> dict[str, NDArray]:
        """As much of the state as :meth:`go_back` needs."""

    def go_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        """Go on from a way back, with steps `factor` times as long as the last ones."""

    def carried(self, height: int, width: int) -> dict[str, NDArray]:
        """The state with which another optimiser goes on with the image enlarged to another size."""


def clipped(gradient: Any, limit: float | None) -> Any:
    """The gradient, scaled down to the norm `limit` where its own is larger."""
    length = norm(gradient) if limit is not None else 0.0
    return gradient * (limit / length) if limit is not None and length > limit else gradient


def norm_limit(settings: OptimizerSettings, values: int) -> float | None:
    """`clip_norm` for an image of so many values."""
    return float(values) if settings.clip_norm == "elements" else settings.clip_norm  # type: ignore[return-value]


def descent_direction(evaluation: Evaluation, limit: float | None) -> Any:
    """The gradient of content and style, clipped to the norm `limit`, plus that of TV."""
    gradient = clipped(evaluation.gradient, limit)
    return gradient if evaluation.tv_gradient is None else gradient + evaluation.tv_gradient


def first_step_length(settings: OptimizerSettings, values: int) -> float:
    """The Euclidean length of the first trial of `lbfgs` and `lbfgsb`, for an image of so many values."""
    return 1.0 if settings.first_step is None else settings.first_step * values**0.5
