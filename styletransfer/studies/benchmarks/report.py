"""Results as rows of text and as Markdown, the page with the tables, and its plot.

Next to the page ``performance.md`` are ``performance.json``, the results from which its tables and plot are made, and
``performance.png``. A new measurement replaces its own table only.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from styletransfer.pictures import marks, plots
from styletransfer.studies.benchmarks import feedforward, large, machine, quality, sizes, steps
from styletransfer.support import overwriting
from styletransfer.support.errors import UserError
from styletransfer.support.files import atomic_write
from styletransfer.support.optional import optional


class Benchmark(Protocol):
    """What the modules of the tables have in common."""

    HEADINGS: Sequence[str]
    Result: Any

    def cells(self, result: Any) -> list[str]: ...


BENCHMARKS: Mapping[str, Benchmark] = {
    "steps": steps,  # type: ignore[dict-item]
    "quality": quality,  # type: ignore[dict-item]
    "sizes": sizes,  # type: ignore[dict-item]
    "feedforward": feedforward,  # type: ignore[dict-item]
    "large": large,  # type: ignore[dict-item]
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The text layout of a benchmark's rows: names left-aligned, numbers right-aligned."""

    widths: tuple[int, ...]
    left_aligned: tuple[bool, ...]

    @staticmethod
    def of(benchmark: Benchmark) -> Layout:
        """Columns as wide as their headings and their typical contents."""
        names = {"network": 9, "size": 11, "stack": 32}
        return Layout(
            tuple(max(len(heading), names.get(heading, 7)) for heading in benchmark.HEADINGS),
            tuple(heading in names for heading in benchmark.HEADINGS),
        )

    def row(self, cells: Sequence[str]) -> str:
        """A row of text."""
        placed = (
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(cells, self.widths, self.left_aligned)
        )
        return "  ".join(placed).rstrip()


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def check(page: Path, names: Sequence[str]) -> None:
    """Check that a page has places for these tables, before spending hours on measurements.

    Raises
    ------
    UserError
        If the page does not exist or lacks the markers of a table.
    """
    text = _read(page)
    for name in names:
        _between(page, text, name)


def check_overwriting(page: Path, inputs: Mapping[str, Path], force: bool) -> None:
    """Check that the files next to a page are those of earlier measurements.

    Raises
    ------
    UserError
        If they are not.
    """
    data = page.with_suffix(".json")

    def is_ours(path: Path) -> bool:
        return marks.of(path) == marks.MEASURED or (data.exists() and set(_data(page)) <= set(BENCHMARKS))

    overwriting.check([data, page.with_suffix(".png")], inputs, force, is_ours)
    overwriting.check([page], inputs, force=True)


def write(page: Path, name: str, results: Sequence[Any], command: str, notes: Sequence[str]) -> None:
    """Replace the table of one benchmark.

    Parameters
    ----------
    page : Path
        ``performance.md``, which has ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` around the table's place.
    name : str
        A key of `BENCHMARKS`.
    results : sequence of its Result
    command : str
        The command line.
    notes : sequence of str
        Lines under the table.

    Raises
    ------
    UserError
        If the page does not exist or lacks the markers.
    """
    benchmark = BENCHMARKS[name]
    rows = [benchmark.cells(result) for result in results]
    parts = [f"`{command}` on {machine.describe()}:", markdown(benchmark.HEADINGS, rows), *notes]
    text = _read(page)
    begin, end = _between(page, text, name)
    data = _data(page)
    data[name] = [dataclasses.asdict(result) for result in results]
    with atomic_write(page.with_suffix(".json")) as stream:
        stream.write((json.dumps(data, indent=None, separators=(",", ":")).replace("},", "},\n") + "\n").encode())
    with atomic_write(page) as stream:
        stream.write((text[:begin] + "\n" + "\n\n".join(parts) + "\n" + text[end:]).encode())
    with optional(page.with_suffix(".png"), "not drawn"):
        plot(
            page.with_suffix(".png"),
            [sizes.Result.from_values(values) for values in data.get("sizes", [])],
            [quality.Result.from_values(values) for values in data.get("quality", [])],
        )


def _read(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--write {page}: {getattr(error, 'strerror', None) or error}") from None


def _between(page: Path, text: str, name: str) -> tuple[int, int]:
    """The begin and end of the text between a table's markers."""
    opening, closing = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    begin, end = text.find(opening), text.find(closing)
    if begin < 0 or end < begin:
        raise UserError(f"--write {page}: expected the lines {opening.strip()} and {closing} around a table's place")
    return begin + len(opening), end


def _data(page: Path) -> dict[str, Any]:
    """The results stored next to the page; empty if there is no such file."""
    file = page.with_suffix(".json")
    if not file.exists():
        return {}
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("expected an object")
        return data
    except (OSError, ValueError) as error:
        raise UserError(f"--write {page}: {file} is damaged ({error}); remove it") from None


def plot(path: Path, measured: Sequence[sizes.Result], races: Sequence[quality.Result]) -> None:
    """Memory and time per megapixel against size, and loss against time, as a PNG."""
    figure = plots.figure(figsize=(14, 4.2), layout="constrained")
    memory, speed, race = figure.subplots(1, 3)
    _plot_sizes(memory, measured, "peak memory, MiB", lambda result: result.megabytes)
    _plot_sizes(speed, measured, "seconds per step and megapixel", lambda result: result.per_megapixel)
    for color, result in enumerate(races):
        for points, line, who in ((result.ours, "-", "ours"), (result.theirs, "--", "PyTorch")):
            if points:
                seconds, lowest = [point.seconds for point in points], quality.lowest_so_far(points)
                race.plot(seconds, lowest, line, color=f"C{color}", label=f"{result.network}, {who}", linewidth=1.3)
        if result.threshold is not None:
            race.axhline(result.threshold, color=f"C{color}", linewidth=0.6)
    race.set_title("lowest loss so far, at the size of the result")
    race.set_xlabel("seconds")
    if races:
        race.set_yscale("log")
    for axes in (memory, speed, race):
        axes.grid(True, which="both", alpha=0.2)
        if axes.lines:
            axes.legend(fontsize=8)
    plots.write(path, figure, marks.MEASURED)


def _plot_sizes(axes: Any, measured: Sequence[sizes.Result], title: str, value: Any) -> None:
    """One line per network and tile size: solid for untiled, dashed and dotted for tiles."""
    axes.set_title(title)
    axes.set_xlabel("side of the picture, pixels")
    networks = list(dict.fromkeys(result.network for result in measured))
    tiles = sorted({result.tile for result in measured if result.tile is not None})
    lines = dict(zip([None, *tiles], ("-", "--", ":", "-.") * (len(tiles) + 1)))
    for network in networks:
        for tile, line in lines.items():
            found = [
                (result.size, value(result))
                for result in measured
                if (result.network, result.tile) == (network, tile) and value(result) is not None
            ]
            if found:
                label = f"{network}, {'whole' if tile is None else f'tiles of {tile}'}"
                color = f"C{networks.index(network)}"
                axes.plot(*zip(*found), line, marker="o", markersize=3, color=color, label=label, linewidth=1.3)
    if axes.lines:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_ylim(*(2.0 ** end(math.log2(limit)) for end, limit in zip((math.floor, math.ceil), axes.get_ylim())))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
