"""The table of time to a loss: the time of ours to the loss that PyTorch's L-BFGS reaches in a number of evaluations.

PyTorch runs as in neural-style-pt: ``torch.optim.LBFGS`` with learning rate 1, a history of 100, no line search and
no stopping rule, from noise, at the size of the result, in float32. Ours runs as configured. Both minimise the same
total for the same pictures and weights, which is checked before timing.

The comparison always uses the float32 total at the size of the result: where ours is at a smaller scale, or computes in
bfloat16, some of its images are stored, resized and evaluated afterwards. Timing starts when the pictures and weights
have been read and the libraries imported; it includes the targets and binding.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer import config as configs
from styletransfer import engines, weights
from styletransfer.bench import fresh_process, pytorch, steps
from styletransfer.config import Config
from styletransfer.pictures import images, pixels
from styletransfer.session import binding, inputs
from styletransfer.session.display import Display
from styletransfer.session.inputs import Pictures
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import RunPlan, resolve
from styletransfer.support.errors import StyleTransferError

TOLERANCE = 1e-4  # relative, between the totals of both
_HISTORY = 100
HEADINGS = (
    "network", "long edge", "PyTorch / ours", "ours s", "ours steps", "PyTorch s", "PyTorch evaluations", "loss",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A loss, and when it was reached."""

    evaluation: int
    seconds: float
    loss: float


Curve = tuple[Point, ...]


def first_below(points: Sequence[Point], threshold: float) -> Point | None:
    """The first point whose loss is at most the threshold."""
    return next((point for point in points if point.loss <= threshold), None)


def best(points: Sequence[Point]) -> Point:
    """The first point of the lowest loss.

    Raises StyleTransferError if no loss is finite.
    """
    finite = [point for point in points if math.isfinite(point.loss)]
    if not finite:
        raise StyleTransferError("no loss of the curve is finite")
    return min(finite, key=lambda point: point.loss)


def cells(ours: Sequence[Point], theirs: Sequence[Point]) -> list[str]:
    """The ratio of times, seconds and steps of both, and the loss; without `theirs`, those of our lowest loss."""
    goal = best(theirs or ours)
    reached = first_below(ours, goal.loss)
    return [
        f"{goal.seconds / reached.seconds:.2f}" if reached and theirs else "-",
        f"{reached.seconds:.1f}" if reached else f"not reached: {best(ours).loss:.6g}",
        str(reached.evaluation if reached else ours[-1].evaluation),
        *((f"{goal.seconds:.1f}", str(goal.evaluation)) if theirs else "--"),
        f"{goal.loss:.6g}",
    ]


def check_same(ours: float, theirs: float, what: str) -> None:
    """Check that two losses of one image are the same.

    Raises StyleTransferError if they differ by more than `TOLERANCE`.
    """
    if not math.isclose(ours, theirs, rel_tol=TOLERANCE):
        raise StyleTransferError(f"the objectives differ: for the {what}, {ours!r} in ours and {theirs!r} in theirs")


def config_for(model: str, size: int, content: str, style: str, assignments: Sequence[str]) -> Config:
    """The default settings for a network, a size and two pictures, with ``--set``.

    Raises UserError if a key or value is invalid.
    """
    values = {"model": model, "size": size, "content": {"image": content}, "style": {"images": style}}
    return configs.parse(configs.override(values, assignments), "the command line")


def run(config: Config, evaluations: int, noise: float, every: int) -> tuple[Curve, Curve]:
    """Check that both have the same objective, and run one after the other; the curves of ours and of PyTorch.

    Raises StyleTransferError if the totals of the two differ by more than `TOLERANCE`.

    Parameters
    ----------
    evaluations : int
        Of PyTorch; its curve is empty without PyTorch.
    noise : float
        Standard deviation of the image PyTorch starts from, in values of `pixels`.
    every : int
        Our steps between images that are evaluated afterwards.
    """
    values = config.model_dump(mode="json", exclude={"provenance"})
    if not engines.installed("torch"):
        return curve(our_curve, values, None, every), ()
    for what, (ours, theirs) in fresh_process.call(totals_at_starts, values, noise).items():
        check_same(ours, theirs, what)
    slow = curve(pytorch_curve, values, evaluations, noise)
    return curve(our_curve, values, best(slow).loss, every), slow


def curve(function: Any, *arguments: Any) -> Curve:
    """The curve that a function of a fresh process returns as rows of numbers."""
    return tuple(Point(int(step), seconds, loss) for step, seconds, loss in fresh_process.call(function, *arguments))


def has_weights(weights_file: str | None, spec: ModelSpec) -> bool:
    """Tell whether weights are named or the network's own exist; otherwise, they are random."""
    return weights_file is not None or spec.weights_path.is_file()


def _read(values: Mapping[str, Any]) -> tuple[RunPlan, list[Pictures], weights.Parameters]:
    """The plan, its pictures at every scale, and the weights."""
    config = configs.parse(values, "the benchmark")
    plan = resolve(config)
    parameters = (
        inputs.load_parameters(plan) if has_weights(config.weights, config.spec) else weights.random(config.spec, 0)
    )
    return plan, inputs.read_pictures(plan), parameters


def _noise(height: int, width: int, seed: int, deviation: float) -> NDArray[np.float32]:
    """The image that PyTorch starts from."""
    return np.random.default_rng(seed).normal(0.0, deviation, (1, 3, height, width)).astype(np.float32)


def totals_at_starts(values: Mapping[str, Any], deviation: float) -> dict[str, tuple[float, float]]:
    """The totals of the noise and of the content picture in ours and in PyTorch, in float32 at the final size."""
    plan, scales, parameters = _read(values)
    assert scales[-1].content is not None
    last, seed = plan.scales[-1], plan.config.seed
    starts = [
        _noise(last.height, last.width, seed, deviation),
        pixels.from_picture(scales[-1].content, plan.config.pixels),
    ]
    ours = _totals(plan, scales[-1], parameters, starts)
    torch, objective = pytorch.load_torch(), _in_pytorch(plan, scales[-1], parameters)
    with torch.no_grad():
        theirs = [float(objective(torch.from_numpy(image))) for image in starts]
    return dict(zip(("noise", "photograph"), zip(ours, theirs)))


def _totals(
    plan: RunPlan, pictures: Pictures, parameters: weights.Parameters, arrays: Sequence[NDArray]
) -> list[float]:
    """Our float32 totals of images of any size, resized to that of the pictures."""
    plain = dataclasses.replace(plan, choice=dataclasses.replace(plan.choice, precision="float32"))
    size = plan.scales[-1].height, plan.scales[-1].width
    enlarged = [images.enlarged(image, *size) for image in arrays]
    objective = binding.bind(plain, plan.scales[-1], pictures, parameters, enlarged[0]).objective
    array = plain.choice.load().array
    return [objective(array(image)).losses.total for image in enlarged]


def _in_pytorch(plan: RunPlan, pictures: Pictures, parameters: weights.Parameters) -> pytorch.Objective:
    """The objective of a run for the pictures of one of its scales; another one where it is not implemented."""
    adapted, balance = weights.parameters_for(plan.config.spec, parameters, plan.config.pixels), plan.loss_weights
    layers = {**balance.content_layers, **balance.style_layers}
    return pytorch.Objective(
        steps.vgg(plan.config.spec.name, adapted, plan.pooling, layers, steps.STACKS["torch"]),
        pixels.from_picture(pictures.content, plan.config.pixels),  # type: ignore[arg-type]
        [(weight, pixels.from_picture(style, plan.config.pixels)) for weight, style in pictures.styles],
        balance.content_layers,
        balance.style_layers,
        (balance.content, balance.style, balance.tv if plan.config.tv.used_kind != "none" else 0.0),
    )


def pytorch_curve(values: Mapping[str, Any], evaluations: int, deviation: float) -> list[tuple[int, float, float]]:
    """(evaluation, seconds, total) of PyTorch's L-BFGS, from noise.

    L-BFGS minimises the total times the number of values in the image, as ours does: the gradient of the unscaled total
    is so small that its curvature threshold would reject every step.
    """
    plan, scales, parameters = _read(values)
    pictures = scales[-1]
    torch = pytorch.load_torch()
    start = _noise(plan.scales[-1].height, plan.scales[-1].width, plan.config.seed, deviation)
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)]).zero_grad()  # triggers slow lazy imports
    started = time.perf_counter()
    objective = _in_pytorch(plan, pictures, parameters)
    image = torch.from_numpy(start).requires_grad_(True)
    gain = float(image.numel())
    optimizer = torch.optim.LBFGS(
        [image],
        lr=1,
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=_HISTORY,
        tolerance_grad=-1,
        tolerance_change=-1,
    )
    points: list[tuple[int, float, float]] = []

    def evaluate() -> Any:
        optimizer.zero_grad()
        loss = objective(image) * gain
        loss.backward()
        points.append((len(points) + 1, time.perf_counter() - started, float(loss.detach()) / gain))
        return loss

    optimizer.step(evaluate)
    return points


def our_curve(
    values: Mapping[str, Any], threshold: float | None, every: int, picture: str | None = None
) -> list[tuple[int, float, float]]:
    """(step, seconds, total) of ours, up to the threshold if it is reached in float32 at the last scale.

    The result is written to the file `picture`, if given.
    """
    plan, scales, parameters = _read(values)
    plan.choice.load()
    importlib.import_module("scipy.optimize")
    float32 = plan.choice.precision == "float32"
    last_of_scale = set(itertools.accumulate(scale.steps for scale in plan.scales))
    points: list[tuple[int, float, float]] = []
    kept: list[tuple[int, float, NDArray]] = []
    excluded = 0.0  # seconds that are not part of a run
    started = time.perf_counter()
    pyramid = Pyramid(plan, scales, parameters)
    for record in pyramid.records():
        now = time.perf_counter()
        if float32 and record.scale == len(scales) - 1:
            points.append((record.step, now - started - excluded, record.losses.total))
            if threshold is not None and record.losses.total <= threshold:
                break
        elif record.step % every == 0 or record.step in last_of_scale:
            kept.append((record.step, now - started - excluded, record.values()))
        excluded += time.perf_counter() - now
    if picture is not None:
        images.write(picture, Display(plan, scales).picture(record.values()))
    del pyramid, record  # their memory is needed
    if kept:
        totals = _totals(plan, scales[-1], parameters, [image for _, _, image in kept])
        points += [(step, seconds, total) for (step, seconds, _), total in zip(kept, totals)]
    return sorted(points)
