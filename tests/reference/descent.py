"""The optimisers of the source systems in NumPy float64, with PyTorch's Adam and SciPy's L-BFGS-B.

Each takes the function that evaluates an image, the image it starts from and how many steps to make, and returns the
visited images with their evaluations, the start first. Settings have the names of the config's keys.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from reference.formulas import Evaluation

Evaluate = Callable[[np.ndarray], Evaluation]
Visited = list[tuple[np.ndarray, Evaluation]]


def descend(settings: Mapping[str, Any], evaluate: Evaluate, x: np.ndarray, steps: int) -> Visited:
    """The steps of the method that the settings name, with those of them that concern it."""
    method = {"sgd": sgd, "adam": adam, "accept_reject": accept_reject, "lbfgs": lbfgs}[settings["name"]]
    own = inspect.signature(method).parameters
    return method(evaluate, x, steps, **{key: value for key, value in settings.items() if key in own})


def rates(learning_rate: float, schedule: Mapping[str, Any] | None) -> Iterator[float]:
    """The learning rates of the updates; it falls behind every update that is a multiple of the step."""
    for update in itertools.count(1):
        yield learning_rate
        if schedule is not None and update % schedule["step"] == 0:
            learning_rate *= schedule["factor"]


def direction(evaluation: Evaluation, clip_norm: float | str | None) -> np.ndarray:
    """The gradient of content and style, no longer than `clip_norm`, and that of the TV on top."""
    gradient = evaluation.gradient
    limit = float(gradient.size) if clip_norm == "elements" else clip_norm
    norm = np.sqrt(np.sum(gradient**2))
    if limit is not None and norm > limit:
        gradient = gradient * limit / norm
    return gradient + evaluation.tv_gradient


def sgd(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    clip_norm: float | str | None = None,
    schedule: Mapping[str, Any] | None = None,
) -> Visited:
    visited, velocity = [(x, evaluate(x))], np.zeros_like(x)
    for rate in itertools.islice(rates(learning_rate, schedule), steps):
        gradient = direction(visited[-1][1], clip_norm) + weight_decay * x
        velocity = momentum * velocity - rate * gradient
        x = x + velocity
        visited.append((x, evaluate(x)))
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
) -> Visited:
    import torch

    image = torch.tensor(x)
    theirs = torch.optim.Adam([image], betas=(beta1, beta2), eps=epsilon, weight_decay=weight_decay)
    visited = [(x, evaluate(x))]
    for rate in itertools.islice(rates(learning_rate, schedule), steps):
        theirs.param_groups[0]["lr"] = rate
        image.grad = torch.tensor(direction(visited[-1][1], clip_norm))
        theirs.step()
        x = image.numpy().copy()
        visited.append((x, evaluate(x)))
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
    """Plain steps; a value that would leave the `displayable` range stays what it is."""
    black, white = displayable
    visited = [(x, evaluate(x))]
    for rate in itertools.islice(rates(learning_rate, schedule), steps):
        proposed = x - rate * direction(visited[-1][1], clip_norm)
        x = np.where((black <= proposed) & (proposed <= white), proposed, x)
        visited.append((x, evaluate(x)))
    return visited


def lbfgs(
    evaluate: Evaluate,
    x: np.ndarray,
    steps: int,
    evaluations: int,
    history: int = 10,
    rounds: int | None = None,
    first_step: float | None = None,
) -> Visited:
    """Rounds of SciPy's L-BFGS-B, each without a memory of the one before; every evaluation is a step.

    But for the first of a round, which is of the point that the round before arrived at.
    """
    visited: Visited = []
    for _ in itertools.count() if rounds is None else range(rounds):
        x, trials = _round(evaluate, x, steps, evaluations, history, first_step)
        visited += trials[1:] if visited else trials
        if len(visited) > steps or len(trials) == 1:
            break
    return visited[: steps + 1]


def _round(
    evaluate: Evaluate, x: np.ndarray, steps: int, evaluations: int, history: int, first_step: float | None
) -> tuple[np.ndarray, Visited]:
    from scipy.optimize import fmin_l_bfgs_b

    trials: Visited = []
    unit = 1.0 if first_step is None else first_step * np.sqrt(x.size)

    def ask(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = unit * flat.reshape(x.shape)
        trials.append((point, evaluate(point)))
        if len(trials) > steps:
            raise _Enough
        evaluation = trials[-1][1]
        return evaluation.total, (evaluation.gradient + evaluation.tv_gradient).ravel() * unit

    try:
        found, _, _ = fmin_l_bfgs_b(ask, x.ravel() / unit, maxfun=evaluations, m=history)
    except _Enough:
        return x, trials
    return unit * found.reshape(x.shape), trials


class _Enough(Exception):
    """As many steps as were asked for."""
