"""Metadata of picture files: the EXIF of a camera, and texts in a PNG."""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngImageFile

from styletransfer.pictures import images
from styletransfer.support.errors import reason_of

LOGGER = logging.getLogger(__name__)

_BASE, _IFD = ExifTags.Base, ExifTags.IFD
# Tags that apply to the result as well: not its orientation, size, resolution and thumbnail.
_KEPT = (
    _BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.DateTime, _BASE.Artist, _BASE.Copyright,
    _BASE.XPTitle, _BASE.XPComment, _BASE.XPAuthor, _BASE.XPKeywords, _BASE.XPSubject,
)  # fmt: skip
# Tags of the Exif IFD that are left out: sizes, and offsets into the original file.
_LEFT_OUT = (_BASE.ExifImageWidth, _BASE.ExifImageHeight, _BASE.MakerNote, _IFD.Interop)
_MOST = 60_000  # bytes; a JPEG holds 65 533


def exif_of(path: str | os.PathLike[str]) -> bytes:
    """The EXIF of a photograph that may be copied into a picture made from it: camera, date, place, author.

    Empty if there is none; EXIF that cannot be read is left out with a warning.
    """
    try:
        with warnings.catch_warnings(), Image.open(path, formats=images.formats()) as image:
            warnings.simplefilter("ignore")
            tags = image.getexif()
            kept = Image.Exif()
            for tag in _KEPT:
                if tag in tags:
                    kept[tag] = tags[tag]
            for folder, left_out in ((_IFD.Exif, _LEFT_OUT), (_IFD.GPSInfo, ())):
                values = {tag: value for tag, value in tags.get_ifd(folder).items() if tag not in left_out}
                if values:
                    kept[folder] = values
            exif = kept.tobytes() if len(kept) else b""
        if len(exif) > _MOST:
            raise ValueError(f"more than {_MOST:,} bytes")
        return exif
    except Exception as error:  # decoders may raise any exception on a damaged file
        LOGGER.warning("%s: its EXIF is not copied: %s", Path(path), reason_of(error))
        return b""


def png_text(content: bytes, key: str) -> str | None:
    """The text that a PNG has under a key, before its pixels; of the file only what comes before them is needed.

    Raises ValueError if it is damaged, or a text in it is too large: more than a megabyte, unpacked.
    """
    try:
        text = PngImageFile(io.BytesIO(content)).info.get(key)
    except Exception as error:  # decoders may raise any exception on a damaged file
        raise ValueError(reason_of(error)) from None
    return None if text is None else str(text)
