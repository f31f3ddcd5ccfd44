"""The output folder of a run: whether it may be used, its lock, its status, and the removal of old results."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from styletransfer import config as configs
from styletransfer.pictures.formats import FORMATS
from styletransfer.session import checkpoints
from styletransfer.support import overwriting
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write, remove, remove_unfinished

# The result, of which a folder holds one at most.
PICTURES = tuple(f"image.{kind}" for kind in FORMATS)
CONFIG = "config.yaml"
STATUS = "run.status"  # one word, so that job files in bash can read it too:
UNFINISHED, DONE, DIVERGED = "unfinished", "done", "diverged"
STEPS = "steps"
_LAST = (*PICTURES, "curve.png")  # the files that a run writes at its end
_STATES = (checkpoints.NAME, checkpoints.PREVIOUS)
_FILES = (*_LAST, *_STATES, "curve.csv", CONFIG, STATUS)  # in order of removal: no checkpoint remains without its curve
_RESULTS = (*_FILES, f"{STEPS}/[0-9]*.jpg")
_LOCK = ".lock"


def finished_picture(folder: Path) -> Path | None:
    """The result in a folder, of whichever format; None if there is none."""
    return next((folder / name for name in PICTURES if (folder / name).exists()), None)


def check(folder: Path, force: bool, resume: bool, more: Sequence[str] = ()) -> None:
    """Check whether a run may use a folder.

    Raises UserError if it is a file, cannot be read, or contains results that would be lost.

    Parameters
    ----------
    force : bool
        Whether results may be overwritten, whoever has written them.
    resume : bool
        Whether the run that is there is resumed.
    more : sequence of str
        The names of files that it writes besides those of every run.
    """
    with _one_line(folder, "read"):
        _check(folder, force, resume, more)


@contextlib.contextmanager
def _one_line(folder: Path, what: str) -> Iterator[None]:
    """Give errors of the system that one line, with what the folder cannot be."""
    try:
        yield
    except OSError as error:
        raise UserError(f"output.folder: {folder} cannot be {what}: {reason_of(error)}") from None


def _check(folder: Path, force: bool, resume: bool, more: Sequence[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output.folder: {folder} is a file; name a folder")
    for name in _FILES:
        if (folder / name).is_dir():
            raise UserError(f"output.folder: {folder / name} is a folder, expected a file or nothing; name another")
    if (folder / STEPS).exists() and not (folder / STEPS).is_dir():
        raise UserError(f"output.folder: {folder / STEPS} is a file, expected a folder or nothing; name another")
    if resume and not checkpoints.exists(folder):
        raise UserError(f"--resume: there is no checkpoint in {folder}")
    if finished_picture(folder) and not force:
        hint = "name another output.folder or add --force"
        raise UserError(f"output.folder: {folder} contains a finished picture; {hint}")
    if checkpoints.exists(folder) and not (resume or force):
        hint = "add --resume to continue it, or --force to start over"
        raise UserError(f"output.folder: {folder} contains an unfinished run; {hint}")
    check_results(folder, force, resume, more)


def check_results(folder: Path, force: bool, resume: bool = False, more: Sequence[str] = ()) -> None:
    """Check that what a run would overwrite or remove in a folder was written by an earlier run.

    The parameters are those of :func:`check`.

    Raises UserError otherwise.
    """
    of_a_run = resume or configs.is_saved(folder / CONFIG) or read_status(folder) in (UNFINISHED, DONE, DIVERGED)
    overwriting.check(
        _results(folder, more),
        {},
        force,
        lambda path: configs.is_saved(path) if path.name == CONFIG else of_a_run,
        "name another output.folder, or add --force",
    )


def _results(folder: Path, more: Sequence[str] = ()) -> list[Path]:
    """List the files that a run would overwrite or remove."""
    return [path for pattern in (*_RESULTS, *more) for path in folder.glob(pattern)]


def check_inputs(folder: Path, inputs: Mapping[str, Path], more: Sequence[str] = ()) -> None:
    """Check that a run would not overwrite or remove files that it needs.

    The config that an earlier run has saved in the folder may be that of this one, which writes it again.

    Raises UserError if one of them is a result of an earlier run in the folder, or in the place of one.

    Parameters
    ----------
    inputs : dict of Path
        The input files of the run, by the options or config keys that name them.
    more : sequence of str
        As for :func:`check`.
    """
    with contextlib.suppress(OSError):  # :func:`check` tells
        results = [path for path in _results(folder, more) if not (path.name == CONFIG and configs.is_saved(path))]
        overwriting.check(results, inputs, force=True)


def remove_results(folder: Path) -> None:
    """Remove all that a run has written, or would overwrite."""
    for path in _results(folder):
        remove(path)


def write_status(folder: Path, status: str) -> None:
    """Write the status of a run; its final status is written before the picture.

    Parameters
    ----------
    status : str
        `UNFINISHED`, `DONE` or `DIVERGED`.
    """
    with atomic_write(folder / STATUS) as stream:
        stream.write(f"{status}\n".encode())


def mark_step(folder: Path) -> None:
    """Touch the status file, by which others see that steps are being made."""
    with contextlib.suppress(OSError):
        os.utime(folder / STATUS)


def read_status(folder: Path) -> str | None:
    """The word in the status file of a folder; None if there is no such file, as in folders of earlier versions.

    Raises OSError if the folder or the file cannot be read.
    """
    try:
        return (folder / STATUS).read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_done(folder: Path) -> bool:
    """Return whether a folder has the picture of a run that is done, not of one that diverged.

    Raises OSError if the folder cannot be read.
    """
    return read_status(folder) == DONE and finished_picture(folder) is not None


@contextlib.contextmanager
def locked(folder: Path, force: bool, resume: bool) -> Iterator[None]:
    """Create the folder, check that it is writable, and lock it against other runs until the block ends.

    Raises UserError if it is not writable, may not be used, or is in use by another run.

    Parameters
    ----------
    force, resume : bool
        As for :func:`check`, which is called again once the folder is locked.
    """
    with _one_line(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(folder)
    try:
        check(folder, force, resume)
        yield
    finally:
        with contextlib.suppress(OSError):
            # The folder may have been removed, and created again by another run; a file that is not empty is not ours.
            if _is(descriptor, folder / _LOCK) and not os.fstat(descriptor).st_size:
                (folder / _LOCK).unlink()
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Lock the folder; the system releases the lock when the process ends, however it ends."""
    path = folder / _LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                raise UserError(f"output.folder: another run is using {folder}; wait for it or name another") from None
            return descriptor  # a file system without locks
        try:
            if _is(descriptor, path):
                return descriptor
        except FileNotFoundError:  # the run that held the lock has just ended and removed the file
            pass
        os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), path.stat())


def clear(folder: Path, keep: bool) -> None:
    """Remove the results of an earlier run from a locked folder.

    Raises UserError if it cannot be removed.

    Parameters
    ----------
    keep : bool
        Whether that run is resumed. Then only what it wrote at its end is removed, as it is no longer finished.
    """
    with _one_line(folder, "written"):
        for place in (folder, folder / STEPS):
            remove_unfinished(place)
        write_status(folder, UNFINISHED)
        for pattern in _LAST if keep else _RESULTS:
            for path in folder.glob(pattern):
                remove(path)
