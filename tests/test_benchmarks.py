"""The benchmark runs, and both stacks compute the same."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import relative_error

from styletransfer import benchmarks


def test_a_table_of_two_stacks() -> None:
    pytest.importorskip("torch")
    headings, row = benchmarks.table(["vgg_slim"], [48], repeats=1, steps=1)
    assert "time ratio" in headings
    assert row.split()[:2] == ["vgg_slim", "48"]
    assert all(float(cell) > 0 for cell in row.split()[4:])


def test_the_steps_compared_have_the_same_gradient() -> None:
    pytest.importorskip("torch")
    ours = benchmarks.mxnet_step("vgg_slim", 40)()
    theirs = benchmarks.torch_step("vgg_slim", 40)()
    assert np.isfinite(theirs).all()
    assert relative_error(ours, theirs) < 1e-3
