"""Marks of the pictures and videos that commands make: their kind, noted where files name the software.

They distinguish results from photographs, and the results of one command from those of another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from styletransfer.pictures.formats import JPEG, TIFF, VIDEO_SUFFIXES

# Kinds of results.
RESULT, STYLISED, PLOT, COMPARISON, CONTACT, FILTER, JUDGED = (
    "result", "stylised", "plot", "comparison", "contact sheet", "filter", "judged",
)  # fmt: skip
VIDEO_KEY = "comment"  # in the metadata of a video


def text(kind: str) -> str:
    """The mark of a kind of results, as it is written."""
    return f"styletransfer: {kind}"


def tags(suffix: str, kind: str) -> dict[str, Any]:
    """The arguments with which Pillow writes a mark into JPEG, WebP and TIFF files; a PNG has it as a text."""
    if not kind:
        return {}
    if suffix in JPEG:
        return {"comment": text(kind)}
    if suffix == ".webp":
        return {"xmp": f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><!-- {text(kind)} --></x:xmpmeta>".encode()}
    return {}


def png_texts(kind: str, others: Mapping[str, str] | None = None) -> PngInfo:
    """The texts of a PNG: its mark, and others by their keywords."""
    chunks = PngInfo()
    for key, value in {**({"Software": text(kind)} if kind else {}), **(others or {})}.items():
        chunks.add_itxt(key, value)
    return chunks


def read(path: Path) -> str:
    """Read the kind of results of a file; empty if no command has made it, or it cannot be read."""
    if not path.is_file():  # a pipe might block
        return ""
    try:
        said = _of_a_video(path) if path.suffix.lower() in VIDEO_SUFFIXES else _of_a_picture(path)
    except Exception:  # decoders may raise any exception on a damaged file
        return ""
    match = re.search(r"styletransfer: ([a-z ]+[a-z])", said)
    return match[1] if match else ""


def _of_a_picture(path: Path) -> str:
    if path.suffix.lower() in TIFF:
        import tifffile

        with tifffile.TiffFile(path) as file:
            return str(file.pages.first.tags.valueof("Software", default=""))
    with Image.open(path) as image:
        said = [image.info.get(key, b"") for key in ("Software", "comment", "xmp")]
    return " ".join(os.fsdecode(each) for each in said if isinstance(each, (str, bytes)))


def _of_a_video(path: Path) -> str:
    import av

    with av.open(f"file:{path}") as container:
        return container.metadata.get(VIDEO_KEY, "")
