"""MXNet's `.params` files, read and written without MXNet, so that a damaged file cannot crash the process.

The layout is that of ``NDArray::Save`` in MXNet (src/ndarray/ndarray.cc): a list header, the arrays, then their names.
There are four generations of array headers; the VGG-19 file of the MXNet neural-style example has the oldest.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MAGIC = struct.pack("<Q", 0x112)
_MAGIC_V1, _MAGIC_V2, _MAGIC_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = {
    flag: np.dtype(code) for flag, code in enumerate(("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8"))
}  # as numbered in mshadow/base.h
_DENSE, _CPU = 0, 1
_MOST_DIMENSIONS = 32
_LONGEST_NAME = 256
_PREFIXES = ("arg:", "aux:")


def read(stream: BinaryIO, size: int) -> dict[str, NDArray]:
    """Read the arrays of a `.params` file of `size` bytes, by name; the prefixes ``arg:`` and ``aux:`` are removed.

    Raises ValueError if the file is truncated, has trailing bytes, or is not a `.params` file.
    """

    def take(layout: str) -> tuple[int, ...]:
        return struct.unpack("<" + layout, take_bytes(struct.calcsize("<" + layout)))

    def take_bytes(count: int) -> bytes:
        taken = stream.read(count) if 0 <= count <= size - stream.tell() else b""
        if len(taken) != count:
            raise ValueError("it is truncated")
        return taken

    def take_shape(dimensions: int, kind: str) -> tuple[int, ...]:
        if not 0 <= dimensions <= _MOST_DIMENSIONS:
            raise ValueError("an array has an invalid shape")
        return take(f"{dimensions}{kind}")

    def take_array() -> NDArray:
        (magic,) = take("I")
        if magic in (_MAGIC_V2, _MAGIC_V3) and take("i") != (_DENSE,):
            raise ValueError("it contains a sparse array")
        shape = take_shape(take("I")[0], "q") if magic in (_MAGIC_V1, _MAGIC_V2, _MAGIC_V3) else take_shape(magic, "I")
        if not shape and magic != _MAGIC_V3:  # only the third generation has scalars; before, this meant no array
            raise ValueError("an array is empty")
        take("ii")  # the device it was saved from
        (type_flag,) = take("i")
        if type_flag not in _TYPES:
            raise ValueError("an array has an unknown type")
        dtype = _TYPES[type_flag]
        count = 1
        for side in shape:
            if side < 1:
                raise ValueError("an array is empty")
            count *= side
        return np.frombuffer(take_bytes(count * dtype.itemsize), dtype).reshape(shape)

    def take_name() -> str:
        (length,) = take("Q")
        if length > _LONGEST_NAME:
            raise ValueError("the name of an array is too long")
        try:
            name = take_bytes(length).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("the name of an array is not valid UTF-8") from None
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                return name[len(prefix) :]
        return name

    if take_bytes(16)[: len(MAGIC)] != MAGIC:
        raise ValueError("it is not an MXNet parameter file")
    (count,) = take("Q")
    unnamed = [take_array() for _ in range(min(count, size))]
    (named,) = take("Q")
    if named != count:
        raise ValueError("its arrays have no names")
    arrays: dict[str, NDArray] = {}
    for array in unnamed:
        name = take_name()
        if name in arrays:
            raise ValueError(f"two arrays are named {name}")
        arrays[name] = array
    if stream.tell() != size:
        raise ValueError("it has trailing bytes")
    return arrays


def write(stream: BinaryIO, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays, neither empty nor scalar, as ``arg:<name>``, for ``mxnet.nd.load`` to read."""
    stream.write(MAGIC + struct.pack("<QQ", 0, len(arrays)))
    flags = {dtype: flag for flag, dtype in _TYPES.items()}
    for array in arrays.values():
        stream.write(struct.pack("<IiI", _MAGIC_V2, _DENSE, array.ndim))
        stream.write(struct.pack(f"<{array.ndim}q", *array.shape))
        stream.write(struct.pack("<iii", _CPU, 0, flags[array.dtype]))
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.write(struct.pack("<Q", len(arrays)))
    for name in arrays:
        encoded = f"arg:{name}".encode()
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
