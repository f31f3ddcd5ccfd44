"""MatConvNet's `imagenet-vgg-verydeep-16.mat` and `-19.mat`.

Sources: https://www.vlfeat.org/matconvnet/pretrained/, and `utils/import-caffe.py` and
`matlab/simplenn/vl_simplenn_tidy.m` of https://github.com/vlfeat/matconvnet. ``layers`` is a cell array of structs with
``name``, ``type`` and, for a convolution, ``weights``, a cell of kernel and bias, or, in the oldest files, ``filters``
and ``biases``. Kernels are (height, width, channels, filters); the bias is a row or a column. The mean colour is
``averageImage`` of ``normalization``, in later files within ``meta``: a picture of one colour, or the colour alone.
Made for RGB, 0..255, minus that colour. Fully connected layers are convolutions named ``fc6`` to ``fc8`` and left out.

The file is a MATLAB 5 MAT-file (https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf), read here without
`scipy.io.loadmat`: that dies of cells nested deeply enough, unfolds compressed data without limit, and always holds
the 0.5 GB of the fully connected layers. This reader passes over every field and every array that is not needed.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.pixels import SPACES
from styletransfer.weights.npz import adapt, filters_first, require_shape, stored_shape

_LAYER = re.compile(r"conv(\d+_\d+)")
_NEEDED = {"layers", "meta", "normalization", "averageImage", "weights", "filters", "biases", "name", "type"}
_TYPES = {  # of the values of an element; 16 and 17 are UTF-8 and UTF-16
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)  # the classes double, single and the integers
_DEEPEST, _LONGEST_CELL, _MOST_ARRAYS = 8, 1000, 100_000
_LARGEST_IMAGE = 1 << 20  # values of an average image: 224 x 224 x 3 and some room
_CHUNK = 1 << 16
_SAME_COLOUR = 1e-3  # grey levels; single precision and rounding differ by less


def read(path: Path, spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read the convolutions, in the pixel convention of the SPEC.

    Raises
    ------
    ValueError
        If the file is damaged or of another network.
    """
    largest = max(_LARGEST_IMAGE, *(int(np.prod(shape)) for shape in spec.parameters.values()))
    budget = 4 * sum(int(np.prod(shape)) for shape in spec.parameters.values()) + _LARGEST_IMAGE
    try:
        variables = _Reader(path, largest, budget).read()
    except (zlib.error, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"it is damaged ({error})") from None
    stored = {}
    for layer in _of_type(variables.get("layers"), list, "layers"):
        layer = _of_type(layer, dict, "a layer")
        match = _LAYER.fullmatch(_of_type(layer.get("name"), str, "the name of a layer"))
        if match and layer.get("type") == "conv":
            kernel_and_bias = layer["weights"] if "weights" in layer else [layer.get("filters"), layer.get("biases")]
            if not isinstance(kernel_and_bias, list) or len(kernel_and_bias) != 2:
                raise ValueError(f"conv{match[1]} has no kernel and bias")
            for kind, array in zip(("weight", "bias"), kernel_and_bias):
                stored[f"conv{match[1]}_{kind}"] = _parameter(array, f"conv{match[1]}_{kind}", spec)
    darker = np.subtract(SPACES["rgb255"].mean, _mean_colour(variables))
    return adapt(filters_first(stored), spec, "rgb255", darker if np.abs(darker).max() > _SAME_COLOUR else None)


def _parameter(array: Any, name: str, spec: ModelSpec) -> NDArray:
    expected = stored_shape(spec, name)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} holds no numbers, or more than any layer of {spec.name}")
    if len(expected) == 1 and array.size == max(array.shape):
        array = array.reshape(-1)
    require_shape(name, array.shape, expected)
    return array


def _mean_colour(variables: dict[str, Any]) -> NDArray[np.float64]:
    """The mean colour of the file, RGB, 0..255."""
    owner = variables.get("meta", variables)
    normalization = owner.get("normalization") if isinstance(owner, dict) else None
    image = normalization.get("averageImage") if isinstance(normalization, dict) else None
    if not isinstance(image, np.ndarray) or not (image.size == 3 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError("it does not say its average image")
    colour = (image.reshape(1, 3) if image.size == 3 else image.reshape(-1, 3)).astype(np.float64).mean(axis=0)
    if not (np.isfinite(colour).all() and colour.min() >= 0 and colour.max() <= 255):
        raise ValueError("its average image is none")
    return colour


def _of_type(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{name} is not as MatConvNet writes it")
    return value


class _Source:
    """Bytes from a file, from an inflated part of it, or from an array within either, up to a limit."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._read, self.left = read, size

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("an array is longer than what holds it")
        data = self._read(count)
        if len(data) != count:
            raise ValueError("it ends too early")
        self.left -= count
        return data

    def skip(self, count: int) -> None:
        while count > 0:
            count -= len(self.take(min(count, _CHUNK)))

    def part(self, size: int) -> _Source:
        """The next `size` bytes, to be read before anything else."""
        if size > self.left:
            raise ValueError("an array is longer than what holds it")
        self.left -= size
        return _Source(self._read, size)


class _Inflater:
    """Bytes that a zlib stream of `size` bytes unfolds to, never more in memory than are asked for."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._source, self._zlib, self._input = _Source(read, size), zlib.decompressobj(), b""

    def read(self, count: int) -> bytes:
        parts = []
        while count > 0 and not self._zlib.eof:
            if not self._input:
                self._input = self._source.take(min(self._source.left, _CHUNK))
                if not self._input:
                    break
            data = self._zlib.decompress(self._input, count)
            self._input = self._zlib.unconsumed_tail
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def abandon(self) -> None:
        """Pass over what is left of the compressed bytes."""
        self._source.skip(self._source.left)

    def finish(self) -> None:
        """Go to the end, where zlib compares its checksum."""
        if self.read(1) or not self._zlib.eof:
            raise ValueError("it is damaged (compressed data of the wrong length)")
        self.abandon()


class _Reader:
    """The needed variables of a MAT-file: structs as dicts, cells as lists, text as str; None for all else."""

    def __init__(self, path: Path, largest: int, budget: int) -> None:
        self._path, self._largest, self._budget = path, largest, budget
        self._order, self._arrays = "<", 0

    def read(self) -> dict[str, Any]:
        variables: dict[str, Any] = {}
        with self._path.open("rb") as file:
            whole = _Source(file.read, self._path.stat().st_size)
            header = whole.take(128)
            if header[126:] not in (b"IM", b"MI"):
                raise ValueError("it is no MATLAB 5 file")
            self._order = "<" if header[126:] == b"IM" else ">"
            while whole.left:
                kind, size = struct.unpack(self._order + "II", whole.take(8))
                inflater = _Inflater(file.read, size) if kind == _COMPRESSED else None
                if inflater:
                    whole.part(size)
                    inner = _Source(inflater.read, 8)
                    kind, size = struct.unpack(self._order + "II", inner.take(8))
                    element = _Source(inflater.read, size)
                else:
                    element = whole.part(size)
                if kind != _MATRIX:
                    raise ValueError("it is damaged (no array where one should be)")
                name, value = self._matrix(element, top=True)
                if inflater and name not in _NEEDED:
                    inflater.abandon()
                    continue
                element.skip(element.left)
                if inflater:
                    inflater.finish()
                if name in _NEEDED and variables.setdefault(name, value) is not value:
                    raise ValueError(f"it holds {name} twice")
        return variables

    def _matrix(self, source: _Source, depth: int = 1, top: bool = False) -> tuple[str, Any]:
        """(name, value) of an array; what is not needed of it stays in `source`."""
        self._arrays += 1
        if depth > _DEEPEST or self._arrays > _MOST_ARRAYS:
            raise ValueError("its arrays are nested too deeply or are too many")
        if not source.left:
            return "", None
        flags = self._element(source, 16)
        shape = tuple(int(side) for side in self._element(source, 4 * 32))
        name = self._element(source, 4096).tobytes().decode("ascii")
        if flags.size != 2 or not shape or min(shape) < 0 or (top and name not in _NEEDED):
            return name, None
        kind, count = int(flags[0]) & 0xFF, 1
        for side in shape:
            count *= side
        if kind == _CELL and count <= _LONGEST_CELL:
            return name, [self._part(source, depth) for _ in range(count)]
        if kind == _STRUCT and count == 1:
            return name, self._struct(source, depth)
        if kind == _CHAR or kind in _NUMERIC:
            if count > self._largest:
                return name, None
            self._budget -= count
            if self._budget < 0:
                raise ValueError("it holds several times the values of the network")
            values = self._element(source, 8 * count, "iu" if kind == _CHAR else "iuf")
            if values.size != count:
                raise ValueError("an array has the wrong length")
            if kind == _CHAR:
                return name, values.astype(np.uint8).tobytes().decode("latin-1")
            return name, values.reshape(shape, order="F")
        return name, None

    def _struct(self, source: _Source, depth: int) -> dict[str, Any]:
        length = self._element(source, 8)
        names = self._element(source, 1 << 16).tobytes()
        if length.size != 1 or not 0 < length[0] <= 64:
            raise ValueError("a struct is damaged")
        width = int(length[0])
        fields = [names[start : start + width].split(b"\0")[0].decode("ascii") for start in range(0, len(names), width)]
        return {field: self._part(source, depth, field in _NEEDED) for field in fields}

    def _part(self, source: _Source, depth: int, needed: bool = True) -> Any:
        kind, size = struct.unpack(self._order + "II", source.take(8))
        if kind != _MATRIX:
            raise ValueError("it is damaged (no array where one should be)")
        part = source.part(size)
        value = self._matrix(part, depth + 1)[1] if needed else None
        part.skip(part.left)
        return value

    def _element(self, source: _Source, most: int, kinds: str = "iu") -> NDArray:
        """The next plain element of at most `most` bytes: its tag, its values, and the filling up to 8 bytes."""
        tag = source.take(8)
        kind, size = struct.unpack(self._order + "II", tag)
        small = kind >> 16  # a short element has its length here and its values in the other half of the tag
        if small:
            kind, size = kind & 0xFFFF, small
        dtype = np.dtype(self._order + _TYPES[kind]) if kind in _TYPES else None
        if dtype is None or dtype.kind not in kinds or size % dtype.itemsize or size > (4 if small else most):
            raise ValueError("it is damaged (an element of the wrong type or length)")
        data = tag[4 : 4 + size] if small else source.take(size)
        if not small:
            source.skip(min(-size % 8, source.left))
        return np.frombuffer(data, dtype)
