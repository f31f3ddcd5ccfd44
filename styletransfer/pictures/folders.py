"""The pictures and videos in a folder."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from styletransfer.pictures import images, marks
from styletransfer.pictures.formats import VIDEO_SUFFIXES
from styletransfer.support.errors import UserError

LOGGER = logging.getLogger(__name__)
_BEGINNING = 16  # bytes by which Pillow recognises formats
_NAMED = 3  # files that are named of those that are skipped


def list_pictures(folder: Path, where: str = "", videos: bool = False) -> list[Path]:
    """List the pictures in a folder by name; skipped files are logged, except hidden ones.

    A picture is known by its suffix, or by its first bytes. What this program has made is skipped, so that the results
    of one command are not the photographs of the next; such files can be named.

    Raises UserError if the folder cannot be read, or has none.

    Parameters
    ----------
    where : str
        The start of error messages, such as ``--content: ``.
    videos : bool
        Whether videos are listed too.
    """
    try:
        inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{where}{folder}: {error.strerror}") from None
    kinds = {path: _kind(path) for path in inside}
    wanted = ("picture", "video") if videos else ("picture",)
    files = [path for path, kind in kinds.items() if kind in wanted]
    skipped = [
        _counted(kind, [path for path in inside if kinds[path] == kind])
        for kind in ("result", "video", "unknown", "folder")
        if kind not in wanted and kind in kinds.values()
    ]
    if not files:
        why = f"; {', '.join(skipped)}" if skipped else ""
        raise UserError(f"{where}{folder}: no {' or '.join(wanted)} in this folder{why}")
    if skipped:
        LOGGER.info("%s: skipped %s", folder, ", ".join(skipped))
    return files


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return "result" if marks.read(path) else "video"
        if path.suffix.lower() in _suffixes() or _begins_like_a_picture(path):
            return "result" if marks.read(path) else "picture"
    return "unknown"


@functools.cache
def _suffixes() -> frozenset[str]:
    """The suffixes that pictures usually have."""
    known = images.formats()
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in known)


def _begins_like_a_picture(path: Path) -> bool:
    """Recognise a picture by its first bytes; not TIFF, as the raw files of many cameras begin like it."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(_BEGINNING)
    except OSError:
        return False
    return any(Image.OPEN[kind][1](beginning) for kind in images.formats() if kind != "TIFF")  # type: ignore[misc]


def _counted(kind: str, paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMED]) + (", ..." if len(paths) > _NAMED else "")
    what = {"unknown": "file"}.get(kind, kind) + ("s" if len(paths) > 1 else "")
    more = {"unknown": " of an unknown format", "result": " of this program"}.get(kind, "")
    return f"{len(paths)} {what}{more} ({names})"
