"""Files that appear whole or not at all: written beside their place and renamed into it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_UNFINISHED = ".unfinished"
_PIECE = 1 << 20  # bytes


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str], keep_as: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends, and only if it ends well.

    Parameters
    ----------
    path : path
    keep_as : Path, optional
        Where the file that was there before goes, on the same file system.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full; it names `path`. Nothing is left behind.
    """
    path = Path(path)
    temporary = None
    try:
        temporary = _unfinished(path)
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if keep_as is None or not path.exists():
            temporary.replace(path)
        else:
            _replace_keeping(path, temporary, keep_as)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and str(error.filename or _UNFINISHED).endswith(_UNFINISHED):
            error.filename, error.filename2 = str(path), None  # the name that people know
        raise


def _unfinished(path: Path) -> Path:
    """A new, empty file beside `path`."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
    os.close(descriptor)
    return Path(name)


def _replace_keeping(path: Path, new: Path, keep_as: Path) -> None:
    """Put `new` in the place of `path` and what was there in that of `keep_as`; `path` is a whole file throughout.

    Should the process be killed in between, `keep_as` is what it was before, in case what was in `path` is damaged.
    """
    old = new.with_name(f".{keep_as.name}{new.name}")
    try:
        os.link(path, old)
    except OSError:  # a file system without hard links
        path.replace(keep_as)
        new.replace(path)
        return
    try:
        new.replace(path)
        old.replace(keep_as)
    finally:
        old.unlink(missing_ok=True)


def hashed(path: Path, state: hashlib._Hash) -> str:
    """The hexadecimal digits of a hash with the contents of a file added, which may be larger than the memory."""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            state.update(piece)
    return state.hexdigest()


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in a folder, if it exists."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)
