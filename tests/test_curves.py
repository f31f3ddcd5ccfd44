"""Loss curves: writing and reading, comparison, plots, and the command that compares them."""

from __future__ import annotations

import dataclasses
import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from styletransfer.cli.compare import main
from styletransfer.losses.objective import Losses
from styletransfer.optimization.loop import Record
from styletransfer.session import curves
from styletransfer.session.curves import Curve, first_difference
from styletransfer.session.recorders import ProgressRecorder
from styletransfer.support.errors import UserError

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "compare_curves.py"
RELU1_1 = ("style", "relu1_1")
COLUMNS = ("step", "total", RELU1_1, "seconds")
CURVE = Curve(COLUMNS, ((0.0, 3.0, 2.0, 0.1), (1.0, 2.0, 1.0, 0.2), (2.0, 1.5, 0.0, 0.3)))
LOSSES = Losses({("content", "relu4_2"): 0.1, RELU1_1: 0.2, ("style", "relu2_1"): 0.7}, 0.4)


def changed(row, column, value, curve=CURVE):
    """A curve with one value replaced."""
    rows = [list(values) for values in curve.rows]
    rows[row][curve.columns.index(column)] = value
    return dataclasses.replace(curve, rows=tuple(map(tuple, rows)))


def dicts(curve):
    return [dict(zip(curve.columns, row)) for row in curve.rows]


def written(path, curve):
    curves.write(path, curve.columns, dicts(curve))
    return path


def test_the_columns_of_a_curve():
    columns = curves.columns_for([("content", "relu4_2"), RELU1_1])
    assert tuple(map(curves.name_of, columns)) == (
        *("step", "scale", "total", "content", "style", "tv", "content.relu4_2", "style.relu1_1"),
        *("relative_change", "gradient_norm", "learning_rate", "seconds"),
    )


def test_a_row_has_every_column_and_consistent_sums():
    record = Record(7, 1, LOSSES, 0.01, 2.5, 0.125, 3.5, image=None, engine=None)
    row = curves.row_of(record)
    assert tuple(row) == curves.columns_for(list(LOSSES.layers))
    assert row["total"] == row["content"] + row["style"] + row["tv"]
    assert row["style"] == row[RELU1_1] + row["style", "relu2_1"]
    assert row["content"] == row["content", "relu4_2"]
    expected = {"step": 7, "scale": 1, "tv": 0.4, "relative_change": 0.01, "gradient_norm": 2.5}
    assert expected.items() <= row.items()
    assert (row["learning_rate"], row["seconds"]) == (0.125, 3.5)


def test_progress_names_no_change_where_there_was_none(caplog):
    progress = ProgressRecorder(3)
    with caplog.at_level("INFO"):
        for step, change in ((0, math.nan), (3, 0.01)):
            progress.record(Record(step, 0, LOSSES, change, 2.5, 0.125, 3.5, image=None, engine=None))
    progress.close()
    losses = "total 1.4, content 0.1, style 0.9, tv 0.4"
    assert caplog.messages == [f"step 0 of 3: {losses}, 3.5 s", f"step 3 of 3: {losses}, relative change 0.01, 3.5 s"]


EXTREMES = (5e-324, -0.0, 1.7976931348623157e308, 0.1 + 0.2, 1 / 3, math.inf, -math.inf, math.nan)


@given(st.lists(st.floats(), max_size=8))
def test_values_are_read_back_exactly(tmp_path_factory, values):
    values = [*values, *EXTREMES]
    path = tmp_path_factory.mktemp("curve") / "curve.csv"
    curves.write(path, ["step", "total"], [{"step": step, "total": value} for step, value in enumerate(values)])
    curve = curves.read(path)
    assert curve.columns == ("step", "total")
    assert curve.column("step") == list(range(len(values)))
    # Compared as bits, except for the payload of a NaN, which text does not preserve.
    assert [math.isnan(value) or struct.pack("d", value) for value in curve.column("total")] == [
        math.isnan(value) or struct.pack("d", value) for value in values
    ]


def test_the_file_is_plain_csv(tmp_path):
    text = written(tmp_path / "curve.csv", CURVE).read_text()
    assert text.splitlines()[:2] == ["step,total,style.relu1_1,seconds", "0.0,3.0,2.0,0.1"]
    assert "\r" not in text and text.endswith("\n")
    assert curves.read(tmp_path / "curve.csv") == CURVE


def test_comment_lines_are_skipped(tmp_path):
    path = tmp_path / "golden.csv"
    path.write_text("# tolerance 1e-4\nstep,total\n# written by hand\n0,1.5\n")
    assert curves.read(path) == Curve(("step", "total"), ((0.0, 1.5),))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\xff\xfe",
        b"step,total\n0,1,2\n",
        b"step,total\n0,\n",
        b"total\n1\n",
        b"step\n\0\n",
        b"\n",
        b"step\n0\n",
        b"step,total\n",
        b"0,1\n1,2\n",
        b"step;total\n0;1\n",
        b"step,total,total\n0,1,1\n",
        b"step,total\n0,1\n1,1\n1,1\n",
        b"step,total\n1,1\n0,1\n",
        b"step,total\n0.5,1\n",
        b"step,total\nnan,1\n",
        b"step,total\ninf,1\n",
        b"step,total\n-1,1\n",
    ],
    ids=[
        *("empty", "binary", "long row", "no number", "no step", "null", "blank", "no total", "no rows", "no header"),
        *("semicolons", "twice a column", "twice a step", "reordered", "half a step", "nan", "inf", "negative"),
    ],
)
def test_a_file_that_is_not_a_curve_is_rejected_by_name(tmp_path, content):
    path = tmp_path / "garbage.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"garbage\.csv: not a loss curve"):
        curves.read(path)


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"\xef\xbb\xbf# by hand\r\n", b""])
def test_what_spreadsheets_do_to_a_file_does_no_harm(tmp_path, start):
    path = tmp_path / "curve.csv"
    path.write_bytes(start + b"step, total\r\n0, 1.5\r\n\r\n")
    assert curves.read(path) == Curve(("step", "total"), ((0.0, 1.5),))


def test_a_missing_curve_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.csv: No such file"):
        curves.read(tmp_path / "absent.csv")


def test_equal_curves_do_not_differ():
    assert first_difference(CURVE, CURVE, 0.0) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_equals_nothing(value):
    for column in ("total", RELU1_1):
        broken = changed(1, column, value)
        assert first_difference(broken, broken, 0.9) == (
            f"at step 1 (row 2), {curves.name_of(column)} is {value!r} in the first and in the second, "
            "which is not finite"
        )


def test_where_there_is_no_value_both_curves_have_none():
    columns = ("step", "total", "relative_change", "learning_rate")
    start, step, rolled_back = (0, 1.0, math.nan, math.nan), (1, 0.5, 0.1, 0.2), (2, math.inf, math.nan, 0.2)
    curve = Curve(columns, (start, step, rolled_back))
    assert first_difference(curve, curve, 0.0) is None
    bad_start = dataclasses.replace(curve, rows=((0, math.nan, math.nan, math.nan), step))
    assert "total is nan in the first and in the second" in first_difference(bad_start, bad_start, 0.0)
    without = dataclasses.replace(curve, rows=(start, (1, 0.5, math.nan, 0.2)))
    assert "relative_change is 0.1 in the first and nan in" in first_difference(curve, without, 0.0)


@pytest.mark.parametrize("relative", [math.nan, -1.0, -1e-9, 1.0, 2.0, math.inf])
def test_a_relative_tolerance_that_accepts_everything_is_none(relative):
    for curve in (CURVE, changed(1, "total", 999.0)):
        with pytest.raises(UserError, match=r"^relative tolerance .*: expected at least 0 and less than 1$"):
            first_difference(CURVE, curve, relative)


@pytest.mark.parametrize("absolute", [math.nan, -1.0, math.inf])
def test_an_absolute_tolerance_is_finite(absolute):
    with pytest.raises(UserError, match=r"^absolute tolerance .*: expected a number of at least 0$"):
        first_difference(CURVE, CURVE, 0.0, absolute)


def test_steps_and_scales_are_compared_exactly():
    columns = ("step", "scale", "total")
    curve = Curve(columns, tuple((float(step), 1000.0, 1.0) for step in range(1000, 1004)))
    for number in range(3):
        without = dataclasses.replace(curve, rows=curve.rows[:number] + curve.rows[number + 1 :])
        assert first_difference(curve, without, 0.5, 5.0) == f"the second has no step {1000 + number}"
        assert first_difference(without, curve, 0.5, 5.0) == f"the first has no step {1000 + number}"
    assert "scale is 1000.0 in" in first_difference(curve, changed(1, "scale", 1001.0, curve), 0.5, 5.0)


def test_the_order_of_columns_does_not_matter():
    order = [2, 0, 3, 1]
    turned = Curve(tuple(COLUMNS[i] for i in order), tuple(tuple(row[i] for i in order) for row in CURVE.rows))
    assert first_difference(CURVE, turned, 0.0) is None


def test_a_changed_value_is_located():
    sentence = first_difference(CURVE, changed(1, "total", 2.02), 1e-3, names=("a.csv", "b.csv"))
    assert sentence == ("at step 1 (row 2), total is 2.0 in a.csv and 2.02 in b.csv, a relative difference of 0.0099")


def test_the_first_of_several_differences_is_reported():
    later = changed(2, "total", 9.0)
    assert "at step 2" in first_difference(CURVE, later, 1e-3)
    assert "at step 1 (row 2), style.relu1_1" in first_difference(CURVE, changed(1, RELU1_1, 9.0, later), 1e-3)


@pytest.mark.parametrize("row", range(3))
def test_seconds_are_not_compared(row):
    assert first_difference(CURVE, changed(row, "seconds", 1e9), 0.0) is None


@given(st.floats(1e-9, 0.5), st.sampled_from([-1, 1]))
def test_the_relative_tolerance_decides(tolerance, sign):
    def differs(factor):
        return first_difference(CURVE, changed(1, "total", 2.0 * (1 + sign * factor * tolerance)), tolerance)

    assert differs(0.99 if sign > 0 else 0.9 * (1 - tolerance)) is None
    assert differs(1.01 / (1 - tolerance)) is not None


def test_the_absolute_tolerance_allows_small_values():
    other = changed(2, RELU1_1, 1e-7)  # where the other is zero
    assert first_difference(CURVE, other, 0.1) is not None
    assert first_difference(CURVE, other, 0.0, absolute=2e-7) is None
    assert first_difference(CURVE, other, 0.0, absolute=0.5e-7) is not None


@pytest.mark.parametrize("value", [math.nan, -2.0, 0.0])
def test_no_tolerance_makes_these_values_equal(value):
    for pair in ((CURVE, changed(1, "total", value)), (changed(1, "total", value), CURVE)):
        assert "total" in first_difference(*pair, 0.9)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_difference_to_what_is_not_finite_is_not_a_number(value):
    infinite = changed(1, "total", value)
    for pair in ((CURVE, infinite), (infinite, CURVE), (infinite, changed(1, "total", -value))):
        sentence = first_difference(*pair, 0.9)
        assert "total is" in sentence and "relative difference" not in sentence


def test_a_missing_column_is_reported():
    shorter = Curve(COLUMNS[:2] + COLUMNS[3:], tuple(row[:2] + row[3:] for row in CURVE.rows))
    assert first_difference(CURVE, shorter, 0.9) == "the second has no column style.relu1_1"
    assert first_difference(shorter, CURVE, 0.9) == "the first has no column style.relu1_1"


def test_a_difference_in_length_is_reported_after_the_last_common_row():
    shorter = dataclasses.replace(CURVE, rows=CURVE.rows[:2])
    assert first_difference(CURVE, shorter, 0.0) == "the first has 3 rows, the second 2"
    assert first_difference(shorter, CURVE, 0.0) == "the first has 2 rows, the second 3"
    assert "at step 0" in first_difference(shorter, changed(0, "total", 1.0), 0.0)


def with_sums(rows):
    """A curve of these rows and the columns of sums that a run's curve has."""
    return Curve((*COLUMNS, "content", "style", "tv"), tuple((*row, 1.0, 1.0, 0.0) for row in rows))


HARD_TO_DRAW = {"nothing": (), "zero": ((0.0, 0.0, 0.0, 0.0),), "no number": ((0.0, math.nan, math.inf, 0.0),)}


@pytest.mark.parametrize("drawn", [{"one": CURVE.rows}, {"one": CURVE.rows, **HARD_TO_DRAW}, HARD_TO_DRAW], ids=len)
def test_the_plot_is_a_picture(tmp_path, drawn):
    path = tmp_path / "curve.png"
    curves.plot(path, {name: with_sums(rows) for name, rows in drawn.items()})
    assert [found.name for found in tmp_path.iterdir()] == ["curve.png"]
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1100, 450)
        assert len(picture.convert("L").getcolors()) > 20  # something is drawn


def compare(*arguments):
    """Run the command: (exit status, lines of output, lines of errors)."""
    done = subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_the_command_reports_equal_curves(tmp_path):
    first = written(tmp_path / "a.csv", CURVE)
    second = written(tmp_path / "b.csv", changed(1, "total", 2.00001))
    assert compare(first, second) == (0, ["equal within 0.0001: 3 rows"], [])


def test_the_command_says_what_it_has_compared(tmp_path, capsys):
    first = str(written(tmp_path / "a.csv", Curve(("step", "total"), ((0.0, 1.0),))))
    plotted = tmp_path / "plot.png"
    assert main([first, first, "--atol", "0.5", "--rtol", "0", "--plot", str(plotted)]) == 0
    assert capsys.readouterr().out == "equal within 0 and, absolutely, 0.5: 1 rows, of the same file\n"
    assert plotted.exists()
    assert main([first, first, "--rtol", "inf"]) == 2
    assert capsys.readouterr() == ("", "error: relative tolerance inf: expected at least 0 and less than 1\n")


def test_the_command_reports_the_first_difference(tmp_path):
    for folder, curve in (("a", CURVE), ("b", changed(1, "total", 2.02))):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "curve.csv", curve)
    status, output, errors = compare(tmp_path / "a", tmp_path / "b")
    assert (status, len(output), errors) == (1, 1, [])
    assert output[0].startswith("at step 1 (row 2), total is 2.0 in ")
    assert compare(tmp_path / "a", tmp_path / "b", "--rtol", "0.02")[0] == 0


@pytest.mark.parametrize("second", ["absent.csv", "garbage.csv", "folder"])
def test_the_command_rejects_an_invalid_curve_in_one_line(tmp_path, second):
    first = written(tmp_path / "a.csv", CURVE)
    (tmp_path / "garbage.csv").write_bytes(b"\x00\xff\nstep\n")
    (tmp_path / "folder").mkdir()
    status, output, errors = compare(first, tmp_path / second)
    assert (status, output, len(errors)) == (2, [], 1)
    assert second in errors[0]
