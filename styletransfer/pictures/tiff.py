"""TIFF files that Pillow does not know or would show wrongly, read with tifffile.

These are floating-point colours, 16 bits in planes, 16 bits of grey in which 0 is white, and such grey with opacity.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

_WHITE_IS_0, _RGB, _CMYK = 0, 2, 5
_COLOURS = {_WHITE_IS_0: 1, 1: 1, _RGB: 3, _CMYK: 4}  # by photometric interpretation
_PREMULTIPLIED, _OPACITY = 1, 2  # the kinds of an extra sample
_IN_PLANES = 2
_ROUNDING = 1e-4  # how far floating-point numbers may be outside 0..1


def is_tiff(path: Path) -> bool:
    """Return whether a file begins like a TIFF."""
    with path.open("rb") as stream:
        return stream.read(4) in TiffImagePlugin.PREFIXES


def is_misread(image: TiffImageFile) -> bool:
    """Return whether Pillow would decode a TIFF wrongly, or not at all."""
    tags = image.tag_v2
    is_deep = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) > 8
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_0:
        return is_deep
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) != _IN_PLANES or len(image.getbands()) == 1:
        return False
    return is_deep or image.mode == "LA" or _PREMULTIPLIED in tags.get(TiffImagePlugin.EXTRASAMPLES, ())


def read(path: Path) -> Image.Image:
    """Read the first picture of a file, in a mode that Pillow knows: colours with 8 bits, grey with 16.

    Raises an exception of any type if it is damaged, or of a kind that tifffile does not know either.
    """
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what it then raises
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        if page.imagewidth * page.imagelength > (Image.MAX_IMAGE_PIXELS or np.inf):
            raise Image.DecompressionBombError
        photometric, kind = int(page.photometric), f"{page.bitspersample} bits"
        if photometric not in _COLOURS or page.axes not in ("YX", "YXS", "SYX"):
            raise ValueError(f"a TIFF of an unknown kind: {kind}, {page.photometric.name}, axes {page.axes}")
        try:
            values = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise ValueError(
                f"a TIFF of {kind} with the compression {page.compression.name}; expected none or ZIP (deflate)"
            ) from None
        if page.axes == "SYX":
            values = np.moveaxis(values, 0, -1)
        image = _image(_shares(values, page.bitspersample), photometric, page.extrasamples)
        if page.iccprofile:
            image.info["icc_profile"] = page.iccprofile
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = page.tags.valueof(ExifTags.Base.Orientation, default=1)
        image.info["exif"] = exif.tobytes()
    return image


def _shares(values: NDArray, bits: int) -> NDArray[np.float64]:
    """The values as shares of white, 0..1."""
    shares = np.asarray(values, dtype=np.float64)
    if values.dtype.kind != "f":
        shares = shares / (2**bits - 1)
    if not (shares.min() >= -_ROUNDING and shares.max() <= 1 + _ROUNDING):
        raise ValueError(f"values from {values.min():g} to {values.max():g}; expected 0..1")
    return np.clip(shares, 0, 1)


def _image(shares: NDArray[np.float64], photometric: int, extra: tuple[int, ...]) -> Image.Image:
    shares = shares if shares.ndim == 3 else shares[..., None]
    count = _COLOURS[photometric]
    colours = shares[..., :count]
    opacity = shares[..., count : count + 1] if extra and extra[0] in (_PREMULTIPLIED, _OPACITY) else None
    if opacity is not None and extra[0] == _PREMULTIPLIED:
        colours = np.minimum(colours, opacity) / np.maximum(opacity, 1e-9)
    if photometric == _WHITE_IS_0:
        colours = 1 - colours
    if opacity is None and count == 1:
        return Image.fromarray(np.rint(colours[..., 0] * 65535).astype(np.uint16))
    if opacity is not None and photometric == _CMYK:
        raise ValueError("a TIFF of CMYK with opacity")
    samples = colours if opacity is None else np.concatenate([colours, opacity], axis=2)
    mode = "CMYK" if photometric == _CMYK else {2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    whole = np.rint(samples * 255).astype(np.uint8)
    return Image.merge(mode, [Image.fromarray(band) for band in np.moveaxis(whole, 2, 0)])
