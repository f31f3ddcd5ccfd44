"""The stress program: a small part of its cases, and that it notices a crash, a hang and a corrupted heap."""

from __future__ import annotations

import pytest
from stress import shapes


def test_small_runs_of_hostile_sizes_with_a_checked_heap(capsys):
    status = shapes.main(["--cases", "4", "--first", "1000", "--longest", "80", "--workers", "1"])
    assert status == 0, capsys.readouterr().out
    assert "| all | " in capsys.readouterr().out


BEYOND_A_BUFFER = """
import ctypes
allocate, free = ctypes.pythonapi.PyMem_RawMalloc, ctypes.pythonapi.PyMem_RawFree
allocate.restype, free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
buffer = allocate(41)
ctypes.memset(buffer, 1, 42)
free(buffer)
"""
needs_checker = pytest.mark.skipif("LD_PRELOAD" not in shapes.environment(), reason="needs libc_malloc_debug")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("", "ran"),
        ("import sys; print('error: 5 pixels', file=sys.stderr); sys.exit(2)", "rejected: 5 pixels"),
        ("import sys; sys.exit(3)", "diverged"),
        ("1 / 0", "died: exit status 1: ZeroDivisionError: division by zero"),
        ("import os; os.abort()", "died: SIGABRT: "),
        ("import time; time.sleep(60)", "died: no end after 2 s"),
        pytest.param(BEYOND_A_BUFFER, "died: SIGABRT: free(): invalid pointer", marks=needs_checker),
    ],
)
def test_what_died_is_noticed(tmp_path, monkeypatch, capsys, code, how):
    case = shapes.Case(7, {"kind": "whole"}, {"content.png": (3, 4)}, {}, ("-c", code))
    monkeypatch.setattr(shapes, "drawn", lambda *chosen: case)
    assert shapes.outcome(case, tmp_path, 2) == how
    if not how.startswith("died: no end"):
        assert shapes.main(["--cases", "1"]) == how.startswith("died")
        assert ("died: " in capsys.readouterr().out) == how.startswith("died")


def test_a_case_can_be_repeated_alone():
    cases = [shapes.drawn(3, number, 700) for number in range(60)]
    assert cases[17] == shapes.drawn(3, 17, 700) and len(set(map(str, cases))) == 60
    assert {case.factors["kind"] for case in cases} == set(shapes._KINDS)
    sides = [side for case in cases for size in case.sizes.values() for side in size]
    assert min(sides) <= 20 and max(sides) >= 600 and sum(side % 2 for side in sides) > len(sides) / 4
