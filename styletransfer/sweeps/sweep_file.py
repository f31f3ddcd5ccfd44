"""The sweep file, and its jobs.

A sweep file becomes a :class:`Sweep`, a list of jobs, each with a validated config and its own folder; nothing is
written.
"""

from __future__ import annotations

import glob
import itertools
import math
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from styletransfer import config as configs
from styletransfer.config.validation_errors import first_message
from styletransfer.config.values import FileName, check_file_name
from styletransfer.pictures import folders
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.sweeps import names
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.jobs import Job, PictureJob

# In a sweep's folder, besides the folders of its jobs.
CONTACT, RESULTS, SLURM = RESERVED = "contact.png", "results.csv", "slurm"
PHOTOGRAPH = "content.image"  # the key whose values may be folders and patterns
COLLECT = "collect.sbatch"  # in the folder `SLURM`
_MOST_JOBS = 1000


class SweepFile(BaseModel):
    """A sweep file: `vary` or `jobs`, on top of `base` and `set`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Any = Field({}, description="a config file, or its keys and values; the base of all jobs")
    common: dict[str, Any] = Field({}, alias="set", description="overrides for all jobs, by dotted key")
    vary: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)] | None = Field(
        None,
        description="values by dotted key; every combination is a job. Of content.image, folders and patterns such as "
        "photos/*.jpg too",
    )
    jobs: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = Field(
        None, description="a list of jobs, each with its overrides by dotted key"
    )
    output: FileName | None = Field(
        None, description="the sweep's folder; null: output/sweeps/ and the stem of the file"
    )
    cluster: Cluster = Field(Cluster(), description="resources to request, if the jobs run on a cluster")

    @pydantic.field_validator("base")
    @classmethod
    def _file_or_values(cls, base: Any) -> Any:
        if isinstance(base, str):
            return str(Path(check_file_name(base)).expanduser())
        if not isinstance(base, dict):
            raise ValueError("Input should be a config file, or keys and values")
        return base

    @pydantic.field_validator("vary", mode="before")
    @classmethod
    def _one_or_several(cls, vary: Any) -> Any:
        """Take a single name as a list of one, as it may stand for several photographs."""
        if not isinstance(vary, Mapping):
            return vary
        return {key: [value] if isinstance(value, str) else value for key, value in vary.items()}

    @pydantic.model_validator(mode="after")
    def _one_of_two(self) -> SweepFile:
        if (self.vary is None) == (self.jobs is None):
            raise ValueError("expected either `vary` (lists of values by key) or `jobs` (a list of overrides)")
        return self

    def overrides(self) -> list[dict[str, Any]]:
        """The different overrides of each job; with `vary`, the last key varies fastest."""
        if self.vary is None:
            return _each_once(self.jobs or ())
        return [dict(zip(self.vary, values)) for values in itertools.product(*map(_each_once, self.vary.values()))]


def _each_once(values: Sequence[Any]) -> list[Any]:
    """The values that differ in more than their notation: not ``1e1`` and ``10``, nor ``p.jpg`` and ``./p.jpg``."""
    values_by_key: dict[Hashable, Any] = {}
    for value in values:
        values_by_key.setdefault(_meaning(value), value)
    return list(values_by_key.values())


def _meaning(value: Any) -> Hashable:
    """A key that is equal for values of the same meaning."""
    if isinstance(value, Mapping):
        return tuple((_meaning(key), _meaning(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_meaning, value))
    if isinstance(value, str):
        return Path(value).absolute()
    return (type(value), value) if isinstance(value, bool) else value


def _read_file(path: str | Path) -> SweepFile:
    """Read a sweep file.

    Raises UserError if it does not exist, is not valid YAML, or does not match :class:`SweepFile`; one line.
    """
    values = configs.read_file(configs.find_input(str(path)))
    try:
        return SweepFile.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(f"sweep {path}: {first_message(error, values, SweepFile)}") from None


@dataclass(frozen=True)
class Sweep:
    """All jobs of a sweep.

    Attributes
    ----------
    name : str
        The stem of the sweep file, or the name of the folder of trainings.
    folder : Path
        Contains the jobs' folders, the contact sheet and the results.
    keys : tuple of str
        The dotted keys that vary.
    columns : int or None
        The number of values of the last key; None if the jobs are listed individually.
    jobs : tuple of Job
    cluster : Cluster
        From the sweep file.
    """

    name: str
    folder: Path
    keys: tuple[str, ...]
    columns: int | None
    jobs: tuple[Job, ...]
    cluster: Cluster


def read_sweep(path: str | Path, assignments: Sequence[str] = (), output: str | None = None) -> Sweep:
    """The jobs of a sweep file, with validated configs.

    Raises UserError if the file, or the config of one of its jobs (which is named), is invalid.

    Parameters
    ----------
    path : str or Path
    assignments : sequence of str
        ``KEY=VALUE`` for all jobs; they override the file's `set`, and are overridden by what varies.
    output : str, optional
        Instead of the file's `output`.
    """
    return sweep_of(_read_file(path), Path(path).stem, f"sweep {path}", assignments, output)


def sweep_of(
    file: SweepFile, name: str, where: str, assignments: Sequence[str] = (), output: str | None = None
) -> Sweep:
    """The jobs of a sweep, with validated configs.

    Raises UserError as :func:`read_sweep` does.

    Parameters
    ----------
    name : str
        Its name.
    where : str
        Its origin, with which error messages start.
    assignments, output
        As for :func:`read_sweep`.
    """
    check_output(output)
    if file.vary and PHOTOGRAPH in file.vary:
        listed = list_photographs(file.vary[PHOTOGRAPH], f"{where}: {PHOTOGRAPH}: ")
        file = file.model_copy(update={"vary": {**file.vary, PHOTOGRAPH: listed}})
    count = len(file.jobs) if file.jobs else math.prod(map(len, (file.vary or {}).values()))
    if count > _MOST_JOBS:
        raise UserError(f"{where}: {count:,} jobs, but a sweep may have at most {_MOST_JOBS:,}")
    overrides = file.overrides()
    keys = tuple(dict.fromkeys(itertools.chain.from_iterable(overrides)))
    _check_folders(where, keys, file.common, assignments)
    _check_effects(where, overrides, keys, file.common, assignments)

    values = dict(file.base) if isinstance(file.base, dict) else configs.read_file(configs.find_input(file.base))
    for key, value in file.common.items():
        values = configs.put(values, key.split("."), value, f"{where}: set: {key}")
    values = configs.override(values, assignments)

    folder = Path(output or file.output or f"output/sweeps/{names.safe_name(name)}").expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output: {folder} is a file; name a folder")
    labels = names.labels(overrides, keys)
    readable = (",".join(filter(None, map(names.safe_name, parts))) or "base" for parts in labels)
    jobs = []
    for job_name, parts, job in zip(names.unique(readable, overrides, RESERVED), labels, overrides):
        here = f"{where}, job {job_name}"
        changed = values
        for key, value in job.items():
            changed = configs.put(changed, key.split("."), value, f"{here}: {key}")
        changed = configs.put(changed, ["output", "folder"], str(folder / job_name), here)
        jobs.append(PictureJob(job_name, folder / job_name, job, parts, PictureJob.parse(changed, here)))
    columns = len(_each_once(list(file.vary.values())[-1])) if file.vary else None
    return Sweep(name, folder, keys, columns, tuple(jobs), file.cluster)


def list_photographs(given: Sequence[Any], where: str = "") -> list[Any]:
    """List the given photographs, each once, in the order of their names where one name stands for several.

    A folder stands for the pictures in it, and a pattern such as ``photos/*.jpg`` for the files that match it, here or
    else in the project. Values that are no names stay as they are.

    Raises UserError if a folder cannot be read, or it has no picture in it, or no file matches.

    Parameters
    ----------
    where : str
        The start of error messages.
    """
    named: dict[Hashable, Any] = {}
    for value in given:
        for picture in _matching(value, where) if isinstance(value, str) and value else [value]:
            named.setdefault(configs.location(picture) if isinstance(picture, str) else _meaning(picture), picture)
    return list(named.values())


def _matching(name: str, where: str) -> list[str]:
    path = configs.location(name)
    if os.path.isdir(path):  # noqa: PTH112 - False for names that are too long
        return list(map(str, folders.list_pictures(configs.find_input(name), where)))
    if not glob.has_magic(name) or os.path.exists(path):  # noqa: PTH110 - as above
        return [name]
    pattern = os.path.expanduser(name)  # noqa: PTH111 - leaves the ~ of an unknown user unchanged
    matching = sorted(glob.glob(pattern) or glob.glob(pattern, root_dir=PROJECT_FOLDER))  # noqa: PTH207 - as it is given
    if not matching:
        raise UserError(f"{where}{name}: no such files")
    return matching


def check_output(output: str | None) -> None:
    """Reject an ``--output`` that is not a file name, with a UserError."""
    try:
        if output is not None:
            check_file_name(output)
    except ValueError as error:
        raise UserError(f"--output: {output!r}: {error}") from None


def _check_folders(where: str, varying: Iterable[str], common: Mapping[str, Any], assignments: Iterable[str]) -> None:
    """Reject `output.folder` for jobs: each job has its own folder."""
    for key in (*varying, *common):
        if key == "output.folder" or (key == "output" and (key in varying or _names_folder(common[key]))):
            raise UserError(f"{where}: {key}: each job has its own folder; set `output` for that of the sweep")
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        names_it = key == "output" and _names_folder(configs.read_yaml(text, f"--set {assignment}"))
        if key == "output.folder" or names_it:
            raise UserError(f"--set {assignment}: each job has its own folder; use --output for that of the sweep")


def _names_folder(output: Any) -> bool:
    return isinstance(output, Mapping) and "folder" in output


def _check_effects(
    where: str,
    overrides: Iterable[Iterable[str]],
    varying: Iterable[str],
    common: Iterable[str],
    assignments: Iterable[str],
) -> None:
    """Reject keys that would have no effect because their section is set as well."""
    for keys in (common, *overrides):
        _check_sections(where, keys, keys)
    _check_sections(where, common, varying)
    for assignment in assignments:
        key = assignment.partition("=")[0]
        for other in varying:
            if key == other or _is_in(key, other):
                raise UserError(f"--set {assignment}: the sweep varies {other}")


def _check_sections(where: str, keys: Iterable[str], sections: Iterable[str]) -> None:
    for key, section in itertools.product(keys, sections):
        if _is_in(key, section):
            raise UserError(f"{where}: {key} and all of {section} are set; expected only one of them")


def _is_in(key: str, section: str) -> bool:
    return key.startswith(f"{section}.")
