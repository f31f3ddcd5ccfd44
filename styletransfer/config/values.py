"""The types of the values that config keys accept, shared by all schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticKnownError

from styletransfer.support.byte_sizes import parse_size

_LEAST = 1e-30  # the smallest positive number allowed; MXNet rejects denormal float32 numbers, below 1e-38


def _check_whole(value: Any) -> Any:
    """Reject true and ``"3"``, which pydantic would accept; accept 1e3, which YAML reads as a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticKnownError("int_type")
    return value


def _read_switch(value: Any) -> Any:
    """Read the words of YAML 1.1 that people still write for true and false; anything else as it is."""
    return {"yes": True, "on": True, "no": False, "off": False}.get(value, value) if isinstance(value, str) else value


def _flush_to_zero(value: float) -> float:
    """Round a number that is too small to matter to 0."""
    return 0.0 if abs(value) < _LEAST else value


def check_file_name(name: str) -> str:
    """Return `name` if it is a valid file name.

    Raises ValueError if it is not.
    """
    if not name or "\0" in name:
        raise ValueError("Input should be a file name")
    try:
        Path(name).expanduser()
    except RuntimeError:
        raise ValueError("Input should not name the home folder of an unknown user") from None
    return name


def _check_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|(gpu|cuda):[0-9]{1,2}", name):
        raise ValueError("Input should be auto, cpu, gpu:0, gpu:1, ..., cuda:0, ..., or mps")
    return name


def names_gpu(device: str) -> bool:
    """Return whether a `device` asks for a GPU."""
    return device not in ("auto", "cpu")


def _check_byte_size(size: Any) -> Any:
    parse_size(str(size))  # a bare number lacks its unit
    return size


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_FLUSHED = pydantic.AfterValidator(_flush_to_zero)
Positive = Annotated[Number, Field(ge=_LEAST, le=1e30)]
NotNegative = Annotated[Number, Field(ge=0, le=1e30), _FLUSHED]
Share = Annotated[Number, Field(ge=0, le=1), _FLUSHED]
Retained = Annotated[Number, Field(ge=0, lt=1), _FLUSHED]
Finite = Annotated[Number, Field(ge=-1e6, le=1e6)]
Whole = pydantic.BeforeValidator(_check_whole)
Switch = Annotated[bool, Field(strict=True), pydantic.BeforeValidator(_read_switch)]
Side = Annotated[int, Field(ge=1, le=20_000), Whole]
Count = Annotated[int, Field(ge=0, le=10_000_000), Whole]
FileName = Annotated[str, pydantic.AfterValidator(check_file_name)]
Device = Annotated[str, pydantic.AfterValidator(_check_device)]
ByteSize = Annotated[str, pydantic.BeforeValidator(_check_byte_size)]
Layers = Annotated[dict[str, Positive], Field(min_length=1)]


def one_of(names: Iterable[str]) -> Any:
    """The type of a key whose value is one of `names`."""
    return Literal[tuple(names)]  # type: ignore[valid-type]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)
