"""The only module that imports MXNet, and everything that must be set before the import.

MXNet 1.9.1 is the last release; it reads its settings from the environment once, at import:

- it uses names that NumPy 1.24 removed, and `distutils`, which Python 3.12 removed (setuptools brings it back);
- by default it uses half of the processor's cores;
- it ends in a C++ exception if ``OMP_NUM_THREADS`` is not one number, though OpenMP takes a list;
- its graph fusion drops the ReLU after a tapped convolution in forward-only executors, so it is switched off;
- its AMX kernels for bfloat16 corrupt memory; they are off by default, and stay off;
- its handler of SIGSEGV calls `exit`, which can wait for ever for a lock that the crashed code holds.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import platform
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
_SIGACTION_BYTES = 256  # more than a struct sigaction has


# MXNet is untyped; these names document what is meant.
Array = Any  # mxnet.nd.NDArray
Symbol = Any  # mxnet.sym.Symbol
Context = Any  # mxnet.Context
Executor = Any  # mxnet.executor.Executor


class InvalidSetting(Exception):
    """An environment variable has a value with which MXNet must not be imported; one line says which, and why."""


@functools.cache
def load_mxnet() -> ModuleType:
    """Prepare the environment, import MXNet and return it; later calls return the same module.

    Variables that the user has set (``OMP_NUM_THREADS`` and the like) are respected.

    Raises
    ------
    InvalidSetting
        If one of them would end or corrupt the process.
    """
    check_environment()
    os.environ["OMP_NUM_THREADS"] = str(threads())
    # The backend that fuses nothing by default. NONE would also do, but logs a message at every bind.
    os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "default")
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    importlib.import_module("setuptools")
    numpy = importlib.import_module("numpy")
    for name, builtin in (("bool", bool), ("int", int), ("float", float), ("object", object)):
        if name not in vars(numpy):
            setattr(numpy, name, builtin)
    with _handlers_of_crashes_kept():
        return importlib.import_module("mxnet")


def check_environment() -> None:
    """Check the environment variables that can end or corrupt a process with MXNet.

    Raises
    ------
    InvalidSetting
    """
    threads()
    if os.environ.get("DNNL_MAX_CPU_ISA") == "AVX512_CORE_AMX":  # the only value that switches AMX on
        raise InvalidSetting(
            "DNNL_MAX_CPU_ISA: AVX512_CORE_AMX switches MXNet's AMX kernels on, which corrupt memory; expected no such "
            "variable, or AVX512_CORE_BF16"
        )


def threads() -> int:
    """The number of threads that compute: the first in ``OMP_NUM_THREADS``, or else that of the usable cores.

    Raises
    ------
    InvalidSetting
        If the variable does not begin with a number of threads.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not asked:
        return usable_cores()
    first = asked.partition(",")[0].strip()
    if not re.fullmatch(r"0*[1-9][0-9]{0,3}", first):
        raise InvalidSetting(f"OMP_NUM_THREADS: {asked!r} is not a number of threads; expected one such as 2")
    return int(first)


@contextlib.contextmanager
def _handlers_of_crashes_kept() -> Iterator[None]:
    """Restore the handlers of the signals of a crash, by default the system's, which end the process at once.

    Those of C, which Python's `signal` does not see; in any thread.
    """
    sigaction = ctypes.CDLL(None).sigaction
    kept = {number: ctypes.create_string_buffer(_SIGACTION_BYTES) for number in _CRASHES}
    for number, handler in kept.items():
        sigaction(number, None, handler)
    try:
        yield
    finally:
        for number, handler in kept.items():
            sigaction(number, handler, None)


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


def has_bfloat16() -> bool:
    """Whether MXNet's kernels can compute in bfloat16 on this processor, fast or not."""
    return _has("avx512f", "avx512bw", "avx512vl", "avx512dq")


def is_faster_in_bfloat16() -> bool:
    """Whether MXNet's convolutions are faster in bfloat16 than in float32 here, and known to be sound.

    They are with the AVX-512 bfloat16 instructions of AMD processors, whose throughput is twice that of float32. On
    Intel processors these instructions have the throughput of float32, and MXNet's AMX kernels corrupt memory.
    """
    return _has("avx512_bf16", "AuthenticAMD")


def _has(*wanted: str) -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return set(wanted) <= set(flags)
