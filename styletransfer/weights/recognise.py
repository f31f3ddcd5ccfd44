"""Recognise the published format of a weights file by its content, and read a file of any format."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights import (
    codebook,
    collaborative,
    keras_h5,
    matconvnet,
    mxnet_params,
    npz,
    pastiche,
    pytorch,
    torchvision_pth,
)

_HDF5 = b"\x89HDF\r\n\x1a\n"


def _read_mxnet(path: Path, spec: ModelSpec) -> dict[str, NDArray]:
    with path.open("rb") as stream:
        return codebook.decode(mxnet_params.read(stream, path.stat().st_size))


def _read_pytorch(path: Path, spec: ModelSpec) -> dict[str, NDArray]:
    tensors = pytorch.read(path)
    if pastiche.is_quantized(tensors):
        return pastiche.convert(tensors, spec)
    publication = collaborative if collaborative.is_encoder(tensors) else torchvision_pth
    return publication.convert(tensors, spec)


_READERS: dict[str, Callable[[Path, ModelSpec], dict[str, NDArray]]] = {
    "mxnet": _read_mxnet,
    "keras": keras_h5.read,
    "matconvnet": matconvnet.read,
    "pytorch": _read_pytorch,
    "npz": npz.read,
}


def recognise(path: Path) -> str:
    """The format of a file: ``mxnet``, ``keras``, ``matconvnet``, ``pytorch`` or ``npz``.

    Raises ValueError if the file is in none of these formats. Raises OSError if the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(1024)
    if head.startswith(mxnet_params.MAGIC):
        return "mxnet"
    if head.startswith(_HDF5):
        return "keras"
    if head.startswith(b"MATLAB 7.3") or head[512:].startswith(_HDF5):
        raise ValueError("it is a MATLAB 7.3 file: save it in MATLAB with the option -v7")
    if head.startswith(b"MATLAB 5.0") and head[126:128] in (b"IM", b"MI"):
        return "matconvnet"
    if pytorch.MAGIC in head[:32]:
        return "pytorch"
    if head.startswith(b"PK\x03\x04"):
        return _recognise_zip(path)
    if head.lstrip()[:1] == b"<":
        raise ValueError("it is a web page, not weights: download it again")
    raise ValueError("it is not an MXNet .params, Keras .h5, MatConvNet .mat, PyTorch .pth or TensorFlow .npz file")


def _recognise_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except npz.ZIP_DAMAGE as error:
        raise ValueError(f"it is a damaged ZIP archive ({error})") from None
    if any(name.endswith("/data.pkl") for name in names):
        return "pytorch"
    if any(name.endswith(".npy") for name in names):
        return "npz"
    raise ValueError("it is a ZIP archive without weights")


def read_any(path: Path, spec: ModelSpec) -> dict[str, NDArray]:
    """Read a file of any format, with the names and in the pixel convention of the SPEC.

    Names and shapes are not all compared with the SPEC here: `styletransfer.weights.check` does that.

    Raises ValueError if the file is in no known format, is damaged, or is for another network. Raises OSError if
    the file cannot be read.
    """
    return _READERS[recognise(path)](path, spec)
