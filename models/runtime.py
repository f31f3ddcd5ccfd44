"""The only module that imports MXNet, and everything that must be set before the import.

MXNet 1.9.1 is the last release; it reads its settings from the environment once, at import:

- it uses names that NumPy 1.24 removed, and `distutils`, which Python 3.12 removed (setuptools brings it back);
- by default it uses half of the processor's cores;
- its graph fusion drops the ReLU after a tapped convolution in forward-only executors, so it is switched off;
- its AMX kernels for bfloat16 are off by default, and the Linux kernel must grant the tile state first.
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

_ARCH_PRCTL = 158  # system call number on x86-64
_ARCH_REQ_XCOMP_PERM = 0x1023
_XFEATURE_XTILEDATA = 18


# MXNet is untyped; these names document what is meant.
Array = Any  # mxnet.nd.NDArray
Symbol = Any  # mxnet.sym.Symbol
Context = Any  # mxnet.Context
Executor = Any  # mxnet.executor.Executor


@functools.cache
def load_mxnet() -> ModuleType:
    """Prepare the environment, import MXNet and return it; later calls return the same module.

    Variables that the user has set (``OMP_NUM_THREADS`` and the like) are respected.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    # The backend that fuses nothing by default. NONE would also do, but logs a message at every bind.
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
    """Return freed memory to the system, where the C library supports it; fragmentation would keep it otherwise."""
    load_mxnet().nd.waitall()  # pending operations hold arrays
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def usable_cores() -> int:
    """Physical cores this process may use: its affinity, without hyper-thread siblings, within the cgroup's quota."""
    allowed = os.sched_getaffinity(0)
    cores = {_thread_siblings(cpu) for cpu in allowed}
    quota = _cgroup_quota()
    return max(1, min(len(cores), quota) if quota else len(cores))


def _thread_siblings(cpu: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _cgroup_quota() -> int | None:
    """Whole cores that the cgroup grants, or None if it sets no limit."""
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

    They are with AMX, and with the AVX-512 bfloat16 instructions of AMD processors, whose throughput is twice that of
    float32. On Intel processors these instructions have the throughput of float32.
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
    """Request the AMX tile state from the Linux kernel; True if granted, else tile instructions crash."""
    if not has_amx():
        return False
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    return syscall(_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA) == 0
