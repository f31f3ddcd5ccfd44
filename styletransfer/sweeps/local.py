"""Running jobs on this machine, with several concurrent jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from models.runtime import check_environment
from models.threads import usable_cores
from styletransfer.session import memory
from styletransfer.session.output_folder import STATUS
from styletransfer.support.errors import Interrupted
from styletransfer.support.files import atomic_write
from styletransfer.sweeps.command import command_of, resumes, write_config
from styletransfer.sweeps.jobs import Job
from styletransfer.sweeps.reports import sentence
from styletransfer.sweeps.states import Queue, State, failure, locked, state_of
from styletransfer.sweeps.sweep_file import Sweep
from styletransfer.sweeps.watchdog import Watchdog

_LAST_PATIENCE = 60.0  # seconds for a job to save its state if this ends with an error
_PATIENCE = 1.0  # seconds to wait while another process briefly locks a job
_AT_ONCE = (130, -int(signal.SIGINT), -int(signal.SIGTERM))  # statuses of jobs that were stopped without saving


def environment(at_once: int) -> dict[str, str]:
    """The environment of one of `at_once` concurrent jobs: the cores divided, unless the user has set the threads."""
    check_environment()
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    return {**os.environ, "OMP_NUM_THREADS": asked or str(max(1, usable_cores() // at_once))}


def with_its_share(job: Job, at_once: int, free: int) -> Job:
    """Limit one of `at_once` concurrent jobs to its share of the `free` bytes.

    A job that is resumed keeps its tiles, and is returned unchanged.
    """
    if at_once == 1 or not job.uses_all_memory or resumes(job):
        return job
    return job.limited_to(free // at_once)


def start(job: Job, variables: Mapping[str, str], python: str | None = None) -> subprocess.Popen[bytes] | None:
    """Start a job in its own process and session; None if another process is running it.

    Parameters
    ----------
    variables : dict of str
        The environment.
    python : str, optional
        The Python that runs it, if not the one that runs this.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    # The child inherits the lock with its standard error, so the job stays locked until it ends, even if we are killed.
    with locked(job, _PATIENCE) as log:
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


def watchdog_of(job: Job) -> Watchdog:
    """Create the watchdog of a job that has just been started."""
    return Watchdog(job.folder / STATUS)


def kill_if_stuck(process: subprocess.Popen[bytes], job: Job, watchdog: Watchdog, told: bool) -> None:
    """Kill a job whose steps have stopped, or that does not end though it has been `told` to; its log says why."""
    why = watchdog.look(told)
    if why is not None:
        with contextlib.suppress(OSError), open(job.folder / "job.log", "ab") as log:
            log.write(f"error: {why}\n".encode())
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a job that :func:`start` has started, with all processes that it has started itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def note_status(job: Job, status: int, told: bool = False) -> int:
    """Write the exit status of a job's process into its folder; returns it.

    If the job had been `told` to end and was killed, it counts as stopped, not as failed.
    """
    if told and status == -signal.SIGKILL:
        status = -int(signal.SIGTERM)
    with atomic_write(job.folder / "job.status") as stream:
        stream.write(f"{status}\n".encode())
    return status


def run_here(sweep: Sweep, at_once: int, say: Callable[[str], None], queue: Queue = None) -> dict[str, State]:
    """Run the remaining jobs of a sweep on this machine; a failed job does not affect the others.

    Raises Interrupted on SIGINT, SIGTERM or SIGHUP; the running jobs have been told to save their states.

    Parameters
    ----------
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
    running: dict[subprocess.Popen[bytes], tuple[Job, Watchdog]] = {}
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
                    running[process] = job, watchdog_of(job)
            if len(received) > forwarded:
                say(f"killing running jobs: {len(running)}" if forwarded else f"stopping running jobs: {len(running)}")
                for process in running:
                    kill(process) if forwarded else process.terminate()
                forwarded = len(received)
            for process, (job, watchdog) in running.items():
                kill_if_stuck(process, job, watchdog, told=forwarded > 0)
            for process in [process for process in running if process.poll() is not None]:
                job, _ = running.pop(process)
                status = process.returncode
                try:
                    status = note_status(job, status, told=forwarded > 0)
                except OSError as error:
                    unusable[job.name] = failure(error)
                finished += 1
                all_saved &= status not in _AT_ONCE
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
def _terminated_at_exit(running: Iterable[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Leave no process running, whatever happens."""
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LAST_PATIENCE)
            kill(process)
            process.wait()
