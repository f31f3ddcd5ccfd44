"""L-BFGS, the optimiser of the default settings."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import OptimizerSettings
from styletransfer.engines import Array, Engine, Numbers
from styletransfer.losses.objective import Evaluation
from styletransfer.optimization.optimizers.base import Box, Memory, Move, descent_direction, first_step_length

SUFFICIENT = 1e-4  # share of the decrease predicted by the slope (Armijo's condition)
SLACK = 1e-3  # relative to the lowest total so far; a full step within it is accepted
SHORTER = 0.1, 0.5  # bounds of the next trial of a line search, relative to the last
TRIALS = 20  # at most, per line search
SMOOTH = 3.0  # weight of the blur in the initial matrix
TENT = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)  # the mean over 3 values, twice
_LEAST_CURVATURE = 1e-10  # s'y / y'y of a stored pair


@dataclass(frozen=True)
class _Pair:
    """A step: the changes s of the image and y of the gradient, arrays (1, 3, H, W)."""

    change: Array
    difference: Array
    products: Callable[[], list[float]]  # s'y, y'y and y'Py

    @property
    def curvature(self) -> float:
        return self.products()[0]

    @property
    def gamma(self) -> float:
        """That of the initial matrix."""
        curvature, _, smooth = self.products()
        return curvature / smooth


class LBFGS:
    """L-BFGS with a backtracking line search.

    J. Nocedal, S. Wright: Numerical Optimization, 2006, algorithms 7.4 and 7.5. The first trial
    of a search is the full quasi-Newton step; trials are shortened by interpolation until the total decreases by
    `SUFFICIENT` of what the slope predicts (algorithm 3.1, section 3.5). The very first trial follows the smoothed
    gradient, with the length `first_step`, which doubles until a pair can be stored. A step is an accepted trial;
    rejected trials are not recorded.

    Departures: the initial matrix is gamma P, with gamma = s'y / y'Py of the last step and P = I + 3 T, where T blurs
    every channel with the kernel `TENT` vertically and horizontally, with zero padding. The book has P = I; the losses
    have less curvature along smooth changes of an image, and this P saves about an eighth of the evaluations. The first
    trial of a search is also accepted if the total is within `SLACK` of the lowest so far: otherwise rounding in
    bfloat16 would shorten the steps. Pairs are stored only if s'y > 0, which the line search does not ensure. If no
    trial is accepted, the history is cleared and the search repeated; if that fails too, no move is made.

    Everything is in float32, on the device of the image.
    """

    step_key = "optimizer.first_step"

    @classmethod
    def memory(cls, settings: OptimizerSettings) -> Memory:
        """Two arrays per stored step, copied while they are saved; all are freed before the picture is written."""
        return Memory(6.0 + 2.0 * settings.history, 6.0 + 4.0 * settings.history, 0.0)

    def __init__(self, settings: OptimizerSettings, engine: Engine, image: Array, box: Box | None = None) -> None:
        self._settings, self._engine, self._box = settings, engine, box
        self._shape = tuple(image.shape)
        self._pairs: deque[_Pair] = deque(maxlen=settings.history)
        self._shortening = 1.0  # factor of the first trial, from all rollbacks
        self._growth = 1.0  # factor of the first trial, from steps without curvature
        self._lowest = math.inf  # the lowest total so far
        tent = np.array([TENT] * 3)
        shapes = (3, 1, -1, 1), (3, 1, 1, -1)  # vertical and horizontal
        self._kernels = [engine.array(tent.reshape(shape)) for shape in shapes]

    def advance(
        self, image: Array, evaluation: Evaluation, objective: Callable[[Array], Evaluation]
    ) -> Generator[Move, None, None]:
        start, value = self._engine.copy(image), evaluation.scaled_total
        self._lowest = min(self._lowest, value)
        gradient = self._engine.copy(
            descent_direction(evaluation, None)
        )  # the objective overwrites its own at the next trial
        found = self._search(image, start, value, gradient, objective)
        if found is None and self._pairs:
            self._pairs.clear()
            found = self._search(image, start, value, gradient, objective)
        if found is None:
            self._engine.assign(image, start)
            return
        length, evaluation, pair = found
        self._growth = 1.0 if self._store(pair) else 2 * self._growth
        yield Move(evaluation, length)

    def _search(
        self, image: Array, start: Array, value: float, gradient: Array, objective: Callable[[Array], Evaluation]
    ) -> tuple[float, Evaluation, _Pair] | None:
        """Move `image` from `start` to an accepted trial; returns its step length, evaluation and pair, or None."""
        direction = self._direction(gradient) if self._box is None else self._free_direction(start, gradient)
        steepness, length = self._engine.dot(gradient, direction), 1.0
        for _ in range(TRIALS):
            self._engine.assign(image, start)
            self._engine.add_scaled(image, length, direction)
            if self._box is not None:
                self._box.project(image)
            evaluation = objective(image)
            change, difference = image - start, descent_direction(evaluation, None) - gradient
            projected = [] if self._box is None else [self._engine.dot(gradient, change)]
            slopes = evaluation.numbers.ask([steepness, *projected])
            pair = self._pair(change, difference, evaluation.numbers)
            slope, *shorter = slopes()
            if not slope < 0:
                return None
            predicted = shorter[0] if shorter else length * slope
            rise = evaluation.scaled_total - value if math.isfinite(evaluation.norm) else math.inf
            near_lowest = length == 1.0 and value + rise <= (1 + SLACK) * self._lowest
            if near_lowest or rise <= SUFFICIENT * predicted:
                return length, evaluation, pair
            length = _shortened(length, slope, rise)
            del change, difference, pair  # their memory is needed
        return None

    def _free_direction(self, image: Array, gradient: Array) -> Array:
        """The direction in the values that may move: not those at a bound that the gradient pushes against."""
        assert self._box is not None
        free = self._box.free(image, gradient)
        return free * self._direction(free * gradient)

    def _direction(self, gradient: Array) -> Array:
        """Minus the gradient times the approximate inverse Hessian."""
        if not self._pairs:
            direction = self._smoothed(gradient)
            length = first_step_length(self._settings, math.prod(self._shape))
            (steepness,) = self._engine.numbers([self._engine.norm(direction)])
            return direction * (-self._shortening * self._growth * length / steepness if steepness > 0 else 0.0)
        direction = -gradient
        shares = []
        for pair in reversed(self._pairs):
            shares.append(self._engine.dot(pair.change, direction) / pair.curvature)
            self._engine.add_scaled(direction, -shares[-1], pair.difference)
        direction = self._pairs[-1].gamma * self._smoothed(direction)
        for pair, share in zip(self._pairs, reversed(shares)):
            correction = self._engine.dot(pair.difference, direction) / pair.curvature
            self._engine.add_scaled(direction, share - correction, pair.change)
        return direction

    def _smoothed(self, array: Array) -> Array:
        """P x for an array x (1, 3, H, W)."""
        tent = array
        for kernel in self._kernels:
            tent = self._engine.filtered(tent, kernel)
        return array + SMOOTH * tent

    def _pair(self, change: Array, difference: Array, numbers: Numbers) -> _Pair:
        """A pair whose products are read with other numbers."""
        if self._box is not None:
            difference = difference * (change != 0)
        dot = self._engine.dot
        scalars = [dot(change, difference), dot(difference, difference), dot(difference, self._smoothed(difference))]
        return _Pair(change, difference, numbers.ask(scalars))

    def _store(self, pair: _Pair) -> bool:
        """Store a pair if its curvature is positive; returns whether it was stored."""
        curvature, square, _ = pair.products()
        stored = curvature > _LEAST_CURVATURE * square
        if stored:
            self._pairs.append(pair)
        return stored

    def finish(self, image: Array) -> None:
        """Nothing to do: every step leaves a valid final image."""

    def result(self, image: Array) -> Array:
        return image

    def state(self) -> dict[str, NDArray]:
        return {
            **self.rollback_state(),
            "growth": np.array(self._growth),
            "lowest": np.array(self._lowest),
            "changes": self._stacked([pair.change for pair in self._pairs]),
            "differences": self._stacked([pair.difference for pair in self._pairs]),
        }

    def _stacked(self, arrays: list[Array]) -> NDArray[np.float32]:
        """The arrays (1, 3, H, W) as one, (number, 3, H, W)."""
        stacked = np.empty((len(arrays), *self._shape[1:]), np.float32)
        for number, array in enumerate(arrays):
            stacked[number] = self._engine.numpy(array)[0]
        return stacked

    def restore(self, state: Mapping[str, NDArray]) -> None:
        self._shortening, self._growth = float(state["shortening"]), float(state["growth"])
        self._lowest = float(state["lowest"])
        self._pairs.clear()
        for pair in zip(state["changes"], state["differences"]):
            change, difference = (self._engine.array(array[np.newaxis]) for array in pair)
            self._store(self._pair(change, difference, Numbers(self._engine)))

    def rollback_state(self) -> dict[str, NDArray]:
        return {"shortening": np.array(self._shortening)}

    def roll_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self._pairs.clear()
        self._shortening, self._growth, self._lowest = factor * self._shortening, 1.0, math.inf

    def resized_state(self, height: int, width: int) -> dict[str, NDArray]:
        """The history is not carried over: the curvature differs at another size."""
        empty = np.empty((0, 3, height, width), np.float32)
        fresh = {"growth": np.array(1.0), "lowest": np.array(math.inf), "changes": empty, "differences": empty}
        return {**self.rollback_state(), **fresh}


def _shortened(length: float, slope: float, rise: float) -> float:
    """The next trial of a line search: the minimum of the parabola through value, slope and rise, within `SHORTER`."""
    least, most = SHORTER
    if not math.isfinite(rise):
        return least * length
    lowest = -slope * length**2 / (2 * (rise - length * slope))
    return min(max(lowest, least * length), most * length)
