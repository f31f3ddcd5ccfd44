"""The table of steps: the time of a step and the peak memory of every stack, side by side.

Every measurement runs in a fresh process, and the stacks take turns, so that conditions are the same for all. Time
ratios are medians of the ratios within one round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from styletransfer.studies.benchmarks import fresh_process, stacks

HEADINGS = (
    "network", "size", "stack", "time / PyTorch", "time / PyTorch bfloat16", "memory / PyTorch", "s / step", "peak MiB",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One stack at one size. Ratios are to PyTorch in float32, channels first, or None if that was not measured."""

    network: str
    size: int
    stack: str  # a key of stacks.STACKS
    seconds: float
    megabytes: float
    time_ratio: float | None
    time_ratio_bfloat16: float | None  # relative to PyTorch in bfloat16, channels last
    memory_ratio: float | None

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> Result:
        """The inverse of `dataclasses.asdict`."""
        return Result(**values)


def cells(result: Result) -> list[str]:
    """The row of a result, under `HEADINGS`."""
    ratios = (result.time_ratio, result.time_ratio_bfloat16, result.memory_ratio)
    return [
        result.network,
        f"{result.size} x {result.size}",
        stacks.STACKS[result.stack].title,
        *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        f"{result.seconds:.3f}",
        f"{result.megabytes:.0f}",
    ]


def measure(model: str, size: int, repeats: int, times: int, bfloat16: bool) -> Iterator[Result]:
    """Every stack for one network and one size; yields once all are measured.

    Parameters
    ----------
    model : str
    size : int
        Side of the square picture, pixels.
    repeats : int
        Rounds, with one process per stack in each.
    times : int
        Timed steps per process.
    bfloat16 : bool
        Whether to measure the stacks in bfloat16 too.
    """
    return compare(measure_one, model, size, repeats, times, bfloat16)


def compare(
    one: Callable[[str, str, int, int], tuple[float, float]],
    network: str,
    size: int,
    repeats: int,
    times: int,
    bfloat16: bool,
) -> Iterator[Result]:
    """The stacks take turns; `one` is called in a fresh process with a stack, `network`, `size` and `times`.

    Like `measure_one`, it is at the top level of a module, and returns seconds and peak megabytes.
    """
    names = stacks.measured(bfloat16)
    rounds = [{name: fresh_process.call(one, name, network, size, times) for name in names} for _ in range(repeats)]
    for name in names:
        yield Result(
            network,
            size,
            name,
            statistics.median(round_[name][0] for round_ in rounds),
            statistics.median(round_[name][1] for round_ in rounds),
            _ratio(rounds, name, stacks.BASE, 0),
            _ratio(rounds, name, stacks.BASE_BFLOAT16, 0),
            _ratio(rounds, name, stacks.BASE, 1),
        )


def _ratio(rounds: Sequence[Mapping[str, Sequence[float]]], name: str, base: str, index: int) -> float | None:
    """The median over the rounds of the ratio of two stacks: of seconds (0) or megabytes (1)."""
    if base not in rounds[0]:
        return None
    return statistics.median(round_[name][index] / round_[base][index] for round_ in rounds)


def measure_one(name: str, model: str, size: int, times: int) -> tuple[float, float]:
    """Median seconds of a step of a stack and peak megabytes of this process."""
    return stacks.timed(stacks.step_of(name, model, size), times)
