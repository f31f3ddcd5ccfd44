"""One picture of each of several photographs: a sweep without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from styletransfer import config as configs
from styletransfer.config import Output
from styletransfer.pictures import folders
from styletransfer.sweeps.sweep_file import Sweep, SweepFile, sweep_of

_KEY = "content.image"


def list_photographs(given: Sequence[str]) -> list[str]:
    """List the given photographs, each once; a folder stands for the pictures in it, in the order of their names.

    Raises UserError if a folder cannot be read, or has no picture in it.
    """
    named: dict[Path, str] = {}
    for name in given:
        path = configs.find_input(name)
        for picture in map(str, folders.list_pictures(path, "--content: ")) if path.is_dir() else [name]:
            named.setdefault(configs.location(picture), picture)
    return list(named.values())


def sweep(values: Mapping[str, Any], photographs: Sequence[str], where: str, assignments: Sequence[str] = ()) -> Sweep:
    """One job for each photograph, in a folder with its name, inside the output folder of the config.

    Raises UserError if the config is invalid.

    Parameters
    ----------
    values : mapping
        The config of all, as far as it is given.
    where : str
        Where the config comes from; error messages open with it.
    assignments : sequence of str
        ``KEY=VALUE`` for all.
    """
    output = values.get("output")
    folder = str(output.get("folder", "")) if isinstance(output, Mapping) else ""
    folder = folder or Output().folder
    file = SweepFile.model_validate({"base": dict(values), "vary": {_KEY: list(photographs)}})
    return sweep_of(file, Path(folder).name, where, assignments, folder)
