"""The meaning of `auto`, and the choices refused, on all kinds of machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import ENGINE

from styletransfer.engines import choice, choose
from styletransfer.support.errors import UserError


@dataclass(frozen=True)
class Machine:
    """A machine: the engines that are installed, the best device of PyTorch, and whether it has AMX."""

    engines: tuple[str, ...] = choice.NAMES
    best: str = "cpu"
    amx: bool = False


class Torch:
    """PyTorch's engine as far as it is asked."""

    def __init__(self, amx: bool) -> None:
        self.amx = amx

    def precisions(self) -> tuple[str, ...]:
        return ("bfloat16", "float32") if self.amx else ("float32", "bfloat16")


@pytest.fixture
def on(monkeypatch):
    """Make this machine another one."""

    def become(machine: Machine) -> None:
        monkeypatch.delenv(choice.VARIABLE, raising=False)
        monkeypatch.setattr(choice, "installed", lambda name: name in machine.engines)
        monkeypatch.setattr(choice, "_may_have_gpu", lambda: machine.best != "cpu")
        monkeypatch.setattr(choice, "_best_device", lambda: machine.best)
        monkeypatch.setattr(choice, "is_fast_in_bfloat16", lambda: machine.amx)
        monkeypatch.setattr(choice, "load", lambda name, device: Torch(machine.amx and device == "cpu"))

    return become


ORDINARY, AMX, GPU = Machine(), Machine(amx=True), Machine(best="cuda:0", amx=True)
ONLY_MXNET, MAC = Machine(engines=("mxnet",)), Machine(engines=("torch",), best="mps")


@pytest.mark.parametrize(
    ("machine", "asked", "expected"),
    [
        (ORDINARY, (), ("mxnet", "cpu", "float32")),
        (ORDINARY, ("auto", "auto", "bfloat16"), ("torch", "cpu", "bfloat16")),
        (ORDINARY, ("torch",), ("torch", "cpu", "float32")),
        (ORDINARY, ("auto", "gpu:0"), ("mxnet", "gpu:0", "float32")),
        (ORDINARY, ("auto", "cuda:1"), ("torch", "cuda:1", "float32")),
        (AMX, (), ("torch", "cpu", "bfloat16")),
        (AMX, ("auto", "cpu"), ("torch", "cpu", "bfloat16")),
        (AMX, ("auto", "auto", "float32"), ("mxnet", "cpu", "float32")),
        (AMX, ("mxnet",), ("mxnet", "cpu", "float32")),
        (GPU, (), ("torch", "cuda:0", "float32")),
        (GPU, ("auto", "cpu"), ("torch", "cpu", "bfloat16")),
        (GPU, ("auto", "gpu:1"), ("torch", "gpu:1", "float32")),
        (GPU, ("mxnet", "gpu:1"), ("mxnet", "gpu:1", "float32")),
        (GPU, ("mxnet",), ("mxnet", "cpu", "float32")),
        (ONLY_MXNET, (), ("mxnet", "cpu", "float32")),
        (MAC, (), ("torch", "mps", "float32")),
        (MAC, ("auto", "cpu"), ("torch", "cpu", "float32")),
    ],
)
def test_what_is_chosen(on, machine, asked, expected):
    on(machine)
    found = choose(*asked)
    assert (found.engine, found.device, found.precision) == expected
    assert str(found) == f"{found.engine} on {found.device} in {found.precision}: {found.reason}" and found.reason


@pytest.mark.parametrize(
    ("machine", "asked", "words"),
    [
        (
            ORDINARY,
            ("mxnet", "cpu", "bfloat16"),
            "precision: bfloat16 is not available with engine: mxnet on cpu; expected auto or float32",
        ),
        (ORDINARY, ("mxnet", "cuda:0"), "device: cuda:0 needs engine: torch; MXNet has cpu and gpu:N"),
        (ONLY_MXNET, ("torch",), "engine: torch is not installed; pip install torch"),
        (ONLY_MXNET, ("auto", "mps"), "device: mps needs engine: torch"),
        (MAC, ("mxnet",), "engine: mxnet is not installed; MXNet installs on x86-64 Linux"),
        (Machine(engines=()), (), "neither MXNet nor PyTorch is installed; pip install torch"),
    ],
)
def test_what_is_refused(on, machine, asked, words):
    on(machine)
    with pytest.raises(UserError) as told:
        choose(*asked)
    assert str(told.value).startswith(words) and "\n" not in str(told.value)


def test_the_variable_stands_for_auto(on, monkeypatch):
    on(AMX)
    monkeypatch.setenv(choice.VARIABLE, "mxnet")
    assert choose().engine == "mxnet" and choose().reason == choice.VARIABLE
    assert choose("torch").engine == "torch"
    monkeypatch.setenv(choice.VARIABLE, "mxnte")
    with pytest.raises(
        UserError, match=r"^STYLETRANSFER_ENGINE: 'mxnte' is not an engine; expected one of mxnet, torch$"
    ):
        choose()


@pytest.mark.parametrize(
    ("flags", "fast"),
    [
        ("avx512f avx512_bf16", False),
        ("avx512_bf16 amx_tile amx_bf16", True),
        ("AuthenticAMD avx512_bf16", True),
        (None, False),
    ],
)
def test_some_processors_are_fast_in_bfloat16(monkeypatch, flags, fast):
    def read(path: Path) -> str:
        if flags is None:
            raise FileNotFoundError(path)
        return f"flags\t\t: fpu {flags}\n"

    monkeypatch.setattr(Path, "read_text", read)
    assert choice.is_fast_in_bfloat16.__wrapped__() == fast


def test_an_engine_has_its_name_its_device_and_a_version():
    found = choose(precision="float32")
    assert found.load() is ENGINE and (ENGINE.name, ENGINE.device) == (found.engine, found.device)
    assert "float32" in ENGINE.precisions() and ENGINE.version()[0].isdecimal()
    assert found.memory_factors.weights > 1
