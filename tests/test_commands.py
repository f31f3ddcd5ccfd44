"""The ends of commands: every expected error is one line on standard error, with its own exit status."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from processes import PROJECT

from styletransfer.cli.guard import guarded
from styletransfer.engines import load
from styletransfer.support import errors


def raises(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize("status", [0, 1, 7])
def test_a_status_is_returned(capsys, status):
    assert guarded(lambda: status) == status
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.StyleTransferError, 1),
        (errors.UserError, 2),
        (errors.Diverged, 3),
    ],
)
def test_an_expected_error_is_one_line(capsys, error, status):
    assert guarded(raises(error("what happened"))) == status
    assert capsys.readouterr() == ("", "error: what happened\n")


def test_an_interruption_is_one_line_and_no_error(capsys):
    assert guarded(raises(errors.Interrupted("interrupted at step 2, state saved"))) == 75
    assert capsys.readouterr() == ("", "interrupted at step 2, state saved\n")
    assert guarded(raises(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "a/b.png"), "a/b.png: No space left on device"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError("odd"), "odd"),
        (FileNotFoundError(2, "No such file or directory", b"a"), "b'a': No such file or directory"),
    ],
)
def test_an_error_of_the_system_is_one_line(capsys, error, line):
    assert guarded(raises(error)) == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n  c\td", "a b c d"),
        ("a\x1b[31mred\x07", "a?[31mred?"),
        ("\u202eevil\u2028x", "?evil x"),
        ("绘画 🎨 é", "绘画 🎨 é"),
    ],
)
def test_line_breaks_and_control_characters_are_not_shown(capsys, text, line):
    guarded(raises(errors.UserError(text)))
    assert capsys.readouterr().err == f"error: {line}\n"


@pytest.mark.parametrize("zeros", [np.zeros, load("torch").zeros], ids=["NumPy", "PyTorch"])
def test_a_lack_of_memory_is_one_line(capsys, zeros):
    assert guarded(lambda: zeros((1 << 50,))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: out of memory; use a smaller size")


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), ZeroDivisionError(), SystemExit(4)])
def test_other_errors_are_not_hidden(error):
    with pytest.raises(type(error)):
        guarded(raises(error))


@pytest.mark.parametrize("count", [1, 100_000])
def test_a_closed_pipe_is_silent(count):
    """Writing fails immediately or, for few lines, only at the flush."""
    command = f"guarded(lambda: print('x\\n' * {count}) or 0)"
    code = f"import sys; from styletransfer.cli.guard import guarded; sys.exit({command})"
    pipe = subprocess.PIPE
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, env=buffered, stdout=pipe, stderr=pipe, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 141


@pytest.mark.parametrize("name", [b"\xff.png", "é\N{ARTIST PALETTE}.png".encode()])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_name_that_standard_output_cannot_encode_is_printed(monkeypatch, name, encoding, errors):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, errors))
    assert guarded(lambda: print(os.fsdecode(name)) or 0) == 0
    assert written.getvalue().decode(encoding).rstrip("\n").endswith(".png")


def test_statuses_are_distinct():
    found = [
        error.status for error in (errors.StyleTransferError, errors.UserError, errors.Diverged, errors.Interrupted)
    ]
    assert len(set(found)) == len(found) and 0 not in found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu3_3", "did you mean 'relu3_1'?"),
        ("zebra", "expected one of: relu3_1, pool2"),
        ("", "expected one of: relu3_1, pool2"),
    ],
)
def test_the_nearest_name_is_suggested_or_all_are_listed(name, words):
    assert errors.nearest(name, ("relu3_1", "pool2")) == words
