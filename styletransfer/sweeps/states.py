"""What has become of a job: read from its folder, and from what a cluster says is queued."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.run import checkpoints
from styletransfer.run.output_folder import CONFIG, PICTURE
from styletransfer.support.errors import Diverged, Interrupted, UserError
from styletransfer.sweeps.command import goes_on
from styletransfer.sweeps.plans import Job, Plan

# Exit statuses of jobs that have not failed: where they have no picture, they can go on.
WELL = (0, Interrupted.status, 130, -int(signal.SIGINT), -int(signal.SIGTERM))
DIVERGED = "  diverged: true"  # the line of config.yaml, under provenance, that a run adds before its last picture
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
    try:
        return _state_of(job, queue)
    except OSError as error:
        return failure(error)


def failure(error: OSError) -> State:
    """That of a job whose folder cannot be used."""
    where = f"{error.filename}: " if error.filename else ""
    return State("failed", where + (error.strerror or str(error)))


def _state_of(job: Job, queue: Queue) -> State:
    if _is_locked(job.folder / "job.log"):
        return State("running")
    if _is_finished(job.folder):
        return State("done")
    status, queued = _status(job), (queue or {}).get(job.name)
    if queued is not None:
        return queued
    if status not in (None, *WELL):
        return State("failed", _reason(job, status))
    begun = _last_line(job.folder / "job.begun")
    if queue is not None and begun:  # it had no time to say how it ended
        lost = "ended without a word: killed, or out of memory or time"
        return State("failed", f"{begun} {lost}; the last it said: {_said(job)}")
    if (job.folder / PICTURE).exists():  # of a run that diverged, and nobody was there to write its status
        return State("failed", _said(job))
    return State("unfinished" if checkpoints.exists(job.folder) else "left")


def _is_finished(folder: Path) -> bool:
    """Whether there is the picture of a run that ended well, which a run alone can say, and does, in its config."""
    try:
        saved = (folder / CONFIG).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (folder / PICTURE).exists() and saved != "" and DIVERGED not in saved.splitlines()


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


@contextlib.contextmanager
def held(job: Job, patience: float = 0.0) -> Iterator[BinaryIO | None]:
    """Keep other processes from a job, whose folder exists.

    Parameters
    ----------
    job : Job
    patience : float
        Seconds to wait; asking for the state of a job takes it for a moment.

    Yields
    ------
    binary stream or None
        ``job.log``, to be written at its end; a child that has it too keeps the job. None if another process has it.
    """
    with open(job.folder / "job.log", "ab") as log:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                yield None
                return
            except OSError:
                pass  # a file system that knows no locks
            break
        yield log


def check_settings(plan: Plan) -> None:
    """Refuse to take pictures for what they are not, and to go on with runs that were others.

    Raises
    ------
    UserError
        If a picture or a state was made with other settings than its job has now.
    """
    for job in plan.jobs:
        key = _changed_key(job)
        if key:
            raise UserError(
                f"job {job.name}: {job.folder} holds a run with another {key}; "
                "begin such jobs anew with --force, or name another output"
            )


def to_begin_anew(plan: Plan, queue: Queue = None) -> list[Job]:
    """The jobs that ``--force`` is about: those that failed, and those with other settings than at their start."""
    found = []
    for job in plan.jobs:
        state = state_of(job, queue).name
        if state == "failed" or (state not in ("running", "queued") and _changed_key(job)):
            found.append(job)
    return found


def forget(job: Job) -> None:
    """Let a job begin anew, unless another process has it: without picture, and without states to go on from."""
    with contextlib.suppress(OSError), held(job) as log:  # what cannot be removed will be the fault of the job
        for name in (PICTURE, checkpoints.NAME, checkpoints.PREVIOUS) if log else ():
            (job.folder / name).unlink(missing_ok=True)


def _changed_key(job: Job) -> str | None:
    """A key that is not what it was for the picture in the folder of a job, or for the state to go on from, if any."""
    path = job.folder / CONFIG
    try:
        finished = _is_finished(job.folder)
        if not finished and not (goes_on(job) and path.exists() and path.stat().st_size):
            return None
    except OSError:  # its state says so
        return None
    kept = _of_a_picture if finished else checkpoints.comparable
    values = configs.read_file(path)
    if not values.keys() <= Config.model_fields.keys():  # those of an earlier version
        return "set of keys"
    there = configs.parse(values, f"config {path}")
    return checkpoints.first_difference(kept(there), kept(job.config))


def _of_a_picture(config: Config) -> dict[str, Any]:
    """What makes a difference to a finished picture."""
    writing = {"folder", "save_every", "checkpoint_every"}
    return config.model_dump(mode="json", exclude={"provenance": True, "memory": True, "output": writing})
