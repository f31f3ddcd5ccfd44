"""Colour profiles (ICC): pictures are converted to sRGB when they are read, and tagged as sRGB when written."""

from __future__ import annotations

import io
import logging
import os
import struct

import numpy as np
from PIL import Image, ImageCms

LOGGER = logging.getLogger(__name__)
_DATE = slice(24, 36)  # of creation, in the header of a profile
_PROBE = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), axis=-1).reshape(-1, 18, 3)


def srgb() -> bytes:
    """The profile with which pictures are tagged, the same at any time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def to_srgb(image: Image.Image, profile: bytes | None, name: str | os.PathLike[str] | None) -> Image.Image:
    """Convert a picture without transparency to sRGB, mode RGB.

    A profile that is not usable is ignored with a warning, as browsers do: greys and RGB are taken as sRGB, CMYK is
    converted with Pillow's simple formula. Values are left alone where the profile is that of sRGB but for rounding.

    Parameters
    ----------
    image : PIL image
        In a mode that Pillow converts to RGB.
    profile : bytes, or None
        Its ICC profile.
    name : str or path, or None
        Its file, or another name, for the warning; None: no warning.
    """
    plain = image.convert("RGB")
    if not profile or profile == srgb():
        return plain
    mode = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "RGB" and _changes_nothing(transform):
            return plain
        converted = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        converted = None
    if converted is None and name is not None:
        LOGGER.warning("%s: its colour profile is not usable and is ignored", name)
    return converted or plain


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether no colour of RGB is moved by more than one grey level."""
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(_PROBE), transform) or Image.new("RGB", (1, 1)))
    return moved.shape == _PROBE.shape and int(np.abs(moved.astype(int) - _PROBE).max()) <= 1
