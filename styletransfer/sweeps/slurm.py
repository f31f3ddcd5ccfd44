"""Submitting a sweep to Slurm and querying its queue. Only ``sbatch`` and ``squeue`` are needed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from styletransfer.support.errors import UserError
from styletransfer.support.files import atomic_write
from styletransfer.sweeps import batch
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.command import write_config
from styletransfer.sweeps.jobs import Job
from styletransfer.sweeps.states import Queue, State, forget, jobs_to_restart, state_of
from styletransfer.sweeps.sweep_file import COLLECT, CONTACT, RESULTS, SLURM, Sweep

_TIMEOUT = 60  # seconds for an answer


def queue_of(sweep: Sweep) -> Queue:
    """The jobs of a sweep that Slurm has, by name; None if nothing was submitted or Slurm is not installed.

    An entry of the queue is a file and a task number, and the list in that file says which job that is. So no separate
    record can be lost, and jobs submitted by hand are found as well.

    Raises UserError if Slurm does not answer.
    """
    if not (sweep.folder / SLURM).is_dir() or not shutil.which("squeue"):
        return None
    folder = (sweep.folder / SLURM).resolve()
    states: dict[str, State] = {}
    listed: dict[Path, list[str]] = {}
    answer = _query(["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%F|%K|%T|%r|%o"])
    for line in answer.splitlines():
        array, number, state, reason, file = ([*line.split("|", 4), *[""] * 5])[:5]
        path = Path(file)
        if not number.isdecimal() or path.parent.resolve() != folder:
            continue
        if path not in listed:
            listed[path] = _jobs_in(path, array)
        if int(number) < len(listed[path]):
            name = listed[path][int(number)]
            waits = state in ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT")
            if name not in states or not waits:  # submitted twice by hand: prefer the running one
                states[name] = State("queued", _reason(reason)) if waits else State("running")
    return states


def _reason(text: str) -> str:
    return "" if text in ("", "None", "Priority", "Resources") else text.strip("()")


def _jobs_in(path: Path, array: str) -> list[str]:
    try:
        return batch.jobs_in(os.fsdecode(path.read_bytes()))
    except OSError as error:
        raise UserError(f"Slurm job {array} was submitted with {path}, which is unreadable: {error.strerror}") from None


def to_send(sweep: Sweep, queue: Queue, restarted: Collection[Job] = ()) -> list[Job]:
    """The jobs of a sweep that are not done, running or queued, and those to restart."""
    names = {job.name for job in restarted}
    kept = ("done", "running", "queued")
    return [job for job in sweep.jobs if job.name in names or state_of(job, queue).name not in kept]


def send(
    sweep: Sweep, cluster: Cluster, arguments: Sequence[str], say: Callable[[str], None], force: bool = False
) -> int:
    """Submit the remaining jobs of a sweep as one array, and the job that collects the results.

    Raises UserError if the job file cannot be made, or Slurm rejects it.

    Parameters
    ----------
    arguments : sequence of str
        With which ``submit.py`` makes the same sweep.
    say : callable
        Receives lines about what was submitted.
    force : bool
        Whether to restart the jobs of :func:`~styletransfer.sweeps.states.jobs_to_restart`.

    Returns
    -------
    int
        The number of submitted jobs.
    """
    for program in ("sbatch", "squeue"):
        if not shutil.which(program):
            raise UserError(f"{program} not found: run --cluster slurm on the login node of a Slurm cluster")
    batch.array(sweep, cluster, sweep.jobs, next_file(sweep))  # report errors before anything is written
    folder = sweep.folder / SLURM
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        queue = queue_of(sweep)
        restarted = jobs_to_restart(sweep, queue) if force else []
        jobs = to_send(sweep, queue, restarted)
        if not jobs:
            return 0
        for job in restarted:
            forget(job)
        for job in jobs:
            write_config(batch.with_its_limit(job, cluster))
        file = next_file(sweep)
        _write(folder / file, batch.array(sweep, cluster, jobs, file))
        _write(folder / COLLECT, batch.collection(sweep, cluster, arguments))
        array = _submit(folder, file)
        say(f"submitted {len(jobs)} of {len(sweep.jobs)} jobs as Slurm array {array}: {folder / file}")
        if cluster.collect:
            try:
                number = _submit(folder, COLLECT, f"--dependency=afterany:{array}")
                say(f"Slurm job {number} makes {CONTACT} and {RESULTS} when the array has finished")
            except UserError as error:  # not every site allows such a job; the pictures do not depend on it
                say(f"make {CONTACT} and {RESULTS} with --collect: {error}")
        return len(jobs)


def next_file(sweep: Sweep) -> str:
    """An unused name for a job file, so that earlier job files are kept."""
    taken = [re.fullmatch(r"array-([0-9]+)\.sbatch", path.name) for path in (sweep.folder / SLURM).glob("array-*")]
    return f"array-{max((int(match[1]) for match in taken if match), default=0) + 1}.sbatch"


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(os.fsencode(text))


def _submit(folder: Path, file: str, *options: str) -> str:
    """Submit a job file and return its job number."""
    answer = _query(["sbatch", "--parsable", *options, file], folder)
    return answer.strip().partition(";")[0]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Prevent other processes from submitting at the same time."""
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another submit.py is submitting this sweep") from None
        except OSError:
            pass  # a file system without locks
        yield


def _query(command: Sequence[str], folder: Path | None = None) -> str:
    """Run a Slurm command and return its output.

    Raises UserError if it fails, with the last line of its error message, or does not answer.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} has not answered within {_TIMEOUT} seconds") from None
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
        raise UserError(f"{command[0]}: {said[-1].removeprefix(f'{command[0]}: ').removeprefix('error: ')}")
    return os.fsdecode(done.stdout)
