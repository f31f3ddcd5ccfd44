"""The one place that imports MXNet, and all that has to be set before its import.

MXNet 1.9.1 is the last release; it reads its settings from the environment once, when it is imported:

- it uses names that NumPy 1.24 removed, and `distutils`, which Python 3.12 removed (setuptools brings it back);
- alone it takes half of the processor's cores;
- its graph fusion drops ReLUs behind a tapped convolution in forward-only executors, so it is switched off;
- its bfloat16 kernels for AMX are off unless asked for, and the Linux kernel must be asked first.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import platform
from pathlib import Path
from types import ModuleType
from typing import Any

# What MXNet, which has no types of its own, deals in.
Array = Any  # mxnet.nd.NDArray
Symbol = Any  # mxnet.sym.Symbol
Context = Any  # mxnet.context.Context

_ARCH_PRCTL = 158  # system call number on x86-64
_ARCH_REQ_XCOMP_PERM = 0x1023
_XFEATURE_XTILEDATA = 18


@functools.cache
def load_mxnet() -> ModuleType:
    """Import MXNet, prepared, and return it; later calls return the same module.

    Settings that the user has put into the environment (``OMP_NUM_THREADS`` and the like) are kept.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    # The backend that fuses nothing unless told to. NONE would do as well, but says so at every binding.
    os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "default")
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    if _ask_for_amx():
        os.environ.setdefault("DNNL_MAX_CPU_ISA", "AVX512_CORE_AMX")
    importlib.import_module("setuptools")
    numpy = importlib.import_module("numpy")
    for name, builtin in (("bool", bool), ("int", int), ("float", float), ("object", object)):
        if name not in vars(numpy):
            setattr(numpy, name, builtin)
    return importlib.import_module("mxnet")


def release_memory() -> None:
    """Give memory that was freed back to the system, where the C library can; small gaps would keep it otherwise."""
    load_mxnet().nd.waitall()  # what is still under way holds arrays
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def usable_cores() -> int:
    """Physical cores this process may use: its affinity, without hyper-thread twins, within the cgroup's quota."""
    allowed = os.sched_getaffinity(0)
    twins = {_thread_siblings(cpu) for cpu in allowed}
    quota = _cgroup_quota()
    return max(1, min(len(twins), quota) if quota else len(twins))


def _thread_siblings(cpu: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _cgroup_quota() -> int | None:
    """Whole cores that the control group grants, or None where it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
        return max(1, microseconds // period_us) if microseconds > 0 else None
    except (OSError, ValueError):
        return None


def has_amx() -> bool:
    """Whether this processor has the AMX bfloat16 tile instructions."""
    return _has("amx_tile", "amx_bf16")


def has_bfloat16() -> bool:
    """Whether MXNet's kernels can compute in bfloat16 on this processor, fast or not."""
    return _has("avx512f", "avx512bw", "avx512vl", "avx512dq")


def is_faster_in_bfloat16() -> bool:
    """Whether MXNet's convolutions are faster in bfloat16 than in float32 here.

    They are with AMX; and with AVX-512's own products of bfloat16 on AMD's processors, which make twice as many of them
    at a time as of float32. Intel's make as many of either.
    """
    return has_amx() or _has("avx512_bf16", "AuthenticAMD")


def _has(*wanted: str) -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return set(wanted) <= set(flags)


def _ask_for_amx() -> bool:
    """Ask the Linux kernel for the AMX tile state; True when granted. Without it the first tile instruction kills."""
    if not has_amx():
        return False
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    return syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0
