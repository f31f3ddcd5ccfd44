"""The optimisers: each asks the objective for losses and gradient and moves the image, an array (1, 3, H, W)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer import images, pixels
from styletransfer.config import OptimizerSettings, Schedule
from styletransfer.objective import Evaluation, squared_norm


@dataclass(frozen=True)
class Move:
    """The image after a step, evaluated, and the learning rate that the step took."""

    evaluation: Evaluation
    learning_rate: float
    trial: bool = False  # whether the optimiser itself takes it back if it is bad


class Optimizer(Protocol):
    """Moves an image in place."""

    step_key: str  # the config key of how long its steps are

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

    def go_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        """Take over a saved state, and make steps `factor` times as long as the last ones."""

    def carried(self, height: int, width: int) -> dict[str, NDArray]:
        """The state with which another optimiser goes on with the image enlarged to another size."""


def _enlarged(state: Mapping[str, NDArray], height: int, width: int) -> dict[str, NDArray]:
    """A state with all that has the shape of the image brought to another size."""
    return {name: images.enlarged(value, height, width) if value.ndim == 4 else value for name, value in state.items()}


_LEAST_RATE = 1e-30


def scheduled_rate(base: float, schedule: Schedule | None, update: int) -> float:
    """The learning rate of an update, counted from 1: base x factor^floor((update - 1) / step).

    As MXNet's FactorScheduler, which lowers the rate for the first time at update step + 1. What is too small for
    MXNet's float32 is 0.
    """
    if schedule is None:
        return base
    rate = base * schedule.factor ** ((update - 1) // schedule.step)
    return rate if rate > _LEAST_RATE else 0.0


def gradient_norm(gradient: Any) -> float:
    """The Euclidean norm."""
    return squared_norm(gradient) ** 0.5


def clipped(gradient: Any, limit: float | None) -> Any:
    """The gradient, scaled down to the norm `limit` where its own is larger."""
    norm = gradient_norm(gradient) if limit is not None else 0.0
    return gradient * (limit / norm) if limit is not None and norm > limit else gradient


def norm_limit(settings: OptimizerSettings, values: int) -> float | None:
    """`clip_norm` for an image of so many values."""
    return float(values) if settings.clip_norm == "elements" else settings.clip_norm  # type: ignore[return-value]


def descent_direction(evaluation: Evaluation, limit: float | None) -> Any:
    """The gradient of content and style, clipped to the norm `limit`, plus that of TV."""
    gradient = clipped(evaluation.gradient, limit)
    return gradient if evaluation.tv_gradient is None else gradient + evaluation.tv_gradient


class _Descent:
    """What the optimisers share that take one step down the gradient at a time."""

    step_key = "optimizer.learning_rate"

    def __init__(self, settings: OptimizerSettings, image: Any) -> None:
        self._settings = settings
        self._limit = norm_limit(settings, image.size)
        self._updates = 0
        self._shortening = 1.0  # of the steps, by all that was gone back

    def _next_rate(self) -> float:
        """The learning rate of the next update, which is counted."""
        self._updates += 1
        return self._shortening * scheduled_rate(self._settings.learning_rate, self._settings.schedule, self._updates)

    def settle(self, image: Any) -> None:
        """Every step ends where the run may end."""

    def state(self) -> dict[str, NDArray]:
        return {"updates": np.array(self._updates), "shortening": np.array(self._shortening)}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._updates, self._shortening = int(state["updates"]), float(state["shortening"])

    def go_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self.restore({**state, "shortening": np.array(factor * self._shortening)})

    def carried(self, height: int, width: int) -> dict[str, NDArray]:
        return _enlarged(self.state(), height, width)


class SGD(_Descent):
    """Gradient descent with momentum and weight decay, as ``mxnet.optimizer.SGD``.

    v <- momentum v - rate (gradient + weight_decay x);  x <- x + v. The gradient is that of content and style, clipped,
    plus that of TV.
    """

    def __init__(self, settings: OptimizerSettings, image: Any) -> None:
        super().__init__(settings, image)
        self._velocity = image.zeros_like()

    def advance(
        self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]
    ) -> Generator[Move, None, None]:
        mx = load_mxnet()
        gradient = descent_direction(evaluation, self._limit)
        rate = self._next_rate()
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
        return {**super().state(), "velocity": self._velocity.asnumpy()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        super().restore(state)
        self._velocity[:] = state["velocity"]


class Adam(_Descent):
    """Adam (Kingma and Ba 2014, algorithm 1, in the form at the end of its section 2, as TensorFlow has it)."""

    def __init__(self, settings: OptimizerSettings, image: Any) -> None:
        super().__init__(settings, image)
        self._mean, self._variance = image.zeros_like(), image.zeros_like()

    def advance(
        self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]
    ) -> Generator[Move, None, None]:
        mx = load_mxnet()
        settings = self._settings
        gradient = descent_direction(evaluation, self._limit)
        rate = self._next_rate()
        correction = (1 - settings.beta2**self._updates) ** 0.5 / (1 - settings.beta1**self._updates)
        mx.nd.adam_update(
            image,
            gradient,
            self._mean,
            self._variance,
            out=image,
            lr=rate * correction,
            beta1=settings.beta1,
            beta2=settings.beta2,
            epsilon=settings.epsilon,
            wd=settings.weight_decay,
        )
        yield Move(objective(image), rate)

    def state(self) -> dict[str, NDArray]:
        return {**super().state(), "mean": self._mean.asnumpy(), "variance": self._variance.asnumpy()}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        super().restore(state)
        self._mean[:] = state["mean"]
        self._variance[:] = state["variance"]


class AcceptReject(_Descent):
    """Plain gradient steps, kept for each value on its own only where it stays displayable."""

    def __init__(self, settings: OptimizerSettings, image: Any, space: str) -> None:
        super().__init__(settings, image)
        mx = load_mxnet()
        self._low, self._high = (mx.nd.array(limit, ctx=image.context) for limit in pixels.displayable_range(space))

    def advance(
        self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]
    ) -> Generator[Move, None, None]:
        mx = load_mxnet()
        rate = self._next_rate()
        proposed = image - rate * descent_direction(evaluation, self._limit)
        accepted = mx.nd.broadcast_greater_equal(proposed, self._low) * mx.nd.broadcast_lesser_equal(
            proposed, self._high
        )
        mx.nd.where(accepted, proposed, image).copyto(image)
        yield Move(objective(image), rate)


class LBFGS:
    """SciPy's L-BFGS-B in rounds of so many evaluations, each with a fresh history, as the Keras example does it.

    Every evaluation is a move, the trials of line searches too; a round ends at the best point that SciPy found.
    SciPy keeps its history to itself, so the state is where the round began and how many evaluations it has made:
    restored, the round is gone through again, silently, to the same point. Its best point is in the state too, for a
    run that has nothing more to do than to end there. Gone back, a new round begins, whose first trial is shorter.
    """

    step_key = "optimizer.first_step"

    def __init__(self, settings: OptimizerSettings, image: Any) -> None:
        self._settings = settings
        self._rounds = 0
        self._round_start = self._best = image.asnumpy()
        self._evaluations = 0  # of the round that is under way
        self._to_repeat = 0
        self._shortening = 1.0  # of first trials, by all that was gone back

    def advance(
        self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]
    ) -> Generator[Move, None, None]:
        if self._settings.rounds is not None and self._rounds >= self._settings.rounds:
            return
        repeated = self._to_repeat
        if repeated:
            image[:] = self._round_start
        self._round_start = image.asnumpy()
        evaluation = objective(image)  # the last evaluation may be that of a trial elsewhere
        self._evaluations = 0
        search = _Search(self._round_start, self._settings, self._shortening)
        best_value, self._best = _value_and_gradient(evaluation)[0], self._round_start
        try:
            search.first()
            while (point := search.tell(*_value_and_gradient(evaluation))) is not None:
                image[:] = point
                evaluation = objective(image)
                self._evaluations += 1
                if evaluation.scaled_total < best_value:
                    best_value, self._best = evaluation.scaled_total, point
                if self._to_repeat:
                    self._to_repeat -= 1
                else:
                    yield Move(evaluation, float("nan"), trial=True)
            self._best = search.result
        finally:  # a run that stops within a round does not end at a bad trial of a line search
            search.close()
            image[:] = self._best
        self._rounds += 1
        made, self._evaluations, self._to_repeat = self._evaluations, 0, 0
        self._round_start = image.asnumpy()
        if 0 < made <= repeated:  # saved behind the last evaluation of a round: the next move is that of the next round
            yield from self.advance(image, evaluation, objective)

    def settle(self, image: Any) -> None:
        if self._to_repeat:
            image[:] = self._best

    def state(self) -> dict[str, NDArray]:
        return {
            "rounds": np.array(self._rounds),
            "round_start": self._round_start,
            "best": self._best,  # of the round that is under way
            "evaluations": np.array(self._evaluations),
            "shortening": np.array(self._shortening),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._rounds = int(state["rounds"])
        self._round_start, self._best = state["round_start"], state["best"]
        self._evaluations = self._to_repeat = int(state["evaluations"])
        self._shortening = float(state["shortening"])

    def go_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self.restore({**state, "evaluations": np.array(0), "shortening": np.array(factor * self._shortening)})

    def carried(self, height: int, width: int) -> dict[str, NDArray]:
        """No directions are remembered: a round begins anew, and they are counted anew."""
        start = images.enlarged(self._round_start, height, width)
        begun = {"rounds": np.array(0), "round_start": start, "best": start, "evaluations": np.array(0)}
        return {**self.state(), **begun}


def _value_and_gradient(evaluation: Evaluation) -> tuple[float, NDArray[np.float64]]:
    """The total and its gradient, flat, in double precision."""
    return evaluation.scaled_total, descent_direction(evaluation, None).asnumpy().astype(np.float64).ravel()


class _Search:
    """One call of SciPy's L-BFGS-B, turned inside out: it hands out points and is told their values.

    SciPy calls a function of ours and cannot be left in the middle, so it runs in a thread of its own, which only ever
    works while the caller waits for it.
    """

    def __init__(self, start: NDArray, settings: OptimizerSettings, shortening: float) -> None:
        self._points: queue.Queue[NDArray | None] = queue.Queue()
        self._values: queue.Queue[tuple[float, NDArray] | None] = queue.Queue()
        self._shape = start.shape
        self.result: NDArray = start
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._run, args=(start, settings.evaluations, settings.history), daemon=True
        )
        # SciPy's first trial is 1 away, all values together. In units of `_unit` it is as far as we want.
        self._unit = shortening * (1.0 if settings.first_step is None else settings.first_step * start.size**0.5)

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
        """End the search, wherever it is."""
        self._values.put(None)
        self._thread.join()

    def _run(self, start: NDArray, evaluations: int, history: int) -> None:
        try:
            from scipy.optimize import fmin_l_bfgs_b

            point = start.astype(np.float64).ravel() / self._unit
            found, _, _ = fmin_l_bfgs_b(self._evaluate, point, maxfun=evaluations, m=history)
            self.result = self._image(found)
        except _Closed:
            pass
        except Exception as error:  # raised again where the search is asked for its next point
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
        return (point * self._unit).astype(np.float32).reshape(self._shape)


class _Closed(Exception):
    """The search was closed."""


def create(settings: OptimizerSettings, image: Any, space: str) -> Optimizer:
    """The optimiser that the settings name, for an image in a pixel space."""
    if settings.name == "accept_reject":
        return AcceptReject(settings, image, space)
    optimizers: Mapping[str, Callable[[OptimizerSettings, Any], Optimizer]] = {"sgd": SGD, "adam": Adam, "lbfgs": LBFGS}
    return optimizers[settings.name](settings, image)
