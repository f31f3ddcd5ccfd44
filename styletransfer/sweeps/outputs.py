"""The check of the files that a sweep writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from styletransfer import config as configs
from styletransfer.pictures import marks
from styletransfer.session import output_folder
from styletransfer.support import overwriting
from styletransfer.sweeps.sweep_file import COLLECT, CONTACT, RESULTS, SLURM, Sweep

_OF_A_JOB = ("job.yaml", "job.log", "job.status", "job.begun")


def check(sweep: Sweep, inputs: Mapping[str, Path], force: bool) -> None:
    """Check that only files of an earlier run of the sweep would be lost.

    Raises UserError if another one would be.

    Parameters
    ----------
    inputs : dict of Path
        The files that are read besides those that the configs of the jobs name, by the options that name them.
    force : bool
        Whether files that are not of such a run may be overwritten.
    """
    read = {**inputs, **{key: path for job in sweep.jobs for key, path in job.files().items()}}
    files = [sweep.folder / CONTACT, sweep.folder / RESULTS, sweep.folder / SLURM / COLLECT]
    overwriting.check(files, read, force, _is_of_a_sweep)
    for job in sweep.jobs:
        ours = configs.is_saved(job.folder / "job.yaml")
        files = [job.folder / name for name in _OF_A_JOB]
        overwriting.check(files, inputs, force or ours, lambda path: not path.stat().st_size)
        output_folder.check_results(job.folder, force)


def _is_of_a_sweep(path: Path) -> bool:
    if path.name == CONTACT:
        return marks.read(path) == marks.CONTACT or _is_of_a_sweep(path.with_name(RESULTS))
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content.startswith(b"job,") if path.name == RESULTS else b"--collect" in content
