"""The resources that the jobs of a sweep request from a Slurm cluster: the keys under `cluster:` in a sweep file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from styletransfer.config.validation_errors import first_message
from styletransfer.config.values import ByteSize, FileName, Switch, Whole
from styletransfer.support.errors import UserError

# sbatch options that have a key of their own.
_OWN = {
    "partition": ("partition", "p"),
    "account": ("account", "A"),
    "qos": ("qos", "q"),
    "cpus": ("cpus-per-task", "c"),
    "memory": ("mem",),
    "time": ("time", "t"),
    "parallel": ("array", "a"),
    "warning": ("signal",),
}
# sbatch options that the job file sets or relies on.
_RESERVED = (
    "chdir", "D", "output", "o", "error", "e", "open-mode", "requeue", "no-requeue", "wrap", "parsable", "wait", "W",
)  # fmt: skip


def _check_word(text: str) -> str:
    if not re.fullmatch(r"[\w.,:@/+=-]+", text):
        raise ValueError("Input should be a name without spaces")
    return text


def _check_gpus(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"(\w[\w.-]*:)?[0-9]{1,2}", text):
        raise ValueError("Input should be a number such as 1, or a type and a number such as h100:1")
    return text


def _check_time(text: Any) -> str:
    if not isinstance(text, str) or not seconds_of(text):  # a bare number lacks its unit
        raise ValueError("Input should be hours:minutes:seconds, such as 4:00:00 or 2-00:00:00")
    return text


def seconds_of(time: str) -> int | None:
    """A time as Slurm writes it (``90``, ``30:00``, ``4:00:00``, ``2-12``, ``2-12:00``) in seconds, or None."""
    match = re.fullmatch(r"(?:([0-9]{1,3})-)?([0-9]{1,6}(?::[0-9]{2}){0,2})", time)
    if not match:
        return None
    days, parts = match[1], [int(part) for part in match[2].split(":")]
    if days is not None or len(parts) == 3:
        parts += [0] * (3 - len(parts))
    else:
        parts = [0, *parts, *[0] * (2 - len(parts))]
    hours, minutes, seconds = parts
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _check_line(text: str) -> str:
    if not text.strip() or any(ord(character) < 32 and character != "\t" for character in text):
        raise ValueError("Input should be one line")
    return text


def _check_option(text: str) -> str:
    match = re.match(r"--?([A-Za-z][A-Za-z-]*)", _check_line(text))
    if not match:
        raise ValueError("Input should be an sbatch option, such as --constraint=h100")
    name = match[1] if text.startswith("--") else match[1][0]
    for key, names in _OWN.items():
        if name in names:
            raise ValueError(f"Input should not be an option that has a key of its own, {key}")
    if name in _RESERVED:
        raise ValueError("Input should not be an option that the job file relies on")
    return text


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Word = Annotated[str, pydantic.AfterValidator(_check_word)]
Line = Annotated[str, pydantic.AfterValidator(_check_line)]
Option = Annotated[str, pydantic.AfterValidator(_check_option)]
Program = Annotated[FileName, pydantic.AfterValidator(_check_line)]


def _whole(low: int, high: int) -> Any:
    return Annotated[int, Field(ge=low, le=high), Whole]


class Cluster(BaseModel):
    """The resources of every job. What is null is left to the cluster's defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: Word | None = Field(None, description="partition to submit to")
    account: Word | None = Field(None, description="account to charge")
    qos: Word | None = Field(None, description="quality of service")
    gpus: Annotated[str, pydantic.BeforeValidator(_check_gpus)] | None = Field(
        None, description="GPUs per job, 1 or h100:1; null: 1 if a config's device is a GPU, else none"
    )
    cpus: _whole(1, 1024) | None = Field(None, description="cores per job")  # type: ignore[valid-type]
    memory: ByteSize | None = Field(None, description="memory per job, such as 8GB or 8GiB")
    time: Annotated[str, pydantic.BeforeValidator(_check_time)] | None = Field(
        None,
        description="time limit of a job, such as 4:00:00; a job that reaches it saves its state and is requeued",
    )
    parallel: _whole(1, 10_000) | None = Field(None, description="maximum number of concurrent jobs; null: no limit")  # type: ignore[valid-type]
    setup: Annotated[tuple[Line, ...], pydantic.BeforeValidator(_listed)] = Field(
        (),
        description="lines of bash run before each job, such as module load python/3.12; if one fails, so does the job",
    )
    python: Program | None = Field(None, description="the Python that runs a job; null: the one that submits it")
    warning: _whole(1, 3600) = Field(120, description="seconds before the limit at which the state is saved")  # type: ignore[valid-type]
    restarts: _whole(0, 10_000) = Field(50, description="maximum number of times a job is requeued")  # type: ignore[valid-type]
    collect: Switch = Field(True, description="whether a final small job makes the contact sheet and the table")
    options: Annotated[tuple[Option, ...], pydantic.BeforeValidator(_listed)] = Field(
        (), description="additional sbatch options for the jobs, such as --constraint=h100"
    )

    @pydantic.model_validator(mode="after")
    def _time_to_work(self) -> Cluster:
        limit = seconds_of(self.time) if self.time else None
        if limit and limit <= self.warning:
            raise ValueError(f"time {self.time} must be longer than the warning before its end, {self.warning} s")
        return self

    def changed(self, values: Mapping[str, Any]) -> Cluster:
        """A copy with the values from the command line that are not None.

        Raises UserError if one is not allowed.
        """
        changed = {**self.model_dump(), **{key: value for key, value in values.items() if value is not None}}
        try:
            return Cluster.model_validate(changed)
        except pydantic.ValidationError as error:
            raise UserError(first_message(error, changed, Cluster, ["cluster"])) from None
