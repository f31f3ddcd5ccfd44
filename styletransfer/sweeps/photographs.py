"""One picture of each of several photographs: a sweep without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from styletransfer import config as configs
from styletransfer.config import Output
from styletransfer.support.errors import UserError
from styletransfer.sweeps.sweep_file import Sweep, SweepFile, sweep_of

_KEY = "content.image"
_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def listed(given: Sequence[str]) -> list[str]:
    """The photographs that are given, each once; a folder stands for the pictures in it, in the order of their names.

    Raises
    ------
    UserError
        If a folder cannot be read, or has no picture in it.
    """
    found: dict[str, None] = {}
    for name in given:
        path = configs.find_input(name)
        found.update(dict.fromkeys(_inside(path) if path.is_dir() else [name]))
    return list(found)


def _inside(folder: Path) -> list[str]:
    try:
        inside = [path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file()]
    except OSError as error:
        raise UserError(f"--content: {folder}: {error.strerror}") from None
    pictures = sorted(str(path) for path in inside if not path.name.startswith("."))
    if not pictures:
        raise UserError(f"--content: {folder}: no picture in this folder; expected names ending in {_listed()}")
    return pictures


def _listed() -> str:
    return ", ".join(_SUFFIXES[:-1]) + f" or {_SUFFIXES[-1]}"


def sweep(values: Mapping[str, Any], photographs: Sequence[str], where: str, assignments: Sequence[str] = ()) -> Sweep:
    """One job for each photograph, in a folder with its name, inside the output folder of the config.

    Parameters
    ----------
    values : mapping
        The config of all, as far as it is given.
    photographs : sequence of str
    where : str
        Where the config comes from; error messages open with it.
    assignments : sequence of str
        ``KEY=VALUE`` for all.

    Raises
    ------
    UserError
        If the config is invalid.
    """
    output = values.get("output")
    folder = str(output.get("folder", "")) if isinstance(output, Mapping) else ""
    folder = folder or Output().folder
    file = SweepFile.model_validate({"base": dict(values), "vary": {_KEY: list(photographs)}})
    return sweep_of(file, Path(folder).name, where, assignments, folder)
