"""PyTorch state dicts of torchvision's `vgg16` and `vgg19`, read without PyTorch.

Sources: `torch/serialization.py` and https://github.com/pytorch/vision/blob/main/torchvision/models/vgg.py. Two forms:

- a ZIP archive (PyTorch 1.6 and later): ``<top>/data.pkl``, and the values of storage k in ``<top>/data/k``;
- before (the published files of 2017 are of this form): five pickles (a magic number, the version, the machine's types,
  the state dict, the keys of the storages) and then, in the order of the keys, a 64-bit length and the values of each.

A state dict is a pickle, and a pickle is a program. Here it is not run: of its instructions only those that build plain
data are followed, and of its functions only those that make a dict, a shape or a tensor, by code of this module.
Values are read afterwards, only for the convolutions and only in the shapes of the SPEC.

The same names are used for weights of other origin, which expect other pixels. Oxford's own weights, converted from
Caffe by J. Johnson (https://github.com/jcjohnson/pytorch-vgg: `vgg16-00b39a1b.pth`, `vgg19-d01eb7cb.pth`), are
recognised by their first biases and expect BGR, 0..255, minus 103.939/116.779/123.68. The features-only VGG-16 of
torchvision is recognised by its classifier, all of it not a number, and refused.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights import gluon
from styletransfer.weights.npz import ZIP_DAMAGE, adapt

MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # of the older form
_CLASSES = 1000
_MOST_PICKLE = 1 << 20  # bytes of all pickles; those of VGG-19 have 10 kB
_TYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "u1",
}  # fmt: skip
_OXFORD = ((0.73429835, 0.09340367, 0.06775674, 0.8862966), (0.7301776, 0.06493629, 0.03428847, 0.8260386))


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in values, not bytes


_ReadStorage = Callable[[_Storage], bytes]


def read(path: Path, spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read the convolutions, in the pixel convention of the SPEC.

    Raises
    ------
    ValueError
        If the file is damaged, holds more than tensors, or is of another network.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            if zipped:
                with zipfile.ZipFile(file) as archive:
                    return _convert(*_open_zip(archive), spec)
            return _convert(*_open_legacy(file, path.stat().st_size), spec)
    except ZIP_DAMAGE as error:
        raise ValueError(f"it is damaged ({error or type(error).__name__})") from None


def _convert(tensors: dict[str, _Tensor], read_storage: _ReadStorage, spec: ModelSpec) -> dict[str, NDArray]:
    places = gluon.assign({name: tensor.shape for name, tensor in tensors.items()}, spec)
    longest = max(_CLASSES, sum(int(np.prod(shape)) for shape in spec.parameters.values()))
    arrays = {name: _values(name, tensors[place], read_storage, longest) for name, place in places.items()}
    last = tensors.get("classifier.6.bias")
    if last and last.shape == (_CLASSES,) and np.isnan(_values("its classifier", last, read_storage, longest)).any():
        raise ValueError("it is torchvision's features-only VGG-16, made for other pixels; expected vgg16-397923af.pth")
    first = arrays["conv1_1_bias"][:4]
    oxford = any(first.shape == (4,) and np.allclose(first, known, atol=1e-5) for known in _OXFORD)
    return adapt(arrays, spec, "bgr255" if oxford else "torchvision")


def _values(name: str, tensor: _Tensor, read_storage: _ReadStorage, longest: int) -> NDArray:
    """A copy of the values of a tensor in a storage of at most `longest` values."""
    storage, offset, shape, strides = tensor
    if storage.dtype.kind != "f":
        raise ValueError(f"{name} holds no floating-point numbers, or such as NumPy does not know (bfloat16)")
    if storage.length > longest:
        raise ValueError(f"{name} is part of more values than the whole network has")
    buffer, size = read_storage(storage), storage.dtype.itemsize
    steps = tuple(stride * size for stride in strides)
    try:  # NumPy checks that no value lies outside of the buffer
        return np.ndarray(shape, storage.dtype, buffer, offset * size, steps).copy()
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} lies outside of its storage") from None


def _open_zip(archive: zipfile.ZipFile) -> tuple[dict[str, _Tensor], _ReadStorage]:
    def member(name: str, most: int) -> bytes:
        info = archive.getinfo(name)
        if info.file_size > most:
            raise ValueError(f"{name} has the wrong length")
        with archive.open(info) as stream:
            data = stream.read(info.file_size)
            if len(data) != info.file_size or stream.read(1):  # the end compares the archive's checksum
                raise ValueError(f"{name} has the wrong length")
        return data

    def read_storage(storage: _Storage) -> bytes:
        size = storage.length * storage.dtype.itemsize
        try:
            return member(f"{top}/data/{storage.key}", size)
        except KeyError:
            raise ValueError("values are missing") from None

    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError("it is no PyTorch file")
    top = pickles[0].removesuffix("/data.pkl")
    if f"{top}/byteorder" in archive.namelist() and member(f"{top}/byteorder", 16) != b"little":
        raise ValueError("it was written on a big-endian machine")
    return _state_dict(_unpickle(io.BytesIO(member(pickles[0], _MOST_PICKLE)))), read_storage


def _open_legacy(file: BinaryIO, size: int) -> tuple[dict[str, _Tensor], _ReadStorage]:
    storages: dict[str, _Storage] = {}
    head = io.BytesIO(file.read(_MOST_PICKLE))
    magic, _version, machine, content, keys = (_unpickle(head, storages) for _ in range(5))
    if magic != int.from_bytes(MAGIC, "little") or not isinstance(keys, list):
        raise ValueError("it is no PyTorch file")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    starts, start = {}, head.tell()
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in starts:
            raise ValueError("its list of values is damaged")
        file.seek(start)
        if file.read(8) != struct.pack("<q", storages[key].length):
            raise ValueError("it ends too early, or is damaged")
        starts[key] = start + 8
        start += 8 + storages[key].length * storages[key].dtype.itemsize
    if start > size:
        raise ValueError("it ends too early")

    def read_storage(storage: _Storage) -> bytes:
        if storage.key not in starts:
            raise ValueError("values are missing")
        file.seek(starts[storage.key])
        return file.read(storage.length * storage.dtype.itemsize)

    return _state_dict(content), read_storage


def _state_dict(content: Any) -> dict[str, _Tensor]:
    if not isinstance(content, dict):
        raise ValueError("it holds no state dict")
    return {name: value for name, value in content.items() if isinstance(value, _Tensor)}


# The pickle.

_PUSH = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "SHORT_BINUNICODE", "SHORT_BINSTRING", "BINSTRING",
}  # fmt: skip
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Global(NamedTuple):
    name: str


def _unpickle(stream: BinaryIO, storages: dict[str, _Storage] | None = None) -> Any:
    """Follow a pickle's instructions as far as they build plain data; notes the storages it names in `storages`."""
    known = {} if storages is None else storages
    try:
        return _follow(stream, known)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError):
        raise ValueError("its pickle is damaged") from None


def _instructions(stream: BinaryIO) -> Iterator[Any]:
    try:
        yield from pickletools.genops(stream)
    except ValueError:
        raise ValueError("its pickle is damaged") from None


def _follow(stream: BinaryIO, storages: dict[str, _Storage]) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        position = marks.pop()
        items = stack[position:]
        del stack[position:]
        return items

    argument: Any
    for opcode, argument, _ in _instructions(stream):
        name = opcode.name
        if name in _PUSH:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            _of_type(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            _of_type(stack[-1], dict).update((_of_type(key, str), value) for key, value in zip(items[::2], items[1::2]))
        elif name == "GLOBAL":
            stack.append(_Global(argument))
        elif name == "STACK_GLOBAL":
            last, module = _of_type(stack.pop(), str), _of_type(stack.pop(), str)
            stack.append(_Global(f"{module} {last}"))
        elif name == "BINPERSID":
            storage = _storage(stack.pop())
            if storages.setdefault(storage.key, storage) != storage:
                raise ValueError("its list of values is damaged")
            stack.append(storage)
        elif name == "REDUCE":
            arguments = _of_type(stack.pop(), tuple)
            stack.append(_call(_of_type(stack.pop(), _Global).name, arguments))
        elif name == "BUILD":
            stack.pop()  # attributes such as _metadata, of no use here
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"its pickle does more than build tensors ({name})")
    raise ValueError("its pickle is damaged")


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError("its pickle is damaged")
    return value


def _numbers(values: Any) -> tuple[int, ...]:
    if not all(type(value) is int and value >= 0 for value in _of_type(values, tuple)) or len(values) > 32:
        raise ValueError("a tensor has an impossible shape")
    return values


def _storage(identity: Any) -> _Storage:
    """``("storage", type, key, place, count)``; the older form adds a view, which no state dict of VGG has."""
    kind, storage_type, key, _place, count, *view = _of_type(identity, tuple)
    module, _, type_name = _of_type(storage_type, _Global).name.partition(" ")
    if (
        kind != "storage"
        or module not in ("torch", "torch.cuda")
        or type_name not in _TYPES
        or view not in ([], [None])
    ):
        raise ValueError("a tensor is of an unknown kind")
    return _Storage(_of_type(key, str), np.dtype(_TYPES[type_name]), _numbers((count,))[0])


def _call(function: str, arguments: tuple[Any, ...]) -> Any:
    if function == "collections OrderedDict":  # Python 2 wrote it with all its items, as pairs
        pairs = [_of_type(pair, list) for pair in _of_type(arguments[0], list)] if arguments else []
        return {_of_type(name, str): value for name, value in pairs}
    if function == "torch Size":
        return _numbers(arguments[0])
    if function in ("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2"):
        storage, offset, shape, strides = arguments[:4]
        return _Tensor(_of_type(storage, _Storage), _numbers((offset,))[0], _numbers(shape), _numbers(strides))
    if function == "torch._utils _rebuild_parameter":
        return _of_type(arguments[0], _Tensor)
    raise ValueError(f"its pickle asks to run {function.replace(' ', '.')}, which no weights need")
