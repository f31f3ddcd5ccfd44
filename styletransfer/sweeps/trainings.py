"""Trainings of styles, each from the config that ``train_style.py`` takes: a sweep without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from styletransfer import config as configs
from styletransfer.config import Config, StyleTraining
from styletransfer.support.errors import UserError
from styletransfer.sweeps import names
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.jobs import TrainingJob
from styletransfer.sweeps.sweep_file import RESERVED, Sweep, check_output, read_sweep

# The keys at the top of a config that only trainings have: by one of them a file is recognised.
KEYS = tuple(key for key in StyleTraining.model_fields if key not in Config.model_fields)


def read(files: Sequence[str], assignments: Sequence[str] = (), output: str | None = None) -> Sweep:
    """The jobs of a sweep file, or of the configs of one or more trainings.

    Raises UserError if the files are neither, or one of them is invalid.

    Parameters
    ----------
    assignments : sequence of str
        ``KEY=VALUE`` for all jobs.
    output : str, optional
        The folder in which the jobs' folders are.
    """
    locations = [configs.location(file) for file in files]
    twice = next((file for file, place in zip(files, locations) if locations.count(place) > 1), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice")
    values = {file: configs.read_file(configs.find_input(file)) for file in files}
    others = [file for file, found in values.items() if not set(KEYS) & found.keys()]
    if len(files) == 1 and others:
        return read_sweep(files[0], assignments, output)
    if others:
        raise UserError(
            f"{others[0]}: not the config of a training, which has one of the keys {', '.join(KEYS)}; "
            "expected one sweep file alone, or configs of trainings"
        )
    return sweep(values, assignments, output)


def sweep(files: Mapping[str, Mapping[str, Any]], assignments: Sequence[str] = (), output: str | None = None) -> Sweep:
    """One job for each training.

    Its name is that of its folder, `output.folder`. All must be in one folder, which also gets the contact sheet, the
    table of results and the job files.

    Raises UserError if a config is invalid, or the folders are not side by side.

    Parameters
    ----------
    files : dict of mappings
        The values in the configs by their file names.
    assignments : sequence of str
        ``KEY=VALUE`` for all.
    output : str, optional
        A folder; every training then gets the one in it that is called like its style.
    """
    check_output(output)
    jobs: dict[Path, TrainingJob] = {}
    for file, values in files.items():
        where = file + (" with --set" if assignments else "")
        config = TrainingJob.parse(configs.override(values, assignments), where)
        folder = Path(config.output.folder if output is None else f"{output}/{config.name}").expanduser()
        if names.safe_name(folder.name) != folder.name or folder.name in (*RESERVED, ""):
            raise UserError(
                f"{where}: output.folder: {folder} cannot be the folder of a job; expected a name of letters, digits "
                "and . _ + = -"
            )
        for other, job in jobs.items():
            if other.resolve() == folder.resolve():
                raise UserError(f"{where}: output.folder: {folder} is that of {job.labels[0]} too; name another")
            if other.parent.resolve() != folder.parent.resolve():
                raise UserError(
                    f"{where}: output.folder: {folder} is not beside {other}, that of {job.labels[0]}; "
                    "expected folders side by side, or --output"
                )
        config = config.model_copy(update={"output": config.output.model_copy(update={"folder": str(folder)})})
        jobs[folder] = TrainingJob(folder.name, folder, {}, (file,), config)
    parent = next(iter(jobs)).parent
    if parent.exists() and not parent.is_dir():
        raise UserError(f"output.folder: {parent} is a file; name a folder")
    return Sweep("trainings", parent, (), None, tuple(jobs.values()), Cluster())
