"""Running a sweep on this machine, some jobs side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from models.runtime import usable_cores
from styletransfer.run import memory
from styletransfer.support.byte_sizes import in_gigabytes
from styletransfer.support.errors import Interrupted
from styletransfer.support.files import written_whole
from styletransfer.sweeps.command import command_of, goes_on, write_config
from styletransfer.sweeps.plans import Job, Plan
from styletransfer.sweeps.reports import sentence
from styletransfer.sweeps.states import Queue, State, failure, held, state_of

_PATIENCE = 1.0  # seconds that another process may look at a job
_AT_ONCE = (130, -int(signal.SIGINT), -int(signal.SIGTERM))  # statuses of jobs that were told to end and saved nothing


def environment(at_once: int) -> dict[str, str]:
    """That of a job of which so many run side by side: the cores divided, unless the user has set the threads."""
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // at_once)), **os.environ}


def with_its_share(job: Job, at_once: int, free: int) -> Job:
    """A job of which so many run side by side: `free` bytes divided, where each would count on all of them.

    One that goes on has its tiles already, and is left as it is.
    """
    counts_on_all = job.config.device == "cpu" and job.config.tile == "auto" and job.config.memory is None
    if at_once == 1 or not counts_on_all or goes_on(job) or free == sys.maxsize:  # no limit is known
        return job
    share = in_gigabytes(free // at_once)
    return dataclasses.replace(job, config=job.config.model_copy(update={"memory": share}))


def start(job: Job, variables: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Start a job in a process, and a session, of its own; None if another process runs it already."""
    job.folder.mkdir(parents=True, exist_ok=True)
    # The job is the child's as well, with its standard error: until the child ends, whatever becomes of us.
    with held(job, _PATIENCE) as log:
        if log is None:
            return None
        (job.folder / "job.status").unlink(missing_ok=True)
        (job.folder / "job.begun").unlink(missing_ok=True)
        write_config(job)
        return subprocess.Popen(
            command_of(job),
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches us alone; we pass it on, once
        )


def _finish(job: Job, status: int) -> None:
    with written_whole(job.folder / "job.status") as stream:
        stream.write(f"{status}\n".encode())


def run_here(plan: Plan, at_once: int, say: Callable[[str], None], queue: Queue = None) -> dict[str, State]:
    """Run what is left of a sweep on this machine; a job that fails does so alone.

    Parameters
    ----------
    plan : Plan
    at_once : int
        How many jobs run side by side.
    say : callable
        Takes a line about every job.
    queue : mapping, optional
        What a cluster has of the sweep; it is left to it.

    Returns
    -------
    dict of str and State
        Jobs, by name, whose folders cannot be used, so that these do not say what has become of them.

    Raises
    ------
    Interrupted
        If SIGINT, SIGTERM or SIGHUP came; the jobs under way have been told to save their states.
    """
    undone = [job for job in plan.jobs if state_of(job, queue).name != "done"]
    waiting = deque(job for job in undone if job.name not in (queue or {}))
    finished = len(plan.jobs) - len(waiting)
    if len(undone) < len(plan.jobs):
        say(f"{len(plan.jobs) - len(undone)} of {len(plan.jobs)} done already")
    if len(waiting) < len(undone):
        say(f"{len(undone) - len(waiting)} left to the cluster")
    variables = environment(at_once)
    side_by_side, free = min(at_once, len(waiting)), memory.limit(None)
    running: dict[subprocess.Popen[bytes], Job] = {}
    unusable: dict[str, State] = {}
    all_saved = True
    with _signals() as received, _ended_with_us(running):
        passed_on = 0
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
                    say(f"{finished}/{len(plan.jobs)} {words}")
                else:
                    running[process] = job
            if len(received) > passed_on:
                say(f"ending {len(running)} at once" if passed_on else f"stopping {len(running)} running")
                passed_on = len(received)
                for process in running:
                    process.terminate()
            for process in [process for process in running if process.poll() is not None]:
                job = running.pop(process)
                try:
                    _finish(job, process.returncode)
                except OSError as error:
                    unusable[job.name] = failure(error)
                finished += 1
                all_saved &= process.returncode not in _AT_ONCE
                say(f"{finished}/{len(plan.jobs)} {sentence(job, unusable)}")
            time.sleep(0.05)
    if received:
        saved = "states saved" if all_saved else "but not all states were saved"
        raise Interrupted(f"interrupted, {saved}: run the same command again to go on")
    return unusable


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals in a list instead of acting on them; those that were ignored (nohup) stay so."""
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
def _ended_with_us(running: Mapping[subprocess.Popen[bytes], Job]) -> Iterator[None]:
    """Whatever happens, leave no process behind."""
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
