"""A description of the machine, and whether to measure bfloat16."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path

from models.threads import threads
from styletransfer.engines import installed
from styletransfer.engines.choice import is_fast_in_bfloat16


def describe() -> str:
    """One line: processor, threads, memory, libraries."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return ", ".join(
        [
            _processor(),
            f"{threads()} threads",
            *(["fast in bfloat16"] if is_fast_in_bfloat16() else []),
            f"{gigabytes:.0f} GB",
            f"Python {platform.python_version()}",
            *(f"{title} {metadata.version(name)}" for title, name in _libraries()),
        ]
    )


def _processor() -> str:
    with contextlib.suppress(OSError):  # not on macOS
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _libraries() -> list[tuple[str, str]]:
    return [(title, name) for title, name in (("MXNet", "mxnet"), ("PyTorch", "torch")) if installed(name)]


def measures_bfloat16(forced: bool) -> bool:
    """Return whether to measure bfloat16: if PyTorch is here, and this processor is fast in it or it is `forced`."""
    return installed("torch") and (forced or is_fast_in_bfloat16())


def peak_megabytes() -> float:
    """The peak resident memory of this process in MiB (2^20 bytes).

    On Linux not ``ru_maxrss``, which a process inherits from its parent there.
    """
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in bytes on macOS
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
