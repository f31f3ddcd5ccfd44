"""Byte sizes in human-readable form: 8GB, 500 MB, 1.5TiB. The only module that parses or formats them."""

from __future__ import annotations

import re

_UNITS = {
    **{"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40},
}


def parse_size(size: str) -> int:
    """Parse a size: ``8GB`` is 8 * 10^9 bytes, ``8GiB`` is 8 * 2^30 bytes.

    Case does not matter. A bare ``8G`` is rejected as ambiguous: programs differ in which of the two it means.

    Raises ValueError if the text is not a valid size above zero.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([KMGT]I?B)", size.upper())
    count = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if count < 1:
        raise ValueError("Input should be a number and a unit, such as 8GB (10^9 bytes each) or 8GiB (2^30)")
    return count


def format_size(count: int) -> str:
    """Format a number of bytes as ``12.8GB``, rounded down to whole megabytes (10^6 bytes) but at least one."""
    return f"{max(1, count // 10**6) / 1000}GB"


def for_slurm(count: int) -> str:
    """Format a number of bytes for Slurm's ``--mem``, rounded up to whole mebibytes: Slurm's ``M`` is 2^20 bytes."""
    return f"{-(-count // 2**20)}M"
