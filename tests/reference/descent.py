"""The optimisers in NumPy float64, with PyTorch's Adam and SciPy's L-BFGS-B.

Each takes a function that evaluates an image, the initial image and the number of steps, and returns the visited images
with their evaluations and learning rates, the initial one first. Settings have the names of config keys. `displayable`
are the values of black and white; `bounds: displayable` keeps the image within them.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from reference.formulas import Evaluation

Evaluate = Callable[[np.ndarray], Evaluation]


class Visit(NamedTuple):
    image: np.ndarray
    evaluation: Evaluation
    rate: float = math.nan  # of the update that led to this image


Visited = list[Visit]


def descend(settings: Mapping[str, Any], evaluate: Evaluate, x: np.ndarray, steps: int) -> Visited:
    """Run the method named in the settings, with the settings that it uses."""
    methods = {"sgd": sgd, "adam": adam, "accept_reject": accept_reject, "lbfgs": lbfgs, "lbfgsb": lbfgsb}
    method = methods[settings["name"]]
    own = inspect.signature(method).parameters
    return method(evaluate, x, steps, **{key: value for key, value in settings.items() if key in own})


def rates(learning_rate: float, schedule: Mapping[str, Any] | None) -> Iterator[float]:
    """The learning rates of the updates; the rate drops after every update that is a multiple of the step."""
    for update in itertools.count(1):
        yield learning_rate
        if schedule is not None and update % schedule["step"] == 0:
            learning_rate *= schedule["factor"]


def direction(evaluation: Evaluation, clip_norm: float | str | None) -> np.ndarray:
    """The gradient of content and style, clipped to `clip_norm`, plus that of the TV."""
    gradient = evaluation.gradient
    limit = float(gradient.size) if clip_norm == "elements" else clip_norm
    norm = np.sqrt(np.sum(gradient**2))
    if limit is not None and norm > limit:
        gradient = gradient * limit / norm
    return gradient + evaluation.tv_gradient


Displayable = tuple[np.ndarray, np.ndarray]


def within(x: np.ndarray, bounds: str, displayable: Displayable | None) -> np.ndarray:
    """The nearest image within the bounds."""
    if bounds == "none":
        return x
    assert displayable is not None
    return np.clip(x, *displayable)


def sgd(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    clip_norm: float | str | None = None,
    schedule: Mapping[str, Any] | None = None,
    bounds: str = "none",
    displayable: Displayable | None = None,
) -> Visited:
    x = within(x, bounds, displayable)
    visited, velocity = [Visit(x, evaluate(x))], np.zeros_like(x)
    for rate in itertools.islice(rates(learning_rate, schedule), steps):
        gradient = direction(visited[-1].evaluation, clip_norm) + weight_decay * x
        velocity = momentum * velocity - rate * gradient
        x = within(x + velocity, bounds, displayable)
        visited.append(Visit(x, evaluate(x), rate))
    return visited


def adam(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
    clip_norm: float | str | None = None,
    schedule: Mapping[str, Any] | None = None,
    bounds: str = "none",
    displayable: Displayable | None = None,
) -> Visited:
    import torch

    x = within(x, bounds, displayable)
    image = torch.tensor(x)
    theirs = torch.optim.Adam([image], betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay)
    visited = [Visit(x, evaluate(x))]
    for rate in itertools.islice(rates(learning_rate, schedule), steps):
        theirs.param_groups[0]["lr"] = rate
        image.grad = torch.tensor(direction(visited[-1].evaluation, clip_norm))
        theirs.step()
        x = within(image.numpy().copy(), bounds, displayable)
        image[:] = torch.tensor(x)
        visited.append(Visit(x, evaluate(x), rate))
    return visited


def accept_reject(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    learning_rate: float,
    displayable: tuple[np.ndarray, np.ndarray],
    clip_norm: float | str | None = None,
    schedule: Mapping[str, Any] | None = None,
) -> Visited:
    """Plain gradient steps; values that would leave the `displayable` range keep their old value."""
    black, white = displayable
    visited = [Visit(x, evaluate(x))]
    for rate in itertools.islice(rates(learning_rate, schedule), steps):
        proposed = x - rate * direction(visited[-1].evaluation, clip_norm)
        x = np.where((black <= proposed) & (proposed <= white), proposed, x)
        visited.append(Visit(x, evaluate(x), rate))
    return visited


def lbfgs(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    history: int = 10,
    first_step: float | None = None,
    bounds: str = "none",
    displayable: Displayable | None = None,
) -> Visited:
    """L-BFGS from the definition of the approximate inverse Hessian, with a backtracking line search.

    With bounds, only values move whose gradient does not push them against their bound, trials are moved into the
    bounds, and the gradient's differences count where the image has changed.
    """

    def project(x: np.ndarray) -> np.ndarray:
        return within(x, bounds, displayable)

    x = project(x)
    visited = [Visit(x, evaluate(x))]
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    flat = 0  # consecutive steps without positive curvature
    while len(visited) <= steps:
        x, evaluation, _ = visited[-1]
        gradient = direction(evaluation, None)
        free = project(x - 1e-3 * np.sign(gradient)) != x if bounds != "none" else np.ones(x.shape, bool)
        downwards = -inverse_hessian(free * gradient, pairs)
        if not pairs:
            length = 1.0 if first_step is None else first_step * np.sqrt(x.size)
            downwards *= 2**flat * length / np.linalg.norm(downwards)
        downwards = free * downwards
        lowest = min(visit.evaluation.total for visit in visited)
        found = _backtrack(evaluate, project, x, evaluation.total, downwards, gradient, 1.001 * lowest)
        if found is None and not pairs:
            break
        if found is None:
            pairs = []
            continue
        visited.append(found)
        change, difference = found.image - x, direction(found.evaluation, None) - gradient
        if bounds != "none":
            difference = difference * (change != 0)
        if np.vdot(change, difference) > 1e-10 * np.vdot(difference, difference):
            pairs, flat = [*pairs, (change, difference)][-history:], 0
        else:
            flat += 1
    return visited


def inverse_hessian(vector: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """H v, where each pair (s, y), oldest first, updates H to (1 - s y'/s'y) H (1 - y s'/s'y) + s s'/s'y."""
    if pairs:
        change, difference = pairs[-1]
        scale = np.vdot(change, difference) / np.vdot(difference, smoothing(difference))
    else:
        scale = 1.0

    def times(vector: np.ndarray, count: int) -> np.ndarray:
        if count == 0:
            return scale * smoothing(vector)
        change, difference = pairs[count - 1]
        share = np.vdot(change, vector) / np.vdot(change, difference)
        inner = times(vector - share * difference, count - 1)
        return inner - np.vdot(difference, inner) / np.vdot(change, difference) * change + share * change

    return times(vector, len(pairs))


def smoothing(x: np.ndarray) -> np.ndarray:
    """x plus 3 times x blurred vertically and horizontally by a tent of 5 values, with zero padding."""
    from scipy.ndimage import convolve1d

    blurred = x
    for axis in (-2, -1):
        blurred = convolve1d(blurred, np.array([1, 2, 3, 2, 1]) / 9, axis=axis, mode="constant")
    return x + 3 * blurred


def _backtrack(
    evaluate: Evaluate,
    project: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    total: float,
    downwards: np.ndarray,
    gradient: np.ndarray,
    good_enough: float,
) -> Visit | None:
    """The first of 20 trials whose total is low enough; for the first trial, `good_enough` suffices."""
    length, slope = 1.0, np.vdot(gradient, downwards)
    for _ in range(20 if slope < 0 else 0):
        trial = project(x + length * downwards)
        evaluation = evaluate(trial)
        finite = np.isfinite(evaluation.total) and np.isfinite(evaluation.gradient).all()
        asked = total + 1e-4 * np.vdot(gradient, trial - x)
        if finite and evaluation.total <= (max(asked, good_enough) if length == 1.0 else asked):
            return Visit(trial, evaluation, length)
        bend = (evaluation.total - total - length * slope) / length**2  # total + slope t + bend t^2
        length = float(np.clip(-slope / (2 * bend), 0.1 * length, 0.5 * length)) if finite else 0.1 * length
    return None


def lbfgsb(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    evaluations: int,
    history: int = 10,
    rounds: int | None = None,
    first_step: float | None = None,
    bounds: str = "none",
    displayable: Displayable | None = None,
) -> Visited:
    """Rounds of SciPy's L-BFGS-B, each with a fresh history; every evaluation is a step.

    Except the first evaluation of a round, which repeats the last point of the previous round.
    """
    x = within(x, bounds, displayable)
    limits = None if bounds == "none" else [np.broadcast_to(limit, x.shape) for limit in displayable or ()]
    visited: Visited = []
    for _ in itertools.count() if rounds is None else range(rounds):
        x, trials = _round(evaluate, x, steps, evaluations, history, first_step, limits)
        visited += trials[1:] if visited else trials
        if len(visited) > steps or len(trials) == 1:
            break
    return visited[: steps + 1]


def _round(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    evaluations: int,
    history: int,
    first_step: float | None,
    limits: Sequence[np.ndarray] | None,
) -> tuple[np.ndarray, Visited]:
    from scipy.optimize import fmin_l_bfgs_b

    trials: Visited = []
    unit = 1.0 if first_step is None else first_step * np.sqrt(x.size)
    if limits is not None:  # then the first trial is minus the gradient
        unit = np.sqrt(unit / np.linalg.norm(direction(evaluate(x), None)))

    def ask(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = unit * flat.reshape(x.shape)
        trials.append(Visit(point, evaluate(point)))
        if len(trials) > steps:
            raise _Enough
        evaluation = trials[-1].evaluation
        return evaluation.total, (evaluation.gradient + evaluation.tv_gradient).ravel() * unit

    try:
        bounds = None if limits is None else [*zip(*(limit.ravel() / unit for limit in limits))]
        found, _, _ = fmin_l_bfgs_b(ask, x.ravel() / unit, maxfun=evaluations, m=history, bounds=bounds)
    except _Enough:
        return x, trials
    return unit * found.reshape(x.shape), trials


class _Enough(Exception):
    """The requested number of steps is reached."""
