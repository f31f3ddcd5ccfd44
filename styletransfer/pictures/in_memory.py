"""Pictures in memory: PIL images, NumPy arrays, and objects that convert to arrays."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styletransfer.pictures import images
from styletransfer.pictures.images import Picture
from styletransfer.support.errors import UserError, reason_of

PictureInMemory = Any  # a PIL image, or what `numpy.asarray` takes

_ROUNDING = 1e-4  # how far floats may be outside 0..1, for example after a resize by another program
_WHITE_16_BIT = 65535.0


def is_picture(value: Any) -> bool:
    """Return whether a value is a PIL image, or an array of at least two dimensions."""
    if isinstance(value, Image.Image):
        return True
    return hasattr(value, "__array__") and np.ndim(value) > 1


def name_for(key: str) -> str:
    """The name in a config of a picture in memory that is the value of `key`."""
    return f"<{key}>"


def is_name(name: str) -> bool:
    """Return whether a name has the form of :func:`name_for`."""
    return name.startswith("<") and name.endswith(">")


def size(picture: PictureInMemory, name: str) -> tuple[int, int]:
    """(height, width) of the picture that :func:`read` would return; `name` is for error messages.

    Raises UserError if it is damaged, or an array of the wrong shape or type.
    """
    if isinstance(picture, Image.Image):
        _load(picture, name)
        return images.oriented_size(picture)
    height, width, *_ = _checked(picture, name).shape
    return height, width


def read(picture: PictureInMemory, name: str, background: str = "white") -> Picture:
    """Convert to (H, W, 3), RGB, 0..1, exactly as :func:`~styletransfer.pictures.images.read` does with a file.

    Raises UserError if it is damaged, an array of the wrong shape or type, or has values outside its range.

    Parameters
    ----------
    picture : PIL image or array
        A PIL image of any mode, or an array (H, W, 3), (H, W, 4) with opacity, (H, W) or (H, W, 1) in grey, or
        (H, W, 2) in grey with opacity: uint8 (0..255), uint16 (0..65535), bool or float (0..1).
    name : str
        For error messages.
    background : str
        On which transparency is composited: white or black.
    """
    if not isinstance(picture, Image.Image):
        array = _checked(picture, name)
        if array.dtype != np.uint8:
            return _from_numbers(array, name, background)
        picture = Image.fromarray(array)
    try:
        return images.from_pillow(picture, name, background)
    except Exception as error:  # decoders may raise any exception on a damaged file
        raise UserError(f"picture {name}: cannot be read: {reason_of(error)}") from None


def checksum(picture: PictureInMemory) -> str:
    """The sha256 of the values, their shape and their type."""
    if isinstance(picture, Image.Image):
        state = hashlib.sha256(repr((picture.mode, picture.size)).encode())
        state.update(picture.tobytes())
    else:
        array = np.asarray(picture)
        state = hashlib.sha256(repr((array.dtype.str, array.shape)).encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def _load(image: Image.Image, name: str) -> None:
    """Read the file of an image, which Pillow does only when needed."""
    try:
        image.load()
    except Exception as error:  # decoders may raise any exception on a damaged file
        raise UserError(f"picture {name}: cannot be read: {reason_of(error)}") from None


def _checked(picture: PictureInMemory, name: str) -> NDArray:
    """An array (H, W) or (H, W, 2..4) of uint8, uint16 or float."""
    try:
        array = np.asarray(picture)
    except Exception as error:  # for example of a tensor on a GPU
        raise UserError(f"picture {name}: cannot be read: {reason_of(error)}") from None
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and not 2 <= array.shape[2] <= 4):
        channels_first = array.ndim == 3 and array.shape[0] in (3, 4)
        hint = "; of channels first, give array.transpose(1, 2, 0)" if channels_first else ""
        raise UserError(f"picture {name}: an array of shape {array.shape}: expected (height, width, 3){hint}")
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"picture {name}: an array of {array.dtype}: expected uint8 (0..255) or float (0..1)")
    return array


def _from_numbers(array: NDArray, name: str, background: str) -> Picture:
    """Convert an array of uint16 or float."""
    values = np.asarray(array, dtype=np.float32)
    if array.dtype == np.uint16:
        values = values / np.float32(_WHITE_16_BIT)
    low, high = float(values.min()), float(values.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        hint = "; divide it by 255, or convert it to uint8" if low >= -_ROUNDING and 2 < high <= 255.5 else ""
        raise UserError(f"picture {name}: an array of floats from {low:g} to {high:g}: expected 0..1{hint}")
    values = np.clip(values, 0, 1)
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[2] in (2, 4):
        values, opacity = values[..., :-1], values[..., -1:]
        values = values * opacity + (background == "white") * (1 - opacity)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
