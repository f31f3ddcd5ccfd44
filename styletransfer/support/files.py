"""Atomic writes: a file is written under a temporary name in the same folder and then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_UNFINISHED = ".unfinished"
_CHUNK = 1 << 20  # bytes


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], keep_as: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file for writing that replaces `path` when the block ends without an exception.

    Parameters
    ----------
    path : path
    keep_as : Path, optional
        Where to keep the previous file, on the same file system.

    Raises
    ------
    OSError
        If the folder is not writable or the disk is full; it names `path`. The temporary file is removed.
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
            error.filename, error.filename2 = str(path), None  # the name the user knows
        raise


def _unfinished(path: Path) -> Path:
    """A new, empty file in the folder of `path`."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
    os.close(descriptor)
    return Path(name)


def _replace_keeping(path: Path, new: Path, keep_as: Path) -> None:
    """Move `path` to `keep_as` and `new` to `path`; `path` is a complete file throughout.

    If the process is killed in between, `keep_as` still has its previous contents.
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
    """Add the contents of a file, which may be larger than memory, to a hash; the hexadecimal digest."""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def remove_unfinished(folder: Path) -> None:
    """Remove temporary files that a killed process left in a folder, if the folder exists."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)
