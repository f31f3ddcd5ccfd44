"""Loss curves: one row a step, kept as CSV in full precision, compared and plotted."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from styletransfer.support.errors import UserError
from styletransfer.support.files import atomic_write

if TYPE_CHECKING:  # the record's module needs NumPy and MXNet; comparing curves does not
    from styletransfer.optimization.loop import Record

_BEFORE = ("step", "scale", "total", "content", "style", "tv")
_AFTER = ("relative_change", "gradient_norm", "learning_rate", "seconds")
NOT_COMPARED = ("seconds",)


@dataclass(frozen=True)
class Curve:
    """A table of numbers: `columns` and, for every step, a row of as many values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def column(self, name: str) -> list[float]:
        """The values of one column, by step."""
        index = self.columns.index(name)
        return [row[index] for row in self.rows]


def columns_for(loss_names: Sequence[str]) -> tuple[str, ...]:
    """The columns of a run with these layers' losses."""
    return (*_BEFORE, *loss_names, *_AFTER)


def row_of(record: Record) -> dict[str, float]:
    """One step as a row, by column."""
    losses = record.losses
    return {
        "step": record.step,
        "scale": record.scale,
        "total": losses.total,
        "content": losses.content,
        "style": losses.style,
        "tv": losses.tv,
        **losses.layers,
        "relative_change": record.relative_change,
        "gradient_norm": record.gradient_norm,
        "learning_rate": record.learning_rate,
        "seconds": record.seconds,
    }


def write(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, float]]) -> None:
    """Write a curve; every value reads back as exactly the same number."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([repr(row[name]) for name in columns])
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def read(path: str | Path) -> Curve:
    """Read a curve.

    Raises
    ------
    UserError
        If the file is absent or no curve.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            lines = list(csv.reader(line for line in stream if not line.startswith("#")))
        columns = tuple(lines[0])
        rows = tuple(tuple(float(value) for value in line) for line in lines[1:])
    except OSError as error:
        raise UserError(f"curve {path}: {error.strerror or error}") from None
    except (IndexError, ValueError, UnicodeDecodeError, csv.Error):
        raise UserError(f"curve {path}: not a loss curve (CSV with a header and numbers)") from None
    if "step" not in columns or any(len(row) != len(columns) for row in rows):
        raise UserError(f"curve {path}: not a loss curve: no column `step`, or rows of different lengths")
    if not rows or len(set(columns)) < len(columns):
        raise UserError(f"curve {path}: not a loss curve: no rows, or two columns of one name")
    return Curve(columns, rows)


def first_difference(
    first: Curve,
    second: Curve,
    relative: float,
    absolute: float = 0.0,
    names: tuple[str, str] = ("the first", "the second"),
) -> str | None:
    """One sentence about where two curves first differ by more than the tolerances, or None.

    Values a, b differ where |a - b| > absolute + relative max(|a|, |b|). The column `seconds` is not compared.
    """
    for column in first.columns:
        if column not in second.columns:
            return f"{names[1]} has no column {column}"
    for column in second.columns:
        if column not in first.columns:
            return f"{names[0]} has no column {column}"
    compared = [column for column in first.columns if column not in NOT_COMPARED]
    for number, (row, other) in enumerate(zip(first.rows, second.rows)):
        for column in compared:
            a, b = row[first.columns.index(column)], other[second.columns.index(column)]
            if (math.isnan(a) and math.isnan(b)) or a == b:
                continue
            if math.isinf(a) or math.isinf(b) or not abs(a - b) <= absolute + relative * max(abs(a), abs(b)):
                distance = abs(a - b) / max(abs(a), abs(b))
                step = row[first.columns.index("step")]
                return (
                    f"at step {step:g} (row {number + 1}), {column} is {a!r} in {names[0]} and {b!r} in {names[1]}, "
                    f"a relative difference of {distance:.2g}"
                )
    if len(first.rows) != len(second.rows):
        return f"{names[0]} has {len(first.rows)} rows, {names[1]} {len(second.rows)}"
    return None


def plot(path: str | Path, curves: Mapping[str, Curve]) -> None:
    """Draw curves as a PNG, whole or not at all: the sums on the left, every layer on the right.

    Parameters
    ----------
    curves : dict
        By the name they get in the legend; the first is drawn in solid lines, others dashed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    sums, layers = figure.subplots(1, 2)
    for axes, title in ((sums, "weighted losses"), (layers, "by layer")):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.set_yscale("log")
        axes.grid(True, which="both", alpha=0.2)
    for (name, curve), line in zip(curves.items(), ("-", "--", ":", "-.") * len(curves)):
        steps = range(len(curve.rows))
        label = f" ({name})" if len(curves) > 1 else ""
        for axes, columns in (
            (sums, ("total", "content", "style", "tv")),
            (layers, [column for column in curve.columns if "." in column]),
        ):
            for number, column in enumerate(columns):
                values = [value if value > 0 else math.nan for value in curve.column(column)]
                if not all(map(math.isnan, values)):
                    axes.plot(steps, values, line, color=f"C{number}", label=column + label, linewidth=1.3)
    for axes in (sums, layers):
        if axes.lines:
            axes.legend(fontsize=8)
    with atomic_write(path) as stream:
        FigureCanvasAgg(figure).print_figure(stream, format="png", dpi=100)
