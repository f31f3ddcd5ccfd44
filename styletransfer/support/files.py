"""Atomic writes: a file is written under a temporary name in the same folder and then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# The numbers of errors that the next file would meet too.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_UNFINISHED = ".unfinished"
_CHUNK = 1 << 20  # bytes
_LONGEST_PREFIX = 100  # bytes of a name that are part of the temporary one; file systems take 143 to 255 in all


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], keep_as: Path | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file for writing that replaces `path` when the block ends without an exception.

    A symbolic link is written through, unless the previous file is kept.

    Raises OSError if the folder is not writable, the disk is full, or `path` is a device or the like; it names
    `path`. The temporary file is removed.

    Parameters
    ----------
    keep_as : Path, optional
        Where to keep the previous file, on the same file system.
    """
    named = path = Path(path)
    temporary = None
    try:
        path = _to_replace(named) if keep_as is None else named
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
            error.filename, error.filename2 = str(named), None  # the name the user knows
        raise


def _to_replace(path: Path) -> Path:
    """The file that a path stands for, through symbolic links, whether it exists or not."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(errno.EINVAL, "a pipe or a device, expected a file")
    return target


def _unfinished(path: Path) -> Path:
    """A new, empty file in the folder of `path`."""
    short = os.fsencode(path.name)[:_LONGEST_PREFIX].decode(errors="ignore")
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{short}.", suffix=_UNFINISHED)
    os.close(descriptor)
    return Path(name)


def remove(path: Path) -> None:
    """Remove a file that :func:`atomic_write` wrote; of a symbolic link, what it points to."""
    Path(os.path.realpath(path)).unlink(missing_ok=True)


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
