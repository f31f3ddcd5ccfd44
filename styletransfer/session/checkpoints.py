"""Checkpoints: saving the state of a run, and reading it to resume the run.

``checkpoint.npz`` is the newest state, ``checkpoint.previous.npz`` the one before it, in case the newest is damaged.
Both contain the arrays of the run's state, the config, and the checksums of the input files.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write

LOGGER = logging.getLogger(__name__)
NAME, PREVIOUS = "checkpoint.npz", "checkpoint.previous.npz"
_NEEDED = {"step", "image", "generator", "engine", "precision", "guard.tries", "optimizer.shortening"}


def exists(folder: Path) -> bool:
    """Return whether there is a checkpoint, readable or not."""
    return (folder / NAME).is_file() or (folder / PREVIOUS).is_file()


def save(folder: Path, state: Mapping[str, NDArray], config: Any, inputs: Mapping[str, str]) -> None:
    """Save a state; the previous one is kept.

    Raises OSError if the folder cannot be written or the disk is full; earlier states are unaffected.

    Parameters
    ----------
    state : dict of arrays
        Including `step`, `image` and `generator`.
    config : JSON values
        What must be the same when the run is resumed.
    inputs : dict of str
        The checksum of every input file, by the config key that names it.
    """
    path = folder / NAME
    texts = {"config": np.array(json.dumps(config)), "inputs": np.array(json.dumps(dict(inputs)))}
    with (
        atomic_write(path, keep_as=folder / PREVIOUS) as stream,
        zipfile.ZipFile(stream, "w") as archive,  # np.savez does not close its own when the disk is full
    ):
        for name, value in {**state, **texts}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(value), allow_pickle=False)


def read(folder: Path, config: Any, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Read the newest readable state in a folder; it replaces a damaged one.

    Raises UserError if there is none, or it belongs to a run with another config or other input files, which the
    message names.
    """
    problem = f"there is no checkpoint in {folder}"
    for path in (folder / NAME, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            checkpoint = _load(path)
        except Exception as error:  # NumPy, zipfile, zlib and json each raise their own errors for a damaged file
            problem = f"cannot read {path}: {reason_of(error)}"
            LOGGER.info(problem)
            continue
        begun_with = checkpoint.pop("config")
        keys = sorted(set(begun_with) ^ set(config))
        if keys:
            raise UserError(
                f"--resume: the run in {folder} was started by a version with other config keys ({', '.join(keys)}); "
                "start over with --force"
            )
        difference = first_difference(begun_with, config)
        if difference:
            raise UserError(f"--resume: {difference} differs from the run in {folder}; start over with --force")
        before = checkpoint.pop("inputs")
        for key, checksum in inputs.items():
            if before.get(key) != checksum:
                raise UserError(
                    f"--resume: {key}: the file has changed since the run in {folder} was started; "
                    "restore it, or start over with --force"
                )
        if path.name == PREVIOUS:
            path.replace(folder / NAME)
        return checkpoint
    raise UserError(f"--resume: {problem}")


def _load(path: Path) -> dict[str, Any]:
    if not zipfile.is_zipfile(path):  # np.load's message would be about pickles
        raise ValueError("it is damaged, or not a checkpoint")
    with np.load(path, allow_pickle=False) as stored:
        checkpoint = {name: stored[name] for name in stored.files}
    if not set(checkpoint) >= _NEEDED:
        raise ValueError("it is not a checkpoint")
    return {**checkpoint, **{name: json.loads(str(checkpoint[name])) for name in ("config", "inputs")}}


def first_difference(first: Any, second: Any, key: str = "") -> str | None:
    """The dotted key at which two nested dictionaries first differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in {**first, **second}:
            found = first_difference(first.get(name), second.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if first == second else key
