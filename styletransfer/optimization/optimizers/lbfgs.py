"""L-BFGS, the optimiser of the default preset."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer.config import OptimizerSettings
from styletransfer.losses.objective import Evaluation
from styletransfer.network.arithmetic import add_scaled, inner_product, norm
from styletransfer.optimization.optimizers.base import Memory, Move, descent_direction, first_step_length

SUFFICIENT = 1e-4  # of the decrease that the slope promises (Armijo's condition)
SLACK = 1e-3  # of the lowest total so far, within which a step of full length is good enough
SHORTER = 0.1, 0.5  # how long the next trial of a line search may be, in lengths of the last
TRIALS = 20  # of a line search
SMOOTH = 3.0  # weight of the smooth part of a change in the initial matrix
TENT = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)  # the mean over 3 values, twice
_LEAST_CURVATURE = 1e-10  # s'y / y'y of a pair that is remembered


@dataclass(frozen=True)
class _Pair:
    """A step that was made: the changes s of the image and y of the gradient, arrays (1, 3, H, W)."""

    change: Any
    difference: Any
    curvature: float  # s'y
    scale: float  # s'y / y'Py, of the initial matrix


class LBFGS:
    """L-BFGS with a backtracking line search.

    J. Nocedal, S. Wright: Numerical Optimization, 2006, algorithms 7.4 and 7.5. A trial goes as far as the quadratic
    model says, and is shortened by interpolation until the total falls by `SUFFICIENT` of what the slope promises
    (algorithm 3.1, section 3.5). The very first trial goes down the smoothed gradient, as far as `first_step` says, and
    twice as far each time until there is a step to remember. A step is a trial that was accepted; what was refused is
    not recorded.

    Departures: the initial matrix is gamma P, with gamma = s'y / y'Py of the last step and P = I + 3 T, where T blurs
    every channel with the kernel `TENT` down and across, zeros beyond the border. The book has P = I; the losses bend
    less along smooth changes of an image, and told so, L-BFGS takes about an eighth fewer evaluations. The first trial
    of a search is good enough, too, where the total is within `SLACK` of the lowest so far: what bfloat16 rounds would
    otherwise make steps short. Steps are remembered where s'y > 0, which the line search does not ensure. Where no
    trial is good enough, all are forgotten; where that does not help, no move is made.

    Everything is in float32, on the device of the image.
    """

    step_key = "optimizer.first_step"

    @classmethod
    def memory(cls, settings: OptimizerSettings) -> Memory:
        """Two arrays a remembered step, copied while they are saved; all is let go of before the picture is written."""
        return Memory(6.0 + 2.0 * settings.history, 6.0 + 4.0 * settings.history, 0.0)

    def __init__(self, settings: OptimizerSettings, image: Any) -> None:
        self._settings = settings
        self._shape, self._context = image.shape, image.context
        self._pairs: deque[_Pair] = deque(maxlen=settings.history)
        self._shortening = 1.0  # of the first trial, by all that was gone back
        self._growth = 1.0  # of the first trial, by steps without curvature
        self._lowest = math.inf  # total so far
        mx = load_mxnet()
        tent = mx.nd.array([TENT] * 3, ctx=image.context)
        self._kernels = [tent.reshape(shape) for shape in ((3, 1, -1, 1), (3, 1, 1, -1))]  # down, and across

    def advance(
        self, image: Any, evaluation: Evaluation, objective: Callable[[Any], Evaluation]
    ) -> Generator[Move, None, None]:
        start, value = image.copy(), evaluation.scaled_total
        self._lowest = min(self._lowest, value)
        gradient = descent_direction(evaluation, None).copy()  # the objective's own will be that of the next trial
        found = self._search(image, start, value, gradient, objective)
        if found is None and self._pairs:
            self._pairs.clear()
            found = self._search(image, start, value, gradient, objective)
        if found is None:
            image[:] = start
            return
        length, evaluation = found
        remembered = self._remember(image - start, descent_direction(evaluation, None) - gradient)
        self._growth = 1.0 if remembered else 2 * self._growth
        yield Move(evaluation, length)

    def _search(
        self, image: Any, start: Any, value: float, gradient: Any, objective: Callable[[Any], Evaluation]
    ) -> tuple[float, Evaluation] | None:
        """Move `image` from `start` to where the total is low enough: the length of the step, and the evaluation."""
        direction = self._direction(gradient)
        slope, length = inner_product(gradient, direction), 1.0
        for _ in range(TRIALS if slope < 0 else 0):
            image[:] = start + length * direction
            evaluation = objective(image)
            rise = evaluation.scaled_total - value if math.isfinite(norm(evaluation.gradient)) else math.inf
            near_lowest = length == 1.0 and value + rise <= (1 + SLACK) * self._lowest
            if near_lowest or rise <= SUFFICIENT * length * slope:
                return length, evaluation
            length = _shortened(length, slope, rise)
        return None

    def _direction(self, gradient: Any) -> Any:
        """Minus the gradient, multiplied by the approximation of the inverse Hessian."""
        if not self._pairs:
            direction = self._smoothed(gradient)
            length, steepness = first_step_length(self._settings, direction.size), norm(direction)
            return direction * (-self._shortening * self._growth * length / steepness if steepness > 0 else 0.0)
        direction = -gradient
        shares = []
        for pair in reversed(self._pairs):
            shares.append(inner_product(pair.change, direction) / pair.curvature)
            add_scaled(direction, -shares[-1], pair.difference)
        direction = self._pairs[-1].scale * self._smoothed(direction)
        for pair, share in zip(self._pairs, reversed(shares)):
            add_scaled(direction, share - inner_product(pair.difference, direction) / pair.curvature, pair.change)
        return direction

    def _smoothed(self, array: Any) -> Any:
        """P x for an array x (1, 3, H, W)."""
        mx = load_mxnet()
        tent = array
        for kernel in self._kernels:
            _, _, height, width = kernel.shape
            pad = (height // 2, width // 2)
            tent = mx.nd.Convolution(
                tent, kernel, kernel=(height, width), pad=pad, num_filter=3, num_group=3, no_bias=True
            )
        return array + SMOOTH * tent

    def _remember(self, change: Any, difference: Any) -> bool:
        """Remember a step if the losses bend upwards along it; whether they do."""
        curvature = inner_product(change, difference)
        if not curvature > _LEAST_CURVATURE * inner_product(difference, difference):
            return False
        scale = curvature / inner_product(difference, self._smoothed(difference))
        self._pairs.append(_Pair(change, difference, curvature, scale))
        return True

    def settle(self, image: Any) -> None:
        """Every step ends where the run may end."""

    def state(self) -> dict[str, NDArray]:
        return {
            **self.way_back(),
            "growth": np.array(self._growth),
            "lowest": np.array(self._lowest),
            "changes": self._stacked([pair.change for pair in self._pairs]),
            "differences": self._stacked([pair.difference for pair in self._pairs]),
        }

    def _stacked(self, arrays: list[Any]) -> NDArray[np.float32]:
        """The arrays (1, 3, H, W) as one, (number, 3, H, W)."""
        stacked = np.empty((len(arrays), *self._shape[1:]), np.float32)
        for number, array in enumerate(arrays):
            stacked[number] = array.asnumpy()[0]
        return stacked

    def restore(self, state: Mapping[str, NDArray]) -> None:
        mx = load_mxnet()
        self._shortening, self._growth = float(state["shortening"]), float(state["growth"])
        self._lowest = float(state["lowest"])
        self._pairs.clear()
        for pair in zip(state["changes"], state["differences"]):
            self._remember(*(mx.nd.array(array[np.newaxis], ctx=self._context) for array in pair))

    def way_back(self) -> dict[str, NDArray]:
        return {"shortening": np.array(self._shortening)}

    def go_back(self, state: Mapping[str, NDArray], factor: float) -> None:
        self._pairs.clear()
        self._shortening, self._growth, self._lowest = factor * self._shortening, 1.0, math.inf

    def carried(self, height: int, width: int) -> dict[str, NDArray]:
        """No steps are remembered: the losses bend otherwise at another size."""
        nothing = np.empty((0, 3, height, width), np.float32)
        begun = {"growth": np.array(1.0), "lowest": np.array(math.inf), "changes": nothing, "differences": nothing}
        return {**self.way_back(), **begun}


def _shortened(length: float, slope: float, rise: float) -> float:
    """The next trial of a line search: where the parabola through value, slope and rise is lowest, within `SHORTER`."""
    least, most = SHORTER
    if not math.isfinite(rise):
        return least * length
    lowest = -slope * length**2 / (2 * (rise - length * slope))
    return min(max(lowest, least * length), most * length)
