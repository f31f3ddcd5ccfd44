"""Loss curves: one row per step, stored as CSV in full precision, compared and plotted.

A column is a number such as ``total``, or the loss of a layer, identified by group and layer: ``("style", "relu1_1")``.
In files and messages, the latter is ``style.relu1_1``.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

from styletransfer.pictures import marks
from styletransfer.support.commands import one_line
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write

if TYPE_CHECKING:  # these modules need NumPy and MXNet; comparing curves does not
    from styletransfer.losses.objective import GroupedLayer
    from styletransfer.optimization.loop import Record

Column = Union[str, "GroupedLayer"]
_SUMS: Sequence[Column] = ("total", "content", "style", "tv")
_BEFORE: Sequence[Column] = ("step", "scale", *_SUMS)
_AFTER = ("relative_change", "gradient_norm", "learning_rate", "seconds")
NOT_COMPARED = ("seconds",)
_EXACT = ("step", "scale")
_UNDEFINED_AT_TIMES = ("relative_change", "learning_rate")  # NaN at step 0 and after a rollback


@dataclass(frozen=True)
class Curve:
    """A table of numbers: `columns` and, for every step, a row of as many values."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[float, ...], ...]

    def column(self, key: Column) -> list[float]:
        """The values of one column, by step."""
        index = self.columns.index(key)
        return [row[index] for row in self.rows]


def columns_for(layers: Sequence[GroupedLayer]) -> tuple[Column, ...]:
    """The columns of a run in which these layers have losses."""
    return (*_BEFORE, *layers, *_AFTER)


def name_of(column: Column) -> str:
    """The name of a column in the file, such as ``total`` or ``style.relu1_1``."""
    return column if isinstance(column, str) else ".".join(column)


def _column_of(name: str) -> Column:
    """The inverse of :func:`name_of`."""
    group, dot, layer = name.partition(".")
    return (group, layer) if dot else name


def row_of(record: Record) -> dict[Column, float]:
    """One step as a row, by column."""
    losses = record.losses
    layers: dict[Column, float] = dict(losses.layers.items())
    return {
        "step": record.step,
        "scale": record.scale,
        "total": losses.total,
        "content": losses.content,
        "style": losses.style,
        "tv": losses.tv,
        **layers,
        "relative_change": record.relative_change,
        "gradient_norm": record.gradient_norm,
        "learning_rate": record.learning_rate,
        "seconds": record.seconds,
    }


def write(path: str | Path, columns: Sequence[Column], rows: Iterable[Mapping[Column, float]]) -> None:
    """Write a curve; every value reads back as exactly the same number."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(name_of, columns))
    for row in rows:
        writer.writerow([repr(row[column]) for column in columns])
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())


def read(path: str | Path) -> Curve:
    """Read a curve.

    Raises UserError if the file is missing or not a curve.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            lines = list(filter(None, csv.reader(line for line in stream if not line.startswith("#"))))
        columns = tuple(_column_of(name.strip()) for name in lines[0])
        rows = tuple(tuple(float(value) for value in line) for line in lines[1:])
    except OSError as error:
        raise UserError(f"curve {path}: {reason_of(error)}") from None
    except (IndexError, ValueError, UnicodeDecodeError, csv.Error):
        raise UserError(f"curve {path}: not a loss curve (CSV with a header and numbers)") from None
    if not {"step", "total"} <= set(columns) or any(len(row) != len(columns) for row in rows):
        raise UserError(f"curve {path}: not a loss curve: no columns `step` and `total`, or rows of different lengths")
    if not rows or len(set(columns)) < len(columns):
        raise UserError(f"curve {path}: not a loss curve: no rows, or two columns with the same name")
    curve = Curve(columns, rows)
    before = -1.0
    for step in curve.column("step"):
        if not (step.is_integer() and step > before):
            raise UserError(f"curve {path}: not a loss curve: after step {before:g} comes {step:g}")
        before = step
    return curve


def first_difference(
    first: Curve,
    second: Curve,
    relative: float,
    absolute: float = 0.0,
    names: tuple[str, str] = ("the first", "the second"),
) -> str | None:
    """One sentence about where two curves first differ by more than the tolerances, or None.

    Values a, b differ where |a - b| > absolute + relative max(|a|, |b|); steps and scales where they are not the same.
    Losses and gradients that are not finite count as a difference even if both curves have them, except where a step
    was rolled back. The column `seconds` is not compared.

    Raises UserError if a tolerance is not one: at 1, the relative tolerance would accept nearly everything.
    """
    if not 0 <= relative < 1:
        raise UserError(f"relative tolerance {relative}: expected at least 0 and less than 1")
    if not 0 <= absolute < math.inf:
        raise UserError(f"absolute tolerance {absolute}: expected a number of at least 0")
    for column in first.columns:
        if column not in second.columns:
            return f"{names[1]} has no column {name_of(column)}"
    for column in second.columns:
        if column not in first.columns:
            return f"{names[0]} has no column {name_of(column)}"
    compared = [column for column in first.columns if column not in NOT_COMPARED]
    for number, values in enumerate(zip(first.rows, second.rows), start=1):
        row, other = (dict(zip(curve.columns, each)) for curve, each in zip((first, second), values))
        step = min(row["step"], other["step"])
        if row["step"] != other["step"]:
            return f"{names[0] if other['step'] == step else names[1]} has no step {step:g}"
        for column in compared:
            a, b = row[column], other[column]
            where = f"at step {step:g} (row {number}), {name_of(column)} is"
            if a == b or (math.isnan(a) and math.isnan(b)):
                if math.isfinite(a) or column in _UNDEFINED_AT_TIMES or _is_rolled_back(row):
                    continue
                return f"{where} {a!r} in {names[0]} and in {names[1]}, which is not finite"
            distance, size = abs(a - b), max(abs(a), abs(b))
            if column in _EXACT or not (math.isfinite(size) and distance <= absolute + relative * size):
                share = f", a relative difference of {distance / size:.2g}" if math.isfinite(distance / size) else ""
                return f"{where} {a!r} in {names[0]} and {b!r} in {names[1]}{share}"
    if len(first.rows) != len(second.rows):
        return f"{names[0]} has {len(first.rows)} rows, {names[1]} {len(second.rows)}"
    return None


def _is_rolled_back(row: Mapping[Column, float]) -> bool:
    """Return whether the row is of a step that was rolled back."""
    return row["step"] > 0 and math.isnan(row.get("relative_change", 0.0))


def plot(path: str | Path, curves: Mapping[str, Curve], mark: str = marks.PLOT) -> None:
    """Plot curves as a PNG, written atomically: the sums on the left, every layer on the right.

    Parameters
    ----------
    curves : dict
        By their names in the legend; the first is drawn with solid lines, others with dashed ones.
    mark : str
        Of :mod:`styletransfer.pictures.marks`.
    """
    from styletransfer.pictures import plots

    figure = plots.figure(figsize=(11, 4.5), layout="constrained")
    sums, layers = figure.subplots(1, 2)
    for axes, title in ((sums, "weighted losses"), (layers, "by layer")):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.set_yscale("log")
        axes.grid(True, which="both", alpha=0.2)
    for (name, curve), line in zip(curves.items(), ("-", "--", ":", "-.") * len(curves)):
        steps = range(len(curve.rows))
        label = f" ({one_line(name)})" if len(curves) > 1 else ""
        by_layer: Sequence[Column] = [column for column in curve.columns if not isinstance(column, str)]
        for axes, columns in ((sums, _SUMS), (layers, by_layer)):
            for number, column in enumerate(columns):
                if column not in curve.columns:
                    continue
                values = [value if value > 0 else math.nan for value in curve.column(column)]
                if not all(map(math.isnan, values)):
                    axes.plot(steps, values, line, color=f"C{number}", label=name_of(column) + label, linewidth=1.3)
    for axes in (sums, layers):
        if axes.lines:
            for text in axes.legend(fontsize=8).get_texts():
                text.set_parse_math(False)  # a name may have dollar signs
    plots.write(path, figure, mark)
