"""A description of the machine, and whether to measure bfloat16."""

from __future__ import annotations

import importlib.util
import os
import platform
from importlib import metadata
from pathlib import Path

from models import runtime


def describe() -> str:
    """One line: processor, threads, memory, libraries."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return ", ".join(
        [
            _processor(),
            f"{runtime.threads()} threads",
            *(["AVX-512 bfloat16"] if runtime.is_faster_in_bfloat16() else []),
            f"{gigabytes:.0f} GB",
            f"Python {platform.python_version()}",
            *(f"{title} {metadata.version(name)}" for title, name in _libraries()),
        ]
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _libraries() -> list[tuple[str, str]]:
    return [("MXNet", "mxnet"), *([("PyTorch", "torch")] if has_pytorch() else [])]


def has_pytorch() -> bool:
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def measures_bfloat16(forced: bool) -> bool:
    """Whether to measure bfloat16: if it is faster, or if it is `forced` and MXNet supports it here."""
    return runtime.is_faster_in_bfloat16() or (forced and runtime.has_bfloat16())


def peak_megabytes() -> float:
    """The peak resident memory of this process in MiB (2^20 bytes).

    Not ``ru_maxrss``, which a process inherits from its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM")
