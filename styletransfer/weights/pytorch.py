"""Files written by `torch.save`, read without PyTorch: the tensors of a state dict.

Reference: `torch/serialization.py`. Two layouts:

- since PyTorch 1.6, a ZIP archive: ``<top>/data.pkl``, and the values of storage k in ``<top>/data/k``;
- the legacy layout: five pickles (a magic number, the version, the system's types, the content, the storage keys) and
  then, in the order of the keys, a 64-bit length and the values of each.

A pickle is a program. Only the opcodes that build plain data are allowed, and only the functions that make a dict, a
shape or a tensor, all of them reimplemented here. Values are views of the memory-mapped file, so that sizes claimed by
a file take no memory.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from styletransfer.weights.npz import ZIP_DAMAGE

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of the legacy layout
MAGIC = _MAGIC_NUMBER.to_bytes(10, "little")
_MAX_PICKLE = 1 << 20  # bytes of all pickles; those of VGG-19 take 10 kB
_MAX_DIMENSIONS = 32
_TYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "u1",
}  # fmt: skip


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in values, not bytes


_Bytes = Callable[[_Storage], memoryview]


def read(path: Path) -> dict[str, NDArray]:
    """The tensors of a state dict, or of the one under ``model`` in a checkpoint, as views of the file.

    Check the shape before copying: a view with zero strides may be arbitrarily large. bfloat16 is read as uint16.

    Raises ValueError if the file is damaged, or contains more than plain data and tensors.
    """
    try:
        file = np.memmap(path, np.uint8, "r").data
        content, bytes_of = _open_legacy(file) if MAGIC in bytes(file[:32]) else _open_zip(file, path)
        if isinstance(content, dict) and isinstance(content.get("model"), dict):
            content = content["model"]
        if not isinstance(content, dict):
            raise ValueError("it does not contain a state dict")
        tensors = {name: value for name, value in content.items() if isinstance(value, _Tensor)}
        return {name: _view(name, tensor, bytes_of(tensor.storage)) for name, tensor in tensors.items()}
    except ZIP_DAMAGE as error:
        raise ValueError(f"it is damaged ({error or type(error).__name__})") from None


def floats(name: str, view: NDArray) -> NDArray:
    """A copy of a view; ValueError if it does not contain floating-point numbers."""
    if view.dtype.kind != "f":
        raise ValueError(f"{name} does not contain floating-point numbers (bfloat16 is not supported)")
    return view.copy()


def _view(name: str, tensor: _Tensor, data: memoryview) -> NDArray:
    dtype, length = tensor.storage.dtype, tensor.storage.length
    if len(data) != length * dtype.itemsize:
        raise ValueError(f"the storage of {name} has the wrong length")
    strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
    try:  # NumPy checks that all values lie within the storage
        return np.ndarray(tensor.shape, dtype, data, tensor.offset * dtype.itemsize, strides)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} exceeds its storage") from None


def _open_zip(file: memoryview, path: Path) -> tuple[Any, _Bytes]:
    with zipfile.ZipFile(path) as archive:
        members = archive.NameToInfo

    def member(name: str) -> memoryview:
        if name not in members:
            raise ValueError(f"{name} is missing")
        info = members[name]
        lengths = struct.unpack_from("<HH", file, info.header_offset + 26)  # of the name and the extra field
        start = info.header_offset + 30 + sum(lengths)
        data = file[start : start + info.file_size]
        if info.compress_type != zipfile.ZIP_STORED or zlib.crc32(data) != info.CRC:
            raise ValueError(f"{name} is damaged, compressed or of the wrong length")
        return data

    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("it is not a PyTorch file")
    top = pickles[0].removesuffix("/data.pkl")
    if f"{top}/byteorder" in members and member(f"{top}/byteorder") != b"little":
        raise ValueError("it was written on a big-endian machine")
    content = _Reader(io.BytesIO(member(pickles[0])[:_MAX_PICKLE])).load()
    return content, lambda storage: member(f"{top}/data/{storage.key}")


def _open_legacy(file: memoryview) -> tuple[Any, _Bytes]:
    head = io.BytesIO(file[:_MAX_PICKLE])
    magic, _version, machine = (_Reader(head).load() for _ in range(3))
    if magic != _MAGIC_NUMBER:
        raise ValueError("it is not a PyTorch file")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    reader = _Reader(head)
    content, keys, start = reader.load(), _Reader(head).load(), head.tell()
    data: dict[str, memoryview] = {}
    for key in _of_type(keys, list):
        storage = reader.storages.get(_of_type(key, str))
        if storage is None or key in data:
            raise ValueError("its list of values is damaged")
        end = start + 8 + storage.length * storage.dtype.itemsize
        if end > len(file) or file[start : start + 8] != struct.pack("<q", storage.length):
            raise ValueError("it is truncated or damaged")
        data[key], start = file[start + 8 : end], end
    if len(data) != len(reader.storages):
        raise ValueError("values are missing")
    return content, lambda storage: data[storage.key]


# The pickle.

_OPCODES = (
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE "
    "BINSTRING SHORT_BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS SETITEM SETITEMS "
    "BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL BINPERSID REDUCE"
)


class _Dict(dict):
    """A dict whose keys must be strings: hashing nested tuples may take exponential time."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_type(key, str), value)


class _Reader(pickle._Unpickler):
    """The standard library's unpickler, limited to the opcodes that build plain data.

    It is the Python implementation, whose opcodes are a table. The C implementation cannot be prevented from setting
    attributes or from hashing arbitrary keys, and allocates 64 GB for a pickle that uses the last memo index.
    """

    dispatch: ClassVar[dict[int, Callable]] = {
        **{code: pickle._Unpickler.dispatch[code] for code in (vars(pickle)[name][0] for name in _OPCODES.split())},
        pickle.EMPTY_DICT[0]: lambda self: self.append(_Dict()),
        pickle.BUILD[0]: lambda self: self.stack.pop(),  # attributes such as _metadata, not needed here
    }

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def load(self) -> Any:
        try:
            return super().load()
        except ValueError:
            raise
        except Exception:  # opcodes may fail in any way
            raise ValueError("its pickle is damaged, or does more than build tensors") from None

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.cuda") and name in _TYPES:
            return np.dtype(_TYPES[name])
        function = f"{module}.{name}"
        if function not in _FUNCTIONS:
            raise ValueError(f"its pickle calls {function[:80]}, which is not allowed")
        return _FUNCTIONS[function]

    def persistent_load(self, identity: Any) -> _Storage:
        """``("storage", type, key, place, count)``; the legacy layout adds a view, which is not supported."""
        kind, dtype, key, _place, count, *view = _of_type(identity, tuple)
        if kind != "storage" or not isinstance(dtype, np.dtype) or view not in ([], [None]):
            raise ValueError("a tensor has an unknown storage type")
        storage = _Storage(_of_type(key, str), dtype, *_numbers((count,)))
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError("its list of values is damaged")
        return storage


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError("its pickle is damaged")
    return value


def _numbers(values: Any) -> tuple[int, ...]:
    if len(_of_type(values, tuple)) > _MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in values):
        raise ValueError("a tensor has an invalid shape")
    return values


def _dict(pairs: Any = ()) -> dict:
    """An OrderedDict; Python 2 pickles it with its items as pairs."""
    content = _Dict()
    for name, value in pairs:
        content[name] = value
    return content


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_hooks: Any) -> _Tensor:
    (start,) = _numbers((offset,))
    return _Tensor(_of_type(storage, _Storage), start, _numbers(shape), _numbers(strides))


def _parameter(tensor: Any, *_hooks: Any) -> _Tensor:
    return _of_type(tensor, _Tensor)


_FUNCTIONS: dict[str, Callable] = {
    "collections.OrderedDict": _dict,
    "torch.Size": _numbers,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
