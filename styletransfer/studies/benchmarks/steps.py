"""The table of steps: the time of a step and the peak memory of every stack, side by side.

Every measurement runs in a process of its own, the stacks by turns, so that all see the same machine. Ratios of times
are medians of those within one turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from styletransfer.studies.benchmarks import fresh_process, stacks

HEADINGS = (
    "network", "size", "stack", "time / PyTorch", "time / PyTorch bfloat16", "memory / PyTorch", "s / step", "peak MiB",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One stack at one size. Ratios are to PyTorch in float32, channels first, or None where it was not measured."""

    network: str
    size: int
    stack: str  # a key of stacks.STACKS
    seconds: float
    megabytes: float
    time_ratio: float | None
    time_ratio_bfloat16: float | None  # to PyTorch in bfloat16, channels last
    memory_ratio: float | None

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> Result:
        """What `dataclasses.asdict` made values of."""
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
    """Every stack for one network and one size, when all are measured.

    Parameters
    ----------
    model : str
    size : int
        Side of the square picture, pixels.
    repeats : int
        Processes of every stack, by turns.
    times : int
        Timed steps in each.
    bfloat16 : bool
        Whether the stacks in bfloat16 are measured too.
    """
    names = stacks.measured(bfloat16)
    turns = [
        {name: fresh_process.call(measure_one, name, model, size, times) for name in names} for _ in range(repeats)
    ]
    for name in names:
        yield Result(
            model,
            size,
            name,
            statistics.median(turn[name][0] for turn in turns),
            statistics.median(turn[name][1] for turn in turns),
            _ratio(turns, name, stacks.BASE, 0),
            _ratio(turns, name, stacks.BASE_BFLOAT16, 0),
            _ratio(turns, name, stacks.BASE, 1),
        )


def _ratio(turns: Sequence[Mapping[str, Sequence[float]]], name: str, base: str, index: int) -> float | None:
    """The median, over the turns, of what a stack takes over what another takes: seconds (0) or megabytes (1)."""
    if base not in turns[0]:
        return None
    return statistics.median(turn[name][index] / turn[base][index] for turn in turns)


def measure_one(name: str, model: str, size: int, times: int) -> tuple[float, float]:
    """Median seconds of a step of a stack and peak megabytes of this process."""
    return stacks.timed(stacks.step_of(name, model, size), times)
