"""One picture of each of several photographs: a sweep without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from styletransfer.config import Output
from styletransfer.sweeps.sweep_file import PHOTOGRAPH, Sweep, SweepFile, sweep_of


def sweep(values: Mapping[str, Any], photographs: Sequence[str], where: str, assignments: Sequence[str] = ()) -> Sweep:
    """One job for each photograph, in a folder with its name, inside the output folder of the config.

    Raises UserError if the config is invalid.

    Parameters
    ----------
    values : mapping
        The config of all, as far as it is given.
    photographs : sequence of str
        Files, folders or patterns, as in a sweep file.
    where : str
        Where the config comes from; error messages open with it.
    assignments : sequence of str
        ``KEY=VALUE`` for all.
    """
    output = values.get("output")
    folder = str(output.get("folder", "")) if isinstance(output, Mapping) else ""
    folder = folder or Output().folder
    file = SweepFile.model_validate({"base": dict(values), "vary": {PHOTOGRAPH: list(photographs)}})
    return sweep_of(file, Path(folder).name, where, assignments, folder)
