"""A sweep as a job file for Slurm's ``sbatch``: one array, in which every task is one picture or one training.

The file is the template ``array.sbatch`` with its placeholders filled in. No process of this program has to
keep running: the config and the state of a job are in its folder, and the file contains the list of the folders.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from styletransfer.config.values import names_gpu
from styletransfer.session import checkpoints, output_folder
from styletransfer.support.byte_sizes import for_slurm, parse_size
from styletransfer.support.errors import Interrupted, UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.sweeps import names, watchdog
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.jobs import Job
from styletransfer.sweeps.sweep_file import CONTACT, RESULTS, SLURM, Sweep

SUBMIT = PROJECT_FOLDER / "scripts" / "submit.py"
_TEMPLATES = Path(__file__).parent
_COLLECT_TIME, _COLLECT_CPUS = "0:20:00", 1
_MOST = 16 * 10**9  # bytes to request at most if tiling can reduce the memory of a job; see docs/cluster.md


def array(sweep: Sweep, cluster: Cluster, jobs: Sequence[Job], file: str) -> str:
    """The job file of an array.

    Raises UserError if Slurm cannot use the folder of the sweep, a job needs a GPU or memory that it does not get, or
    a line of `setup` is not valid bash.

    Parameters
    ----------
    jobs : sequence of Job
        Those of its jobs to run.
    file : str
        The name of the job file.
    """
    folder = _folder(sweep)
    _check_memory(cluster, jobs)
    gpus = _gpus(cluster, jobs)
    options = [
        f"--job-name={_title(sweep)}",
        f"--array=0-{len(jobs) - 1}" + (f"%{cluster.parallel}" if cluster.parallel else ""),
        *_where(cluster),
        *([f"--gres=gpu:{gpus}"] if gpus else []),
        *([f"--cpus-per-task={cluster.cpus}"] if cluster.cpus else []),
        *([f"--mem={for_slurm(memory)}"] if (memory := _memory(cluster, jobs)) else []),
        *([f"--time={cluster.time}"] if cluster.time else []),
        f"--signal=B:USR1@{cluster.warning}",
        "--requeue",
        "--open-mode=append",
        "--output=%A_%a.out",
        *cluster.options,
    ]
    listed = [shlex.quote(job.name) for job in jobs]
    width = max(map(len, listed))
    return _filled(
        "array.sbatch",
        name=_title(sweep),
        here=shlex.quote(str(folder / SLURM)),
        file=file,
        options=_lines(options),
        jobs="\n".join(f"    {name:{width}}  # {number}" for number, name in enumerate(listed)),
        sweep=shlex.quote(str(folder)),
        start=shlex.quote(str(Path.cwd())),
        python=shlex.quote(_python(cluster)),
        watchdog=shlex.quote(watchdog.__file__),
        program=shlex.quote(str(jobs[0].program)),
        restarts=str(cluster.restarts),
        interrupted=str(Interrupted.status),
        pictures=" ".join(output_folder.PICTURES),
        status=output_folder.STATUS,
        done=output_folder.DONE,
        newest=checkpoints.NAME,
        previous=checkpoints.PREVIOUS,
        setup=_setup(cluster),
    )


def collection(sweep: Sweep, cluster: Cluster, arguments: Sequence[str]) -> str:
    """The job file of the small job that makes the contact sheet and the table of results.

    Parameters
    ----------
    arguments : sequence of str
        Those of ``submit.py`` for the same sweep.
    """
    _folder(sweep)
    command = [_python(cluster), str(SUBMIT), *arguments, "--collect"]
    options = [
        f"--job-name={_title(sweep)}-collect",
        *_where(cluster),
        f"--cpus-per-task={_COLLECT_CPUS}",
        f"--time={_COLLECT_TIME}",
        "--output=collect-%j.out",
    ]
    return _filled(
        "collect.sbatch",
        name=_title(sweep),
        results=f"{CONTACT} and {RESULTS}",
        options=_lines(options),
        start=shlex.quote(str(Path.cwd())),
        setup=_setup(cluster),
        command=shlex.join(command),
    )


def jobs_in(text: str) -> list[str]:
    """The names of the jobs in a job file, in order of their task numbers; the inverse of :func:`array`."""
    match = re.search(r"^jobs=\((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    try:
        return shlex.split(match[1], comments=True) if match else []
    except ValueError:  # an unclosed quote
        return []


def memory_of(job: Job) -> int | None:
    """Bytes to request: the estimated peak memory of the job plus a quarter; None if it cannot be estimated.

    For a job with `tile: auto` it is at most 16 GB, or what the smallest tile needs.
    """
    needed = _needed(job)
    return None if needed is None else needed + needed // 4


def with_its_limit(job: Job, cluster: Cluster) -> Job:
    """A job limited to the requested memory, if it would otherwise use more of the machine."""
    needed = None if cluster.memory else _needed(job)
    if needed is None or needed == job.peak_memory():
        return job
    return job.limited_to(needed)


def _needed(job: Job) -> int | None:
    needed = job.peak_memory()
    if needed is None or not job.uses_all_memory or 5 * needed <= 4 * _MOST:
        return needed
    least = job.peak_memory(smallest=True)
    return min(needed, max(_MOST * 4 // 5, (least or 0) + 10**6))


def _check_memory(cluster: Cluster, jobs: Sequence[Job]) -> None:
    """Reject a job that may use more memory than it gets."""
    for job in jobs:
        may_use = job.allowed_memory
        if cluster.memory and may_use and parse_size(may_use) > parse_size(cluster.memory):
            raise UserError(f"job {job.name}: memory: {may_use}, but a job gets {cluster.memory} (cluster.memory)")


def _memory(cluster: Cluster, jobs: Sequence[Job]) -> int | None:
    """The bytes to request: as configured, or the largest estimate of the jobs; None if it is unknown."""
    if cluster.memory:
        return parse_size(cluster.memory)
    needed = [memory_of(job) for job in jobs]
    known = [each for each in needed if each is not None]
    return max(known) if known and len(known) == len(needed) else None


def _gpus(cluster: Cluster, jobs: Sequence[Job]) -> str:
    """The GPUs of a job, ``1`` or ``h100:1``; empty for none."""
    given = cluster.gpus
    if given is None:
        given = "1" if any(names_gpu(job.config.device) for job in jobs) else "0"
    count = int(given.rpartition(":")[2])
    elsewhere = any("gpu" in option or "gres" in option for option in cluster.options)
    for job in jobs:
        kind, _, number = job.config.device.partition(":")
        if kind in ("gpu", "cuda") and int(number) >= count and not elsewhere:
            hint = f"the first is {kind}:0" if count else "set cluster.gpus, or device: cpu"
            raise UserError(f"job {job.name}: device {job.config.device}, but a job gets {count} GPUs; {hint}")
    return given if count else ""


def _where(cluster: Cluster) -> list[str]:
    places = {"partition": cluster.partition, "account": cluster.account, "qos": cluster.qos}
    return [f"--{option}={value}" for option, value in places.items() if value]


def _folder(sweep: Sweep) -> Path:
    """The folder of the sweep, absolute.

    Raises UserError if its path, or another path in the job file, contains characters that Slurm does not support.
    """
    folder = sweep.folder.resolve()
    # Slurm prepends the folder to the names of its logs, and interprets % and \ in the result.
    for character in "%\\":
        if character in str(folder):
            raise UserError(
                f"output {folder}: Slurm does not support folders with {character} in their path; choose another"
            )
    for path in (folder, Path.cwd(), PROJECT_FOLDER):
        if any(ord(character) < 32 or ord(character) == 127 for character in str(path)):
            raise UserError(f"folder {path}: Slurm does not support control characters in paths")
    return folder


def _title(sweep: Sweep) -> str:
    return names.safe_name(sweep.name) or "sweep"


def _python(cluster: Cluster) -> str:
    return str(Path(cluster.python).expanduser()) if cluster.python else sys.executable


def _lines(options: Sequence[str]) -> str:
    return "\n".join(f"#SBATCH {option}" for option in options)


def _setup(cluster: Cluster) -> str:
    """The user's setup lines, each with error handling; checked with bash, if it is installed.

    Raises UserError if a line is not valid bash.
    """
    lines = [f"{line} || stop {shlex.quote(f'the setup failed: {line}')}" for line in cluster.setup]
    for line, whole in zip(cluster.setup, lines):
        try:
            checked = subprocess.run(["bash", "-n"], input=os.fsencode(whole), capture_output=True, check=False)
        except FileNotFoundError:
            break
        if checked.returncode:
            raise UserError(f"cluster.setup: {line!r} is not a complete line of bash")
    return "\n".join(lines) or "# (no setup lines)"


def _filled(template: str, **blanks: str) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda blank: blanks[blank[1]], text)
