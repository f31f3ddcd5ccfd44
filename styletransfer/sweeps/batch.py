"""A sweep as a file for Slurm's ``sbatch``: one array, in which every job makes one picture.

The file is ``array.sbatch`` with its blanks filled in. It needs no scheduler of ours and nothing that stays alive: what
a job is and what has become of it stands in its folder, and the file holds the list of the folders.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from styletransfer.run import checkpoints, output_folder
from styletransfer.run.resolve import peak_memory
from styletransfer.support.byte_sizes import bytes_of, for_slurm, in_gigabytes
from styletransfer.support.errors import Interrupted, UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.sweeps import names
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.command import NSTYLE
from styletransfer.sweeps.plans import CONTACT, RESULTS, SLURM, Job, Plan
from styletransfer.sweeps.states import DIVERGED

SUBMIT = PROJECT_FOLDER / "scripts" / "submit.py"
_TEMPLATES = Path(__file__).parent
_COLLECT_TIME, _COLLECT_CPUS = "0:20:00", 1
_MOST = 16 * 10**9  # bytes to ask for, where tiles can make a job fit into less than it would take; see docs/cluster.md


def array(plan: Plan, cluster: Cluster, jobs: Sequence[Job], file: str) -> str:
    """The job file of an array.

    Parameters
    ----------
    plan : Plan
    cluster : Cluster
    jobs : sequence of Job
        Those to be run, of the plan.
    file : str
        What the job file will be called.

    Raises
    ------
    UserError
        If Slurm cannot work in the folder of the sweep, a job wants a GPU or memory that it is not given, or a line of
        `setup` is no bash.
    """
    folder = _folder(plan)
    _check_memory(cluster, jobs)
    gpus = _gpus(cluster, jobs)
    options = [
        f"--job-name={_title(plan)}",
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
        name=_title(plan),
        here=shlex.quote(str(folder / SLURM)),
        file=file,
        options=_lines(options),
        jobs="\n".join(f"    {name:{width}}  # {number}" for number, name in enumerate(listed)),
        sweep=shlex.quote(str(folder)),
        start=shlex.quote(str(Path.cwd())),
        python=shlex.quote(_python(cluster)),
        program=shlex.quote(str(NSTYLE)),
        restarts=str(cluster.restarts),
        interrupted=str(Interrupted.status),
        picture=output_folder.PICTURE,
        config=output_folder.CONFIG,
        diverged=shlex.quote(DIVERGED),
        newest=checkpoints.NAME,
        previous=checkpoints.PREVIOUS,
        setup=_setup(cluster),
    )


def collection(plan: Plan, cluster: Cluster, arguments: Sequence[str]) -> str:
    """The job file of the small job that makes the contact sheet and the table.

    Parameters
    ----------
    plan : Plan
    cluster : Cluster
    arguments : sequence of str
        With which ``submit.py`` makes the same plan.
    """
    _folder(plan)
    command = [_python(cluster), str(SUBMIT), *arguments, "--collect"]
    options = [
        f"--job-name={_title(plan)}-collect",
        *_where(cluster),
        f"--cpus-per-task={_COLLECT_CPUS}",
        f"--time={_COLLECT_TIME}",
        "--output=collect-%j.out",
    ]
    return _filled(
        "collect.sbatch",
        name=_title(plan),
        results=f"{CONTACT} and {RESULTS}",
        options=_lines(options),
        start=shlex.quote(str(Path.cwd())),
        setup=_setup(cluster),
        command=shlex.join(command),
    )


def jobs_in(text: str) -> list[str]:
    """The names of the jobs in a job file, by their numbers; the reverse of what :func:`array` writes."""
    found = re.search(r"^jobs=\((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    try:
        return shlex.split(found[1], comments=True) if found else []
    except ValueError:  # a quote that is not closed
        return []


def memory_of(job: Job) -> int | None:
    """Bytes to ask for: what the job is foretold to need and a quarter more; None where that is not known.

    A job whose tiles are as large as there is room for needs no more than 16 GB, or what the smallest tile takes.
    """
    needed = _needed(job)
    return None if needed is None else needed + needed // 4


def with_its_limit(job: Job, cluster: Cluster) -> Job:
    """A job that keeps to what is asked for, where with the whole machine it would take more."""
    needed = None if cluster.memory else _needed(job)
    if needed is None or needed == peak_memory(job.config):
        return job
    return dataclasses.replace(job, config=job.config.model_copy(update={"memory": in_gigabytes(needed)}))


def _needed(job: Job) -> int | None:
    config = job.config
    needed = peak_memory(config)
    if needed is None or config.tile != "auto" or config.memory is not None or 5 * needed <= 4 * _MOST:
        return needed
    least = peak_memory(config, smallest=True)
    return min(needed, max(_MOST * 4 // 5, (least or 0) + 10**6))


def _check_memory(cluster: Cluster, jobs: Sequence[Job]) -> None:
    """Refuse a job that may use more memory than it is given."""
    for job in jobs:
        may_use = job.config.memory if job.config.device == "cpu" else None
        if cluster.memory and may_use and bytes_of(may_use) > bytes_of(cluster.memory):
            raise UserError(f"job {job.name}: memory: {may_use}, but a job is given {cluster.memory} (cluster.memory)")


def _memory(cluster: Cluster, jobs: Sequence[Job]) -> int | None:
    """The bytes to ask for: as the user says, or the most that one of the jobs needs; None if that is not known."""
    if cluster.memory:
        return bytes_of(cluster.memory)
    needed = [memory_of(job) for job in jobs]
    known = [each for each in needed if each is not None]
    return max(known) if known and len(known) == len(needed) else None


def _gpus(cluster: Cluster, jobs: Sequence[Job]) -> str:
    """What a job is given, ``1`` or ``a100:1``; empty for none."""
    given = cluster.gpus
    if given is None:
        given = "1" if any(job.config.device != "cpu" for job in jobs) else "0"
    count = int(given.rpartition(":")[2])
    elsewhere = any("gpu" in option or "gres" in option for option in cluster.options)
    for job in jobs:
        kind, _, number = job.config.device.partition(":")
        if kind == "gpu" and int(number) >= count and not elsewhere:
            hint = "the first is gpu:0" if count else "set cluster.gpus, or device: cpu"
            raise UserError(f"job {job.name}: device {job.config.device}, but a job is given {count} GPUs; {hint}")
    return given if count else ""


def _where(cluster: Cluster) -> list[str]:
    places = {"partition": cluster.partition, "account": cluster.account, "qos": cluster.qos}
    return [f"--{option}={value}" for option, value in places.items() if value]


def _folder(plan: Plan) -> Path:
    """The folder of the sweep, absolute.

    Raises
    ------
    UserError
        If its name, or another that stands in the job file, has characters that Slurm cannot work with.
    """
    folder = plan.folder.resolve()
    # Slurm puts the folder before the names of its logs, and then takes % and \ in all of it for its own.
    for character in "%\\":
        if character in str(folder):
            raise UserError(
                f"output {folder}: Slurm cannot work in a folder with {character} in its name; name another"
            )
    for path in (folder, Path.cwd(), PROJECT_FOLDER):
        if any(ord(character) < 32 or ord(character) == 127 for character in str(path)):
            raise UserError(f"folder {path}: Slurm cannot work with line breaks and control characters in a name")
    return folder


def _title(plan: Plan) -> str:
    return names.safe_name(plan.name) or "sweep"


def _python(cluster: Cluster) -> str:
    return str(Path(cluster.python).expanduser()) if cluster.python else sys.executable


def _lines(options: Sequence[str]) -> str:
    return "\n".join(f"#SBATCH {option}" for option in options)


def _setup(cluster: Cluster) -> str:
    """The user's lines, each with what is done should it fail; checked by bash, where there is one.

    Raises
    ------
    UserError
        If a line is no bash.
    """
    lines = [f"{line} || stop {shlex.quote(f'the setup failed: {line}')}" for line in cluster.setup]
    for line, whole in zip(cluster.setup, lines):
        try:
            checked = subprocess.run(["bash", "-n"], input=os.fsencode(whole), capture_output=True, check=False)
        except FileNotFoundError:
            break
        if checked.returncode:
            raise UserError(f"cluster.setup: {line!r} is no line of bash that could stand alone")
    return "\n".join(lines) or "# (the sweep has no lines of setup)"


def _filled(template: str, **blanks: str) -> str:
    text = (_TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda blank: blanks[blank[1]], text)
