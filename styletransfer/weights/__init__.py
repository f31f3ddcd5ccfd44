"""Weights of the networks: read from files, checked against the network's SPEC, written as `.params`.

A file that cannot be used raises a :class:`UserError` that names the file and the parameter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.pictures import pixels
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write
from styletransfer.weights import codebook, deep_compression, mxnet_params, recognise

Parameters = dict[str, NDArray[np.float32]]
Shapes = Mapping[str, tuple[int, ...]]


def load(spec: ModelSpec, path: str | os.PathLike[str] | None = None) -> Parameters:
    """Read the parameters of a network, in its native pixel convention.

    Raises UserError if the file is missing, damaged or for another network.

    Parameters
    ----------
    path : path, optional
        A file in a supported format; by default, the network's own weights.
    """
    return _load(spec, path, spec.parameters)


def load_whole(spec: ModelSpec, path: str | os.PathLike[str] | None = None) -> Parameters:
    """Read the parameters of a network and those of its read-outs, under the names that :func:`save` is to keep.

    Parameters and errors are those of :func:`load`.
    """
    return _load(spec, path, {**spec.parameters, **spec.read_out_parameters})


def _load(spec: ModelSpec, path: str | os.PathLike[str] | None, wanted: Shapes) -> Parameters:
    file = find(spec, path)
    return check(spec, _read(file, lambda *_: recognise.read_any(file, spec)), file, wanted)


def find(spec: ModelSpec, path: str | os.PathLike[str] | None = None) -> Path:
    """The file of the parameters of a network; parameters are those of :func:`load`.

    Raises UserError if there is none.
    """
    file = Path(path) if path is not None else spec.weights_path
    if not file.is_file():
        hint = f": {spec.how_to_get}" if path is None else ""
        raise UserError(f"weights of {spec.name} not found at {file}{hint}")
    return file


def _read(file: Path, reader: Callable[[BinaryIO, int], dict[str, NDArray]]) -> dict[str, NDArray]:
    """Call `reader` with the open file and its size; its errors become a UserError that names the file."""
    try:
        with file.open("rb") as stream:
            return reader(stream, os.fstat(stream.fileno()).st_size)
    except OSError as error:
        raise UserError(f"cannot read weights {file}: {reason_of(error)}") from None
    except ValueError as error:
        raise UserError(f"cannot read weights {file}: {error}") from None


def check(spec: ModelSpec, arrays: dict[str, NDArray], file: Path, wanted: Shapes | None = None) -> Parameters:
    """Check the names and shapes of `arrays`; return them as float32 in the order of the SPEC.

    `wanted` gives the names and shapes to return; by default, those of the parameters of the network.

    Raises UserError if a parameter is missing, unknown, of the wrong shape or not finite.
    """
    known = {*spec.parameters, *spec.read_out_parameters}
    for name in arrays:
        if name not in known and not name.startswith(spec.ignored_prefixes):
            raise UserError(f"weights {file}: {name} is not a parameter of {spec.name}")
    checked: Parameters = {}
    for name, shape in (spec.parameters if wanted is None else wanted).items():
        if name not in arrays:
            raise UserError(f"weights {file}: {name} of {spec.name} is missing")
        array = arrays[name]
        if array.shape != shape:
            raise UserError(f"weights {file}: {name} has shape {array.shape}, expected {shape}")
        if array.dtype.kind != "f":
            raise UserError(f"weights {file}: {name} has dtype {array.dtype}, expected floating point")
        with np.errstate(over="ignore", invalid="ignore"):  # overflow gives infinity, which is rejected below
            checked[name] = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(checked[name]).all():
            raise UserError(f"weights {file}: {name} contains values that are not finite in float32")
    return checked


def load_deep_compression(spec: ModelSpec, path: str | os.PathLike[str]) -> Parameters:
    """Read the Deep Compression file of SqueezeNet.

    Raises UserError if the file is missing or damaged.
    """
    file = Path(path)
    return check(spec, _read(file, lambda stream, size: deep_compression.read(stream, size, spec.parameters)), file)


def save(path: str | os.PathLike[str], parameters: Parameters) -> None:
    """Write parameters as an MXNet `.params` file, whole or not at all; kernels of few distinct values in 8 bits."""
    with atomic_write(path) as stream:
        mxnet_params.write(stream, codebook.encode(parameters))


def parameters_for(spec: ModelSpec, parameters: Parameters, space: str) -> Parameters:
    """A network's native parameters with the first convolution adapted to images in the pixel space `space`."""
    weight, bias = list(spec.parameters)[:2]
    adapted = pixels.adapt_first_layer(parameters[weight], parameters[bias], spec.pixels, space)
    return {**parameters, **dict(zip((weight, bias), adapted))}


def random(spec: ModelSpec, seed: int) -> Parameters:
    """Random He initialisation (He et al. 2015: variance 2 / fan-in), biases zero; for tests and benchmarks."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))).astype(np.float32)
        if len(shape) > 1
        else np.zeros(shape, np.float32)
        for name, shape in spec.parameters.items()
    }


def load_plain(path: Path) -> Parameters:
    """Read the arrays of a `.params` file, of whichever network."""
    return {name: values.astype(np.float32) for name, values in _read(path, mxnet_params.read).items()}
