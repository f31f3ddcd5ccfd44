"""Running jobs on this machine, with several concurrent jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from models.runtime import check_environment, usable_cores
from styletransfer.run import memory
from styletransfer.support.errors import Interrupted
from styletransfer.support.files import atomic_write
from styletransfer.sweeps.command import command_of, resumes, write_config
from styletransfer.sweeps.jobs import Job
from styletransfer.sweeps.reports import sentence
from styletransfer.sweeps.states import Queue, State, failure, held, state_of
from styletransfer.sweeps.sweep_file import Sweep

_PATIENCE = 1.0  # seconds to wait while another process briefly locks a job
_AT_ONCE = (130, -int(signal.SIGINT), -int(signal.SIGTERM))  # statuses of jobs that were stopped without saving


def environment(at_once: int) -> dict[str, str]:
    """The environment of one of `at_once` concurrent jobs: the cores divided, unless the user has set the threads."""
    check_environment()
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    return {**os.environ, "OMP_NUM_THREADS": asked or str(max(1, usable_cores() // at_once))}


def with_its_share(job: Job, at_once: int, free: int) -> Job:
    """A job that is one of `at_once` concurrent jobs: limit it to its share of the `free` bytes.

    A job that is resumed keeps its tiles, and is returned unchanged.
    """
    if at_once == 1 or not job.uses_all_memory or resumes(job) or free == sys.maxsize:  # no known limit
        return job
    return job.limited_to(free // at_once)


def start(job: Job, variables: Mapping[str, str], python: str | None = None) -> subprocess.Popen[bytes] | None:
    """Start a job in its own process and session; None if another process is running it.

    Parameters
    ----------
    job : Job
    variables : dict of str
        The environment.
    python : str, optional
        The Python that runs it, if not the one that runs this.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    # The child inherits the lock with its standard error, so the job stays locked until it ends, even if we are killed.
    with held(job, _PATIENCE) as log:
        if log is None:
            return None
        (job.folder / "job.status").unlink(missing_ok=True)
        (job.folder / "job.begun").unlink(missing_ok=True)
        write_config(job)
        command = command_of(job)
        return subprocess.Popen(
            command if python is None else [python, *command[1:]],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # only we receive Ctrl-C, and forward it once
        )


def note_status(job: Job, status: int) -> None:
    """Write the exit status of a job's process into its folder."""
    with atomic_write(job.folder / "job.status") as stream:
        stream.write(f"{status}\n".encode())


def run_here(sweep: Sweep, at_once: int, say: Callable[[str], None], queue: Queue = None) -> dict[str, State]:
    """Run the remaining jobs of a sweep on this machine; a failed job does not affect the others.

    Parameters
    ----------
    sweep : Sweep
    at_once : int
        The number of concurrent jobs.
    say : callable
        Receives a line about every job.
    queue : mapping, optional
        The jobs of the sweep that a cluster has; they are not run here.

    Returns
    -------
    dict of str and State
        By name, the jobs whose folders cannot be used and therefore do not contain their state.

    Raises
    ------
    Interrupted
        On SIGINT, SIGTERM or SIGHUP; the running jobs have been told to save their states.
    """
    undone = [job for job in sweep.jobs if state_of(job, queue).name != "done"]
    waiting = deque(job for job in undone if job.name not in (queue or {}))
    finished = len(sweep.jobs) - len(waiting)
    if len(undone) < len(sweep.jobs):
        say(f"{len(sweep.jobs) - len(undone)} of {len(sweep.jobs)} already done")
    if len(waiting) < len(undone):
        say(f"{len(undone) - len(waiting)} left to the cluster")
    variables = environment(at_once)
    side_by_side, free = min(at_once, len(waiting)), memory.limit(None)
    running: dict[subprocess.Popen[bytes], Job] = {}
    unusable: dict[str, State] = {}
    all_saved = True
    with _signals() as received, _terminated_at_exit(running):
        forwarded = 0
        while running or (waiting and not received):
            while waiting and len(running) < at_once and not received:
                job = waiting.popleft()
                words = f"{job.name}: running elsewhere"
                try:
                    process = start(with_its_share(job, side_by_side, free), variables)
                except OSError as error:
                    process, unusable[job.name] = None, failure(error)
                    words = sentence(job, unusable)
                if process is None:
                    finished += 1
                    say(f"{finished}/{len(sweep.jobs)} {words}")
                else:
                    running[process] = job
            if len(received) > forwarded:
                say(f"killing running jobs: {len(running)}" if forwarded else f"stopping running jobs: {len(running)}")
                forwarded = len(received)
                for process in running:
                    process.terminate()
            for process in [process for process in running if process.poll() is not None]:
                job = running.pop(process)
                try:
                    note_status(job, process.returncode)
                except OSError as error:
                    unusable[job.name] = failure(error)
                finished += 1
                all_saved &= process.returncode not in _AT_ONCE
                say(f"{finished}/{len(sweep.jobs)} {sentence(job, unusable)}")
            time.sleep(0.05)
    if received:
        saved = "states saved" if all_saved else "but not all states were saved"
        raise Interrupted(f"interrupted, {saved}: run the same command again to resume")
    return unusable


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals in a list instead of acting on them; ignored signals (nohup) remain ignored."""
    received: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _terminated_at_exit(running: Mapping[subprocess.Popen[bytes], Job]) -> Iterator[None]:
    """Leave no process running, whatever happens."""
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
