"""NumPy archives: D. Frossard's `vgg16_weights.npz`, and plain ones whose members are parameters in our layout.

Reference for the former: https://www.cs.toronto.edu/~frossard/post/vgg16/ (weights of the Caffe original). Its members
are ``conv1_1_W``, (height, width, channels, filters), and ``conv1_1_b``, (filters,); then ``fc6_W`` to ``fc8_b``, which
are skipped. Made for RGB, 0..255, minus 123.68/116.779/103.939. The members of a plain archive have the names of the
SPEC with a dot before ``weight`` and ``bias``: ``conv1_1.weight``, (filters, channels, height, width).

What is read is bounded by the SPEC, never by what the file claims, and objects (pickles) are rejected. That is why the
header of an array is read first: `np.load` allocates what a header claims, and ignores data after the array.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights.conversion import adapt, filters_first, require_shape, stored_shape

_MEMBER = re.compile(r"conv(\d+_\d+)_([Wb])\.npy")
_KINDS = {"W": "weight", "b": "bias"}
# What `zipfile` raises for an archive that is damaged, encrypted or of an unsupported kind.
ZIP_DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error)
_Parameter = tuple[str, tuple[int, ...]]  # name and shape


def read(file: Path | IO[bytes], spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read the convolutions of Frossard's archive, in the pixel convention of the SPEC.

    Raises ValueError if the file is damaged, contains objects, or is for another network.
    """

    def parameter(member: str) -> _Parameter | None:
        match = _MEMBER.fullmatch(member)
        name = f"conv{match[1]}_{_KINDS[match[2]]}" if match else ""
        return (name, stored_shape(spec, name)) if match else None

    return adapt(filters_first(_read_members(file, parameter)), spec, "rgb255")


def _read_members(file: Path | IO[bytes], parameter: Callable[[str], _Parameter | None]) -> dict[str, NDArray]:
    """Read the members that `parameter` knows, given their file names; by name of the parameter."""
    stored = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if wanted := parameter(member.filename):
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise ValueError(f"{member.filename} uses an unsupported compression method")
                    with archive.open(member) as stream:
                        stored[wanted[0]] = read_array(stream, *wanted)
    except ZIP_DAMAGE as error:
        raise ValueError(f"it is damaged ({error or type(error).__name__})") from None
    return stored


def read_array(stream: IO[bytes], name: str, expected: tuple[int, ...]) -> NDArray:
    """One `.npy` member (NumPy's format 1.0), read to its end so that the archive's checksum is verified."""
    if npy.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} is in an unsupported version of the NumPy format")
    try:
        shape, fortran_order, dtype = npy.read_array_header_1_0(stream)
    except Exception:  # a header is a Python expression, and NumPy passes on whatever its parsers raise
        raise ValueError(f"the header of {name} is damaged") from None
    require_shape(name, shape, expected)
    if dtype.kind != "f":
        raise ValueError(f"{name} is not a floating-point array")
    size = int(np.prod(shape)) * dtype.itemsize
    data = stream.read(size)
    if len(data) != size or stream.read(1):
        raise ValueError(f"{name} has the wrong length")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
