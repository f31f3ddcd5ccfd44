"""The choice of engine, device and precision."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from styletransfer.engines.base import Engine, MemoryFactors
from styletransfer.support.errors import UserError

NAMES = ("mxnet", "torch")  # those of their packages too
VARIABLE = "STYLETRANSFER_ENGINE"  # stands for `engine: auto`
_TO_GET = {
    "mxnet": "MXNet installs on x86-64 Linux with Python up to 3.12 only: pip install mxnet==1.9.1",
    "torch": "pip install torch",
}
_loaded: dict[str, Engine] = {}  # the last of each name


@dataclass(frozen=True)
class Choice:
    """The engine, device and precision of a run.

    Attributes
    ----------
    engine : str
        mxnet or torch.
    device : str
        cpu, gpu:N, cuda:N or mps.
    precision : str
        float32 or bfloat16.
    reason : str
        The reason for the choice, in a few words.
    """

    engine: str
    device: str
    precision: str
    reason: str

    def __str__(self) -> str:
        return f"{self.engine} on {self.device} in {self.precision}: {self.reason}"

    def load(self) -> Engine:
        """The engine."""
        return load(self.engine, self.device)

    @property
    def memory_factors(self) -> MemoryFactors:
        return memory_factors(self.engine, self.device, self.precision)


def memory_factors(engine: str, device: str, precision: str) -> MemoryFactors:
    """The growth of memory on the device with the arrays of a run."""
    if engine == "mxnet":
        from styletransfer.engines.mxnet.memory import FACTORS

        return FACTORS
    from styletransfer.engines.torch.memory import BY_PRECISION

    factors = BY_PRECISION[precision]
    return factors if device == "cpu" else dataclasses.replace(factors, fixed=0)


def installed(name: str) -> bool:
    """Return whether the package of an engine, which has its name, is installed."""
    return importlib.util.find_spec(name) is not None


@functools.lru_cache(maxsize=4)
def load(name: str, device: str = "cpu") -> Engine:
    """The engine on a device.

    Raises UserError if it is not installed, or there is no such device.
    """
    _check_installed(name)
    engine: Engine
    if name == "mxnet":
        from styletransfer.engines.mxnet.engine import MXNetEngine

        engine = MXNetEngine(device)
    else:
        from styletransfer.engines.torch.engine import TorchEngine

        engine = TorchEngine(device)
    _loaded[name] = engine
    return engine


def is_out_of_memory(error: Exception) -> bool:
    """Return whether Python, NumPy or an engine that is loaded failed to allocate memory."""
    return isinstance(error, MemoryError) or any(engine.is_out_of_memory(error) for engine in _loaded.values())


def _check_installed(name: str) -> None:
    if not installed(name):
        raise UserError(f"engine: {name} is not installed; {_TO_GET[name]}")


def choose(engine: str = "auto", device: str = "auto", precision: str = "auto") -> Choice:
    """Choose an engine, a device and a precision in place of `auto`.

    The engine is PyTorch for a GPU that it sees, or in bfloat16 for a processor that is fast in it; else MXNet where it
    is installed; else PyTorch. The environment variable STYLETRANSFER_ENGINE stands for `auto`.

    Raises UserError if the engine is not installed, or does not support the device or the precision.
    """
    asked, engine = engine, os.environ.get(VARIABLE, "auto") if engine == "auto" else engine
    if engine not in (*NAMES, "auto"):
        raise UserError(f"{VARIABLE}: {engine!r} is not an engine; expected one of {', '.join(NAMES)}")
    reason = "as asked" if engine != "auto" and asked != "auto" else VARIABLE
    if engine == "auto":
        engine, reason = _engine_for(device, precision)
    _check_installed(engine)
    if device == "auto":
        device = _best_device() if engine == "torch" else "cpu"
    if engine == "mxnet" and device.startswith(("cuda", "mps")):
        raise UserError(f"device: {device} needs engine: torch; MXNet has cpu and gpu:N")
    precisions = load(engine, device).precisions() if engine == "torch" else ("float32",)
    if precision == "auto":
        precision = precisions[0]
    elif precision not in precisions:
        raise UserError(
            f"precision: {precision} is not available with engine: {engine} on {device}; expected auto or "
            f"{' or '.join(precisions)}"
        )
    return Choice(engine, device, precision, reason)


def _engine_for(device: str, precision: str) -> tuple[str, str]:
    """The engine that `auto` stands for, and why."""
    there = [name for name in NAMES if installed(name)]
    if not there:
        raise UserError(f"neither MXNet nor PyTorch is installed; {_TO_GET['torch']}")
    if len(there) == 1:
        return there[0], "the only engine that is installed"
    if device.startswith(("cuda", "mps")):
        return "torch", f"MXNet does not support {device}"
    if device != "cpu" and _may_have_gpu() and _best_device() != "cpu":
        return "torch", "it sees a GPU"
    if precision == "bfloat16":
        return "torch", "MXNet has no bfloat16"
    if device in ("auto", "cpu") and precision == "auto" and is_fast_in_bfloat16():
        return "torch", "faster in bfloat16 on this processor"
    return "mxnet", "the default on this processor"


def _may_have_gpu() -> bool:
    """Return whether PyTorch is worth importing to look for a GPU."""
    return sys.platform != "linux" or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")))


def _best_device() -> str:
    from styletransfer.engines.torch.engine import best_device

    return best_device()


@functools.cache
def is_fast_in_bfloat16() -> bool:
    """Return whether bfloat16 halves the time of PyTorch: with AMX, or AMD's AVX-512 bfloat16.

    Intel's AVX-512 bfloat16 has the throughput of float32.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return "amx_bf16" in flags or {"avx512_bf16", "AuthenticAMD"} <= set(flags)
