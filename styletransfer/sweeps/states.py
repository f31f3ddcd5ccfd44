"""The state of a job: read from its folder and from the queue of a cluster."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from styletransfer import config as configs
from styletransfer.session import checkpoints, output_folder, task
from styletransfer.session.output_folder import CONFIG, finished_picture
from styletransfer.session.provenance import checksums_in
from styletransfer.session.task import Checksum
from styletransfer.support.errors import Diverged, Interrupted, UserError, reason_of
from styletransfer.sweeps.command import resumes
from styletransfer.sweeps.jobs import Job
from styletransfer.sweeps.sweep_file import Sweep

# Exit statuses of jobs that have not failed: without a picture, they can be resumed.
NOT_FAILED = (0, Interrupted.status, 130, -int(signal.SIGINT), -int(signal.SIGTERM))
STATES = ("done", "running", "queued", "unfinished", "failed", "left")
_EARLIER = f"the picture is of an earlier version, without {output_folder.STATUS}"


@dataclass(frozen=True)
class State:
    """One of `STATES`: an unfinished job can resume from a checkpoint; a failed job has a reason."""

    name: str
    reason: str = ""


# The jobs of a sweep that a cluster has, running or queued, by name; None if unknown.
Queue = Mapping[str, State] | None


def state_of(job: Job, queue: Queue = None) -> State:
    """The state of a job according to its folder and the queue of a cluster."""
    try:
        return _state_of(job, queue)
    except OSError as error:
        return failure(error)


def failure(error: OSError) -> State:
    """The state of a job whose folder cannot be used."""
    where = f"{error.filename}: " if error.filename else ""
    return State("failed", where + reason_of(error))


def _state_of(job: Job, queue: Queue) -> State:
    if _is_locked(_log(job)):
        return State("running")
    if output_folder.is_done(job.folder):
        return State("done")
    status, queued = _status(job), (queue or {}).get(job.name)
    if queued is not None:
        return queued
    if status not in (None, *NOT_FAILED):
        return State("failed", _reason(job, status))
    begun = _last_line(job.folder / "job.begun")
    if queue is not None and begun:  # it did not write its status
        lost = "exited without a message: killed, or out of memory or time"
        return State("failed", f"{begun} {lost}; log: {_log(job)}; last output: {_last_output(job)}")
    if finished_picture(job.folder):  # of a run that diverged, whose exit status was not written
        return State("failed", _EARLIER if _is_of_earlier_version(job.folder) else _last_output(job))
    return State("unfinished" if checkpoints.exists(job.folder) else "left")


def _is_of_earlier_version(folder: Path) -> bool:
    """Return whether there is a picture without the status of its run."""
    return output_folder.read_status(folder) is None and finished_picture(folder) is not None


def _status(job: Job) -> int | None:
    try:
        return int((job.folder / "job.status").read_text())
    except (OSError, ValueError):
        return None


def _reason(job: Job, status: int | None) -> str:
    """The last line of a job's standard error; if it crashed, also how, and where the rest of its output is."""
    last = _last_output(job)
    if status is not None and status < 0:
        return f"killed by {_signal_name(-status)}; log: {_log(job)}; last output: {last}"
    return last if status in (UserError.status, Diverged.status) else f"exit status {status}: {last}; log: {_log(job)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _log(job: Job) -> Path:
    """All output of a job."""
    return job.folder / "job.log"


def _last_output(job: Job) -> str:
    return _last_line(_log(job)).removeprefix("error: ") or "no output"


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
    except OSError:  # no such file, or a file system without locks
        return False


@contextlib.contextmanager
def locked(job: Job, patience: float = 0.0) -> Iterator[BinaryIO | None]:
    """Lock a job, whose folder must exist, against other processes.

    Parameters
    ----------
    patience : float
        Seconds to wait; querying the state of a job locks it briefly.

    Yields
    ------
    binary stream or None
        ``job.log``, opened for appending; a child that inherits it keeps the lock. None if another process has it.
    """
    with open(_log(job), "ab") as log:
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
                pass  # a file system without locks
            break
        yield log


def check_settings(sweep: Sweep) -> None:
    """Reject existing pictures and checkpoints that were made with other settings or input files.

    Raises UserError if a picture or a checkpoint was made with other settings than its job has now, or from input
    files that have been replaced since, or by an earlier version.
    """
    checksum = functools.cache(task.checksum)  # jobs share files
    for job in sweep.jobs:
        change = _change(job, checksum)
        if change:
            raise UserError(f"job {job.name}: {change}; restart such jobs with --force, or choose another output")


def jobs_to_restart(sweep: Sweep, queue: Queue = None) -> list[Job]:
    """The jobs that ``--force`` restarts: those that failed, and those whose settings or input files have changed."""
    jobs, checksum = [], functools.cache(task.checksum)
    for job in sweep.jobs:
        state = state_of(job, queue).name
        if state == "failed" or (state not in ("running", "queued") and (_change(job, checksum) or _is_strange(job))):
            jobs.append(job)
    return jobs


def _is_strange(job: Job) -> bool:
    """Return whether a file that no run has written is in the place of a job's results."""
    try:
        output_folder.check_results(job.folder, force=False)
        return False
    except UserError:
        return True


def forget(job: Job) -> None:
    """Remove the results of a job, so that it restarts, unless another process has it."""
    with contextlib.suppress(OSError), locked(job) as log:  # if they cannot be removed, the job will report it
        if log:
            output_folder.remove_results(job.folder)


def _change(job: Job, checksum: Checksum) -> str | None:
    """Say what has changed since the picture or the checkpoint of a job was made, if anything.

    Parameters
    ----------
    checksum : callable
        The sha256 of a file.
    """
    path = job.folder / CONFIG
    try:
        done = output_folder.is_done(job.folder)
        if _is_of_earlier_version(job.folder):
            return f"{job.folder}: {_EARLIER}"
        if not (done or resumes(job)) or not (path.exists() and path.stat().st_size):
            return None
    except OSError:  # its state reports this
        return None
    values = configs.read_file(path)
    if not values.keys() <= type(job.config).model_fields.keys():  # written by an earlier version
        return f"{job.folder} contains a run with another set of keys"
    there = job.parse(values, f"config {path}")
    key = checkpoints.first_difference(job.settings(there, done), job.settings(job.config, done))
    if key:
        return f"{job.folder} contains a run with another {key}"
    key = _replaced_input(job, checksums_in(there.provenance or {}), checksum)
    return f"{key}: the file has changed since the run in {job.folder} was started" if key else None


def _replaced_input(job: Job, recorded: Mapping[str, str], checksum: Checksum) -> str | None:
    """The config key of an input file whose checksum is not the recorded one; absent files do not count."""
    sums = job.checksums(checksum)
    return next((key for key, value in sums.items() if key in recorded and value != recorded[key]), None)
