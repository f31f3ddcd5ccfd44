"""Sending a sweep to Slurm, and asking Slurm what it has of it. Nothing but ``sbatch`` and ``squeue`` is needed."""

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
from styletransfer.support.files import written_whole
from styletransfer.sweeps import batch
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.command import write_config
from styletransfer.sweeps.plans import CONTACT, RESULTS, SLURM, Job, Plan
from styletransfer.sweeps.states import Queue, State, forget, state_of, to_begin_anew

_PATIENCE = 60  # seconds for an answer
_COLLECT = "collect.sbatch"


def queue_of(plan: Plan) -> Queue:
    """What Slurm has of a sweep, by the name of the job; None where nothing was sent or there is no Slurm to be asked.

    An entry of the queue is a file and a number, and the list in that file says which job that is: there is no record
    that could be lost, and what was sent by hand is found as well.

    Raises
    ------
    UserError
        If Slurm does not answer.
    """
    if not (plan.folder / SLURM).is_dir() or not shutil.which("squeue"):
        return None
    folder = (plan.folder / SLURM).resolve()
    found: dict[str, State] = {}
    listed: dict[Path, list[str]] = {}
    answer = _asked(["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%F|%K|%T|%r|%o"])
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
            if name not in found or not waits:  # sent twice by hand: the one that runs
                found[name] = State("queued", _reason(reason)) if waits else State("running")
    return found


def _reason(text: str) -> str:
    return "" if text in ("", "None", "Priority", "Resources") else text.strip("()")


def _jobs_in(path: Path, array: str) -> list[str]:
    try:
        return batch.jobs_in(os.fsdecode(path.read_bytes()))
    except OSError as error:
        raise UserError(f"Slurm job {array} was sent with {path}: {error.strerror}; which jobs are queued?") from None


def to_send(plan: Plan, queue: Queue, anew: Collection[Job] = ()) -> list[Job]:
    """The jobs of a sweep that are neither done nor running nor queued, and those that are to begin anew."""
    names = {job.name for job in anew}
    kept = ("done", "running", "queued")
    return [job for job in plan.jobs if job.name in names or state_of(job, queue).name not in kept]


def send(
    plan: Plan, cluster: Cluster, arguments: Sequence[str], say: Callable[[str], None], force: bool = False
) -> int:
    """Send what is left of a sweep as one array, and with it the job that collects the results.

    Parameters
    ----------
    plan : Plan
    cluster : Cluster
    arguments : sequence of str
        With which ``submit.py`` makes the same plan.
    say : callable
        Takes a line about what was sent.
    force : bool
        Whether those of :func:`~styletransfer.sweeps.states.to_begin_anew` begin anew.

    Returns
    -------
    int
        How many jobs were sent.

    Raises
    ------
    UserError
        If the jobs cannot be written down, or Slurm does not take them.
    """
    for program in ("sbatch", "squeue"):
        if not shutil.which(program):
            raise UserError(f"there is no {program} here: --cluster slurm is for the login node of a Slurm cluster")
    batch.array(plan, cluster, plan.jobs, next_file(plan))  # what is at fault is said before anything is written
    folder = plan.folder / SLURM
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        queue = queue_of(plan)
        anew = to_begin_anew(plan, queue) if force else []
        jobs = to_send(plan, queue, anew)
        if not jobs:
            return 0
        for job in anew:
            forget(job)
        for job in jobs:
            write_config(batch.with_its_limit(job, cluster))
        file = next_file(plan)
        _write(folder / file, batch.array(plan, cluster, jobs, file))
        _write(folder / _COLLECT, batch.collection(plan, cluster, arguments))
        array = _sent(folder, file)
        say(f"sent {len(jobs)} of {len(plan.jobs)} jobs as Slurm array {array}: {folder / file}")
        if cluster.collect:
            try:
                number = _sent(folder, _COLLECT, f"--dependency=afterany:{array}")
                say(f"Slurm job {number} makes {CONTACT} and {RESULTS} when the array is over")
            except UserError as error:  # a site where such a job cannot run; the pictures do not depend on it
                say(f"{CONTACT} and {RESULTS} are left to you, with --collect: {error}")
        return len(jobs)


def next_file(plan: Plan) -> str:
    """A name that no job file of a sweep has, so that what was sent before stays as it is."""
    taken = [re.fullmatch(r"array-([0-9]+)\.sbatch", path.name) for path in (plan.folder / SLURM).glob("array-*")]
    return f"array-{max((int(match[1]) for match in taken if match), default=0) + 1}.sbatch"


def _write(path: Path, text: str) -> None:
    with written_whole(path) as stream:
        stream.write(os.fsencode(text))


def _sent(folder: Path, file: str, *options: str) -> str:
    """The number that Slurm gives to a job file."""
    answer = _asked(["sbatch", "--parsable", *options, file], folder)
    return answer.strip().partition(";")[0]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else asks and sends at the same time."""
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another submit.py is sending this sweep just now") from None
        except OSError:
            pass  # a file system that knows no locks
        yield


def _asked(command: Sequence[str], folder: Path | None = None) -> str:
    """What a command of Slurm answers.

    Raises
    ------
    UserError
        If it fails, with the first line of its complaint, or does not answer.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} has not answered in {_PATIENCE} seconds") from None
    if done.returncode:
        said = os.fsdecode(done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
        raise UserError(f"{command[0]}: {said[-1].removeprefix(f'{command[0]}: ').removeprefix('error: ')}")
    return os.fsdecode(done.stdout)
