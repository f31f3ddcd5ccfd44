"""A breakdown of the time of a step on a CPU, as reported by oneDNN.

With ``DNNL_VERBOSE`` in the environment, oneDNN prints every primitive it executes with its time in milliseconds. A few
steps are made this way in a separate process. The rest of their wall time is everything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.optimization.loop import StoppingRule, optimize
from styletransfer.session import binding, inputs
from styletransfer.session.resolve import resolve
from styletransfer.studies.benchmarks import fresh_process
from styletransfer.support.errors import UserError

_UNTIMED = 2  # the initial image and the first step, in which primitives are created
_ENVIRONMENT = {"DNNL_VERBOSE": "1"}
_BEGIN, _END = "-- steps begin", "-- steps end"
CONVOLUTION, POOLING, RELU, GRAM, REORDER, TV, REST = (
    "convolution",
    "pooling",
    "ReLU",
    "Gram matrices",
    "reorders between layouts and types",
    "total variation",
    "everything else: sums, optimiser, Python",
)


@dataclass(frozen=True)
class Category:
    """One kind of work in a step, and its share of the time."""

    name: str
    milliseconds: float
    percent: float


@dataclass(frozen=True)
class Profile:
    """One step: its wall time, and the categories of work, which sum to it."""

    milliseconds: float
    steps: int  # over which the mean is taken
    categories: tuple[Category, ...]

    def lines(self) -> list[str]:
        """The table as text."""
        rows = [*self.categories, Category("a step", self.milliseconds, 100.0)]
        return [
            f"{'':42}{'ms':>10}{'%':>8}",
            *(f"{category.name:42}{category.milliseconds:10.1f}{category.percent:8.1f}" for category in rows),
        ]


def profile(config: Config, steps: int = 3) -> Profile:
    """Profile a few steps of a run, at its last scale and from its initial image.

    Nothing is written. The numbers are means over `steps`, after two evaluations that are not timed.

    Raises
    ------
    UserError
        If a file of the config cannot be used, if the device is not the CPU, or if the optimiser ends before any step
        is timed.
    """
    if config.device != "cpu":
        raise UserError(f"--profile: oneDNN runs on CPUs only; expected device: cpu, not {config.device}")
    values = config.model_dump(mode="json", exclude={"provenance"})
    (made, seconds), lines = fresh_process.call_and_listen(
        timed_steps,
        values,
        steps,
        environment=_ENVIRONMENT,
    )
    if not made:
        raise UserError("--profile: the optimiser ended before a step could be timed")
    return _profile(milliseconds_of(lines), 1000 * seconds, made)


def _profile(totals: Mapping[str, float], milliseconds: float, steps: int) -> Profile:
    """From the total milliseconds of all steps, by category and in wall time."""
    by_category = dict.fromkeys((CONVOLUTION, POOLING, RELU, GRAM, REORDER, TV), 0.0) | dict(totals)
    by_category[REST] = milliseconds - sum(by_category.values())
    categories = (Category(name, value / steps, 100 * value / milliseconds) for name, value in by_category.items())
    return Profile(milliseconds / steps, steps, tuple(categories))


def timed_steps(values: Mapping[str, Any], steps: int) -> tuple[int, float]:
    """The number of steps made, and their seconds; their primitives are printed between two marks."""
    mx = load_mxnet()
    plan = resolve(configs.parse(values, "the config"))
    pictures = inputs.read_pictures(plan)[-1]
    bound = binding.bind(plan, plan.scales[-1], pictures, inputs.load_parameters(plan))
    records = optimize(bound.image, bound.objective, bound.optimizer, StoppingRule(_UNTIMED - 1 + steps))
    with contextlib.closing(records):
        for _ in itertools.islice(records, _UNTIMED):
            pass
        mx.nd.waitall()
        _mark(_BEGIN)
        started = time.perf_counter()
        made = sum(1 for _ in records)
        mx.nd.waitall()
        seconds = time.perf_counter() - started
        _mark(_END)
    return made, seconds


def _mark(text: str) -> None:
    """Print a line in order with the primitives: oneDNN writes through C's stdio buffer."""
    ctypes.CDLL(None).fflush(None)
    print(text, flush=True)


def milliseconds_of(lines: Iterable[str]) -> dict[str, float]:
    """The milliseconds of all primitives printed between the marks, by category; other primitives are ignored."""
    totals: dict[str, float] = {}
    counted = False
    for line in lines:
        counted = (counted or line == _BEGIN) and line != _END
        if not counted or not line.startswith("dnnl_verbose,exec,"):
            continue
        category = category_of(line)
        if category is not None:
            totals[category] = totals.get(category, 0.0) + float(line.rpartition(",")[2])
    return totals


def category_of(line: str) -> str | None:
    """The category of a primitive, from its line.

    A line is ``dnnl_verbose,exec,cpu,PRIMITIVE,implementation,DIRECTION,MEMORY,attributes,auxiliary,PROBLEM,ms``. Gram
    matrices are inner products; their backward passes are 1 x 1 convolutions, which, unlike those of the networks, have
    as many outputs as inputs. The Laplacian and the blur of L-BFGS are convolutions in 3 groups.
    """
    fields = line.split(",")
    primitive, problem = fields[3], fields[-2]
    if primitive == "convolution":
        if problem.startswith("g3"):
            return TV if "kh3s" in problem and "kw3s" in problem else None
        channels = re.search(r"ic(\d+)oc(\d+)_.*kh1s.*kw1s", problem)
        return GRAM if channels and channels[1] == channels[2] else CONVOLUTION
    return {
        "inner_product": GRAM,
        "pooling_v2": POOLING,
        "eltwise": RELU,
        "reorder": REORDER,
    }.get(primitive)
