"""NumPy archives of TensorFlow kernels: D. Frossard's `vgg16_weights.npz`; and what the published formats share.

Reference: https://www.cs.toronto.edu/~frossard/post/vgg16/ (weights of the Caffe original). Members are ``conv1_1_W``,
(height, width, channels, filters), and ``conv1_1_b``, (filters,); then ``fc6_W`` to ``fc8_b``, which are skipped. Made
for RGB, 0..255, minus 123.68/116.779/103.939.

What is read is bounded by the SPEC, never by what the file claims, and objects (pickles) are rejected. That is why the
header of an array is read first: `np.load` allocates what a header claims, and ignores data after the array.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.pictures.pixels import adapt_first_layer

_MEMBER = re.compile(r"conv(\d+_\d+)_([Wb])\.npy")
_KINDS = {"W": "weight", "b": "bias"}
# What `zipfile` raises for an archive that is damaged, encrypted or of an unsupported kind.
ZIP_DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error)


def read(file: Path | IO[bytes], spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read the convolutions of an archive, in the pixel convention of the SPEC.

    Raises
    ------
    ValueError
        If the file is damaged, contains objects, or is for another network.
    """
    stored = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if match := _MEMBER.fullmatch(member.filename):
                    name = f"conv{match[1]}_{_KINDS[match[2]]}"
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise ValueError(f"{member.filename} uses an unsupported compression method")
                    with archive.open(member) as stream:
                        stored[name] = read_array(stream, name, stored_shape(spec, name))
    except ZIP_DAMAGE as error:
        raise ValueError(f"it is damaged ({error or type(error).__name__})") from None
    return adapt(filters_first(stored), spec, "rgb255")


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


# What the published formats share. This one, Keras and MatConvNet store kernels as (height, width, channels, filters).


def stored_shape(spec: ModelSpec, name: str) -> tuple[int, ...]:
    """The shape in which a file stores a parameter of the SPEC: (height, width, channels, filters) or (filters,).

    Raises
    ------
    ValueError
        If the SPEC has no such parameter.
    """
    if name not in spec.parameters:
        raise ValueError(f"{name} is not a parameter of {spec.name}")
    shape = spec.parameters[name]
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape


def require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Reject a parameter of the wrong shape before its values are read."""
    if shape != expected:
        raise ValueError(f"{name} is stored with shape {shape}, expected {expected}")


def filters_first(stored: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Transpose kernels from (height, width, channels, filters) to (filters, channels, height, width); keep biases."""
    return {name: array.transpose(3, 2, 0, 1) if array.ndim == 4 else array for name, array in stored.items()}


def adapt(arrays: Mapping[str, NDArray], spec: ModelSpec, native: str) -> dict[str, NDArray[np.float32]]:
    """The parameters as float32, with the first convolution adapted to the pixel convention of the SPEC.

    Parameters
    ----------
    arrays
        Parameters with the names and shapes of the SPEC; some may be missing.
    native
        The pixel convention they were trained for.

    Raises
    ------
    ValueError
        If the first convolution is missing.
    """
    single = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    first = ("conv1_1_weight", "conv1_1_bias")
    if not all(name in single for name in first):
        raise ValueError("it has no convolution conv1_1")
    weight, bias = (single[name] for name in first)
    with np.errstate(all="ignore"):  # `check` rejects values that are not finite
        single.update(zip(first, adapt_first_layer(weight, bias, native, spec.pixels)))
    return single
