"""Time to quality: the time each stack takes to the loss that PyTorch's L-BFGS reaches in a number of evaluations.

PyTorch runs as in neural-style-pt: ``torch.optim.LBFGS`` with learning rate 1, a history of 100, no line search and
no stopping rule, from noise, at the size of the result, in float32. Ours runs as configured, through
:class:`~styletransfer.session.pyramid.Pyramid`. Both minimise the same total for the same pictures and weights,
which is checked before timing.

The comparison always uses the float32 total at the size of the result: where ours is at a smaller scale, or computes in
bfloat16, some of its images are stored, resized and evaluated afterwards. Timing starts when the pictures and weights
have been read and the libraries imported; it includes the targets and binding.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib
import io
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer import weights
from styletransfer.config import Config
from styletransfer.pictures import images, pixels
from styletransfer.session import binding, inputs
from styletransfer.session.display import Display
from styletransfer.session.inputs import Pictures
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import RunPlan, resolve
from styletransfer.studies.benchmarks import fresh_process, machine, pytorch
from styletransfer.support.errors import StyleTransferError, UserError
from styletransfer.support.files import atomic_write

TOLERANCE = 1e-4  # relative, between the totals of the two stacks
HISTORY = 100
NOISE = 0.001  # standard deviation of neural-style-pt's initial noise, for values of 0..255
HEADINGS = (
    "network", "long edge", "PyTorch / ours", "ours s", "ours steps", "PyTorch s", "PyTorch evaluations", "loss",
)  # fmt: skip
_CURVE = ("stack", "network", "long edge", "evaluation", "seconds", "loss")
_OURS, _PYTORCH = "ours", "PyTorch"


@dataclass(frozen=True)
class Point:
    """The float32 total at the size of the result, and when it was reached."""

    evaluation: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Result:
    """The two curves of one network. `theirs` is empty without PyTorch."""

    network: str
    edge: int
    real_weights: bool
    threshold: float | None
    ours: tuple[Point, ...]
    theirs: tuple[Point, ...]

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> Result:
        """The inverse of `dataclasses.asdict`, for values read from JSON."""
        curves = {name: tuple(Point(**point) for point in values[name]) for name in ("ours", "theirs")}
        return Result(**{**values, **curves})


def first_below(points: Sequence[Point], threshold: float) -> Point | None:
    """The first point whose loss is at most the threshold."""
    return next((point for point in points if point.loss <= threshold), None)


def best(points: Sequence[Point]) -> Point:
    """The first point of the lowest loss.

    Raises
    ------
    StyleTransferError
        If no loss is finite.
    """
    finite = [point for point in points if math.isfinite(point.loss)]
    if not finite:
        raise StyleTransferError("no loss of the curve is finite")
    return min(finite, key=lambda point: point.loss)


def lowest_so_far(points: Sequence[Point]) -> list[float]:
    """For every point, the lowest loss so far: without a line search, L-BFGS sometimes overshoots."""
    return list(itertools.accumulate((point.loss for point in points), min))


def cells(result: Result) -> list[str]:
    """The row of a result, under `HEADINGS`."""
    ours = None if result.threshold is None else first_below(result.ours, result.threshold)
    theirs = None if result.threshold is None else first_below(result.theirs, result.threshold)
    lowest = best(result.ours)
    return [
        result.network,
        str(result.edge),
        f"{theirs.seconds / ours.seconds:.2f}" if ours and theirs else "-",
        f"{ours.seconds:.1f}" if ours else "not reached" if result.threshold is not None else f"{lowest.seconds:.1f}",
        str(ours.evaluation if ours else lowest.evaluation),
        f"{theirs.seconds:.1f}" if theirs else "-",
        str(theirs.evaluation) if theirs else "-",
        f"{lowest.loss:.6g}" if result.threshold is None else f"{result.threshold:.6g}",
    ]


def notes(results: Sequence[Result]) -> list[str]:
    """Notes below the table."""
    found = [
        f"({result.network}: random weights, as its own are missing; run `python scripts/fetch.py {result.network}`)"
        for result in results
        if not result.real_weights
    ]
    for result in results:
        if result.threshold is None:
            found.append(f"({result.network}: ours only, to the lowest loss of its run)")
        elif first_below(result.ours, result.threshold) is None:
            lowest = best(result.ours)
            found.append(
                f"({result.network}: ours did not reach the loss; its lowest is {lowest.loss:.6g}, "
                f"at step {lowest.evaluation}, {lowest.seconds:.1f} s)"
            )
    return found


def config_for(model: str, size: int, content: str, style: str, assignments: Sequence[str]) -> Config:
    """The default preset for a network, a size and two pictures, with ``--set``.

    Raises
    ------
    UserError
        If a key or value is invalid.
    """
    values = {"model": model, "size": size, "content": {"image": content}, "style": {"images": style}}
    return configs.parse(configs.override(values, assignments), "the command line")


def race(config: Config, evaluations: int, noise: float, every: int, theirs: Sequence[Point] | None = None) -> Result:
    """Check that both stacks have the same objective, and run one after the other.

    Parameters
    ----------
    config : Config
    evaluations : int
        Of PyTorch.
    noise : float
        Standard deviation of the image PyTorch starts from, in values of `pixels`.
    every : int
        Our steps between images that are evaluated afterwards.
    theirs : sequence of Point, optional
        PyTorch's curve, if it was measured before.

    Raises
    ------
    StyleTransferError
        If the totals of the two differ by more than `TOLERANCE`.
    """
    values = config.model_dump(mode="json", exclude={"provenance"})
    measured = theirs is None and machine.has_pytorch()
    totals = fresh_process.call(totals_at_starts, values, noise, measured)
    if theirs:
        totals["PyTorch"] = {"noise": theirs[0].loss}
    for image, total in totals.get("PyTorch", {}).items():
        if not math.isclose(total, totals["ours"][image], rel_tol=TOLERANCE):
            raise StyleTransferError(
                f"the objectives differ: for the {image} image, {totals['ours'][image]!r} in ours and {total!r} in "
                "PyTorch" + (" as measured before" if theirs else "")
            )
    if measured:
        theirs = points_of(fresh_process.call(pytorch_curve, values, evaluations, noise))
    threshold = best(theirs).loss if theirs else None
    ours = points_of(fresh_process.call(our_curve, values, threshold, every))
    height_width = config.long_edges[-1]
    return Result(config.model, height_width, has_real_weights(config), threshold, ours, tuple(theirs or ()))


def points_of(rows: Sequence[Sequence[float]]) -> tuple[Point, ...]:
    """The rows of a curve as points."""
    return tuple(Point(int(evaluation), seconds, loss) for evaluation, seconds, loss in rows)


def has_real_weights(config: Config) -> bool:
    """Whether the config names weights or the network's own exist; otherwise, they are random."""
    return config.weights is not None or config.spec.weights_path.is_file()


def _read(values: Mapping[str, Any]) -> tuple[RunPlan, list[Pictures], weights.Parameters]:
    """The plan, its pictures at every scale, and the weights."""
    config = configs.parse(values, "the benchmark")
    plan = resolve(config)
    parameters = inputs.load_parameters(plan) if has_real_weights(config) else weights.random(plan.spec, 0)
    return plan, inputs.read_pictures(plan), parameters


def _noise(plan: RunPlan, pictures: Pictures, deviation: float) -> NDArray[np.float32]:
    """The image that PyTorch starts from."""
    shape = (1, 3, pictures.height, pictures.width)
    return np.random.default_rng(plan.seed).normal(0.0, deviation, shape).astype(np.float32)


def totals_at_starts(values: Mapping[str, Any], deviation: float, with_pytorch: bool) -> dict[str, dict[str, float]]:
    """By stack, the totals of the noise and of the content picture, in float32 at the size of the result."""
    plan, scales, parameters = _read(values)
    noise = _noise(plan, scales[-1], deviation)
    assert scales[-1].content is not None
    starts = {"noise": noise, "content": pixels.from_picture(scales[-1].content, plan.pixels)}
    found = {"ours": dict(zip(starts, _totals(plan, scales[-1], parameters, list(starts.values()))))}
    if with_pytorch:
        torch = pytorch.load_torch()
        objective = pytorch.objective_of(plan, scales[-1], parameters)
        with torch.no_grad():
            found["PyTorch"] = {name: float(objective(torch.from_numpy(image))) for name, image in starts.items()}
    return found


def _totals(
    plan: RunPlan, pictures: Pictures, parameters: weights.Parameters, arrays: Sequence[NDArray]
) -> list[float]:
    """Our float32 totals of images of any size, resized to that of the pictures."""
    array = load_mxnet().nd.array
    plain = dataclasses.replace(plan, precision="float32")
    objective = binding.bind(plain, plan.scales[-1], pictures, parameters).objective
    size = pictures.height, pictures.width
    return [objective(array(images.enlarged(image, *size))).losses.total for image in arrays]


def pytorch_curve(values: Mapping[str, Any], evaluations: int, deviation: float) -> list[tuple[int, float, float]]:
    """(evaluation, seconds, total) of PyTorch's L-BFGS, from noise.

    L-BFGS minimises the total times the number of values in the image, as ours does: the gradient of the unscaled total
    is so small that its curvature threshold would reject every step.
    """
    plan, scales, parameters = _read(values)
    pictures = scales[-1]
    torch = pytorch.load_torch()
    start = _noise(plan, pictures, deviation)
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)]).zero_grad()  # triggers slow lazy imports
    started = time.perf_counter()
    objective = pytorch.objective_of(plan, pictures, parameters)
    image = torch.from_numpy(start).requires_grad_(True)
    gain = float(image.numel())
    optimizer = torch.optim.LBFGS(
        [image],
        lr=1,
        max_iter=evaluations,
        max_eval=evaluations,
        history_size=HISTORY,
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
    load_mxnet()
    importlib.import_module("scipy.optimize")
    float32 = plan.precision == "float32"
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
            kept.append((record.step, now - started - excluded, record.image.asnumpy()))
        excluded += time.perf_counter() - now
    if picture is not None:
        images.write(picture, Display(plan, scales).picture(record.image.asnumpy()))
    del pyramid, record  # their memory is needed
    if kept:
        totals = _totals(plan, scales[-1], parameters, [image for _, _, image in kept])
        points += [(step, seconds, total) for (step, seconds, _), total in zip(kept, totals)]
    return sorted(points)


def write_curves(path: str | Path, results: Sequence[Result]) -> None:
    """All curves as one CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CURVE)
    for result in results:
        for stack, points in ((_OURS, result.ours), (_PYTORCH, result.theirs)):
            for point in points:
                writer.writerow(
                    [stack, result.network, result.edge, point.evaluation, repr(point.seconds), repr(point.loss)]
                )
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def is_curve(path: Path) -> bool:
    """Whether a file is a CSV of :func:`write_curves`."""
    with contextlib.suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as stream:
        return stream.readline() == ",".join(_CURVE) + "\n"
    return False


def read_pytorch_curve(path: str | Path, network: str, edge: int) -> tuple[Point, ...]:
    """PyTorch's curve for a network and a long edge, from a CSV of :func:`write_curves`.

    Raises
    ------
    UserError
        If the file does not exist, was not written by :func:`write_curves`, or does not contain the curve.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        found = [
            (int(row["evaluation"]), float(row["seconds"]), float(row["loss"]))
            for row in rows
            if (row["stack"], row["network"], row["long edge"]) == (_PYTORCH, network, str(edge))
        ]
    except OSError as error:
        raise UserError(f"--reuse {path}: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UserError(f"--reuse {path}: not a CSV file written by --curve") from None
    if not found:
        raise UserError(f"--reuse {path}: no curve of PyTorch for {network} at a long edge of {edge}")
    return points_of(found)
