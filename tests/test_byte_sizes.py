"""Byte sizes have the same meaning in a config, a sweep file and for Slurm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeping import studio, sweep_of  # noqa: F401

from styletransfer.session import memory
from styletransfer.support.byte_sizes import for_slurm, format_size, parse_size
from styletransfer.sweeps import batch
from styletransfer.sweeps.cluster import Cluster


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("8GB", 8 * 10**9), ("8GiB", 8 * 2**30), ("500 MB", 500 * 10**6), ("1.5TiB", 3 * 2**39), ("1.5TB", 15 * 10**11),
        ("8gb", 8 * 10**9), ("8gib", 8 * 2**30), ("1kB", 1000), ("1KiB", 1024),
    ],
)  # fmt: skip
def test_decimal_units_are_powers_of_1000_and_binary_ones_of_1024(size, count):
    assert parse_size(size) == count


@pytest.mark.parametrize(
    "size",
    ["", "8", "8G", "8B", "GB", "0GB", "0.0GB", "-8GB", "8  GB", "8GB ", "8,5GB", "8.GB", "٨GB", "1e3MB", "8bit"],
)
def test_invalid_sizes_are_rejected(size):
    with pytest.raises(ValueError, match=r"should be a number and a unit, such as 8GB .* or 8GiB"):
        parse_size(size)


@given(st.integers(10**6, 10**15))
def test_formatting_loses_at_most_a_megabyte(count):
    assert count - 10**6 <= parse_size(format_size(count)) <= count


@given(st.integers(1, 10**15))
def test_sizes_for_slurm_are_rounded_up_by_at_most_a_mebibyte(count):
    assert count <= int(for_slurm(count).removesuffix("M")) * 2**20 < count + 2**20


@pytest.mark.usefixtures("studio")
@pytest.mark.parametrize("size", ["8GB", "8GiB"])
def test_a_size_is_the_same_for_a_config_and_for_a_cluster(size):
    """A job that may use exactly what it gets is accepted, whatever the unit."""
    sweep = sweep_of(jobs=[{"memory": size}])
    text = batch.array(sweep, Cluster(memory=size), sweep.jobs, "array-1.sbatch")
    assert f"#SBATCH --mem={for_slurm(memory.limit(size))}\n" in text
