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
import signal
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from models.threads import InvalidSetting, threads

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
_SIGACTION_BYTES = 256  # more than a struct sigaction has


# MXNet is untyped; these names are documentation.
Array = Any  # mxnet.nd.NDArray
Symbol = Any  # mxnet.sym.Symbol
Context = Any  # mxnet.Context
Executor = Any  # mxnet.executor.Executor


@functools.cache
def load_mxnet() -> ModuleType:
    """Prepare the environment, import MXNet and return it; later calls return the same module.

    Variables that the user has set (``OMP_NUM_THREADS`` and the like) are respected.

    Raises InvalidSetting if one of them would end or corrupt the process.
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
    """Raise InvalidSetting if an environment variable would end or corrupt a process with MXNet."""
    threads()
    if os.environ.get("DNNL_MAX_CPU_ISA") == "AVX512_CORE_AMX":  # the only value that switches AMX on
        raise InvalidSetting(
            "DNNL_MAX_CPU_ISA: AVX512_CORE_AMX switches MXNet's AMX kernels on, which corrupt memory; expected no such "
            "variable, or AVX512_CORE_BF16"
        )


@contextlib.contextmanager
def _handlers_of_crashes_kept() -> Iterator[None]:
    """Keep the handlers of crash signals, by default the system's, which end the process at once.

    These are C handlers, which Python's `signal` does not see; this works in any thread.
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
