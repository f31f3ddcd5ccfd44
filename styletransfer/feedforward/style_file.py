"""Style files: a feed-forward network trained for one style, with what is known about it, in one file.

A style file is a NumPy archive (.npz) with one float32 member for every parameter of the network, and the member
``record``, a JSON object: the network, the paintings with their checksums, the licence, how it was trained, and the
checksum of the parameters. It is read without trusting it: what is read is bounded by the network's SPEC, and objects
(pickles) are rejected.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import models
from models.feedforward_spec import TransformerSpec
from styletransfer.support.errors import UserError, nearest
from styletransfer.support.files import atomic_write
from styletransfer.weights.npz import ZIP_DAMAGE, read_array

SUFFIX = ".npz"
FOLDER = Path(models.__file__).resolve().parent / "styles"  # of the bundled styles
_FORMAT = 1
_RECORD = "record.json"
_LARGEST_RECORD = 100_000  # bytes
_KEYS = {"format", "network", "name", "paintings", "licence", "sha256"}


@dataclass(frozen=True)
class Style:
    """A trained style.

    Attributes
    ----------
    parameters : dict of arrays
    record : dict
        What is known about it, JSON values: at least ``name``, ``paintings`` (sha256 by file name) and ``licence``.
    """

    spec: TransformerSpec
    parameters: Mapping[str, NDArray[np.float32]]
    record: Mapping[str, Any]


def names() -> list[str]:
    """The names of the bundled styles."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def find(name: str) -> Path:
    """The file of a style that is given as the name of a bundled style or as a file.

    Raises UserError if there is neither.
    """
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves the ~ of an unknown user unchanged
    if path.is_file():
        return path
    if path.suffix == SUFFIX or len(path.parts) > 1:
        raise UserError(f"style {name}: no such file")
    bundled = FOLDER / f"{name}{SUFFIX}"
    if not bundled.is_file():
        hint = nearest(name, names()) if names() else f"expected a style file such as mine{SUFFIX}"
        raise UserError(f"style {name}: there is no such style; {hint}")
    return bundled


def checksum(parameters: Mapping[str, NDArray[np.float32]]) -> str:
    """The sha256 of the names and values of parameters, in alphabetical order."""
    state = hashlib.sha256()
    for name in sorted(parameters):
        state.update(name.encode())
        state.update(np.ascontiguousarray(parameters[name], dtype="<f4").tobytes())
    return state.hexdigest()


def write(path: Path, style: Style) -> None:
    """Write a style file, whole or not at all.

    Raises OSError if it cannot be written.
    """
    record = {
        "format": _FORMAT,
        "network": style.spec.name,
        **style.record,
        "sha256": checksum(style.parameters),
    }
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        _add(archive, _RECORD, json.dumps(record, indent=1, ensure_ascii=False).encode(errors="replace"))
        for name in style.spec.parameters:
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(style.parameters[name], "<f4"), allow_pickle=False)
            _add(archive, f"{name}.npy", member.getvalue())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member without the time of day, so that equal styles make equal files."""
    archive.writestr(zipfile.ZipInfo(name), data)


def read(path: Path) -> Style:
    """Read a style file.

    Raises UserError if it is absent, damaged, or no style file; one line.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream)
    except FileNotFoundError:
        raise UserError(f"style {path}: no such file") from None
    except ZIP_DAMAGE as error:
        if not isinstance(error, zipfile.BadZipFile) and isinstance(error, OSError) and error.strerror:
            raise UserError(f"style {path}: {error.strerror}") from None
        raise UserError(f"style {path}: damaged, or not a style file") from None
    except ValueError as error:
        raise UserError(f"style {path}: not a usable style file: {error}") from None


def _read(stream: IO[bytes]) -> Style:
    with zipfile.ZipFile(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if _RECORD not in members:
            raise ValueError(f"it has no {_RECORD}")
        for member in members.values():
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename} uses an unsupported compression method")
        with archive.open(members[_RECORD]) as opened:
            record = _record(opened.read(_LARGEST_RECORD + 1))
        spec: TransformerSpec = models.load_transformer(record["network"]).SPEC
        expected = {f"{name}.npy" for name in spec.parameters}
        for name in sorted(expected ^ (set(members) - {_RECORD})):
            raise ValueError(f"{name} is {'missing' if name in expected else f'not a parameter of {spec.name}'}")
        parameters = {}
        for name, shape in spec.parameters.items():
            with archive.open(members[f"{name}.npy"]) as opened:
                values = read_array(opened, name, shape)
            if values.dtype != np.dtype("<f4"):
                raise ValueError(f"{name} has dtype {values.dtype}, expected float32")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} contains values that are not finite")
            parameters[name] = np.ascontiguousarray(values)
    if checksum(parameters) != record["sha256"]:
        raise ValueError("its parameters are not those of its record (sha256)")
    return Style(spec, parameters, record)


def _record(data: bytes) -> dict[str, Any]:
    """The record of a style file, with the keys that every style has."""
    if len(data) > _LARGEST_RECORD:
        raise ValueError(f"its record is larger than {_LARGEST_RECORD} bytes")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("its record is not valid JSON") from None
    if not isinstance(record, dict):
        raise ValueError("its record is not an object")
    if not record.keys() >= _KEYS:
        raise ValueError(f"its record lacks {', '.join(sorted(_KEYS - record.keys()))}")
    if record["format"] != _FORMAT:
        raise ValueError(f"its format is {record['format']!r}, expected {_FORMAT}; it was written by another version")
    known = models.transformer_names()
    if record["network"] not in known:
        raise ValueError(f"its network is {record['network']!r}; expected one of: {', '.join(known)}")
    return record
