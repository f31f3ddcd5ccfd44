"""What has become of a job: read from its folder, and from what a cluster says is queued."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from styletransfer import checkpoints
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.errors import Diverged, Interrupted, UserError
from styletransfer.sweeps.plans import Job, Plan

# Exit statuses after which a job is done, where it has a picture, or else can go on.
WELL = (0, Interrupted.status, 130, -int(signal.SIGINT), -int(signal.SIGTERM))
STATES = ("done", "running", "queued", "unfinished", "failed", "left")


@dataclass(frozen=True)
class State:
    """One of `STATES`: unfinished is what can go on from a checkpoint; what failed has a reason."""

    name: str
    reason: str = ""


# What a cluster has of a sweep, running or queued, by the name of the job; None where it is not known.
Queue = Mapping[str, State] | None


def state_of(job: Job, queue: Queue = None) -> State:
    """What the folder of a job, and the queue of a cluster, say about it."""
    if _is_locked(job.folder / "job.log"):
        return State("running")
    status, queued = _status(job), (queue or {}).get(job.name)
    begins = queued is not None and queued.name == "running" and status is None  # the last picture may still be there
    if status in (None, *WELL) and (job.folder / "image.png").exists() and not begins:  # what a run writes last
        return State("done")
    if queued is not None:
        return queued
    if status not in (None, *WELL):
        return State("failed", _reason(job, status))
    begun = _last_line(job.folder / "job.begun")
    if queue is not None and begun:  # it had no time to say how it ended
        lost = "ended without a word: killed, or out of memory or time"
        return State("failed", f"{begun} {lost}; the last it said: {_said(job)}")
    return State("unfinished" if checkpoints.exists(job.folder) else "left")


def _status(job: Job) -> int | None:
    try:
        return int((job.folder / "job.status").read_text())
    except (OSError, ValueError):
        return None


def _reason(job: Job, status: int | None) -> str:
    """The last line that a job said on standard error, and the status where that says more."""
    last = _said(job)
    if status is not None and status < 0:
        return f"killed by signal {-status}; the last it said: {last}"
    return last if status in (UserError.status, Diverged.status) else f"exit status {status}: {last}"


def _said(job: Job) -> str:
    return _last_line(job.folder / "job.log").removeprefix("error: ") or "it said nothing"


def _last_line(path: Path) -> str:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _is_locked(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system that knows no locks
        return False


def check_finished(plan: Plan) -> None:
    """Refuse to take finished pictures for what they are not.

    Raises
    ------
    UserError
        If a finished job was made with other settings than it has now.
    """
    for job in plan.jobs:
        path = job.folder / "config.yaml"
        if state_of(job).name == "done" and path.exists():
            key = _first_difference(configs.parse(configs.read_file(path), f"config {path}"), job.config)
            if key:
                hint = "remove the folder or name another output"
                raise UserError(f"job {job.name}: {job.folder} holds a picture made with another {key}; {hint}")


def _first_difference(first: Config, second: Config) -> str | None:
    left_out = {"made_with", "output", "memory"}
    flat, other = (dict(_flat(config.model_dump(mode="json", exclude=left_out))) for config in (first, second))
    return next((key for key in {**flat, **other} if flat.get(key) != other.get(key)), None)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value
