"""The check of every command before it writes: it may replace only its own files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from styletransfer.support.errors import UserError


def check(
    outputs: Iterable[Path],
    inputs: Mapping[str, Path],
    force: bool,
    is_ours: Callable[[Path], bool] = lambda path: False,
    hint: str = "name another, or add --force",
) -> None:
    """Check that a command may write its outputs.

    Raises UserError if it may not; nothing has been written.

    Parameters
    ----------
    outputs : iterable of Path
    inputs : dict of Path
        The files that the command reads, by the options or keys that name them. They are never overwritten, by
        whichever path or link an output leads to them.
    force : bool
        Whether other files may be overwritten that the command has not written itself.
    is_ours : callable
        Whether the command has written a file itself.
    hint : str
        The advice where only `force` is missing.
    """
    read = {}
    for key, path in inputs.items():
        with contextlib.suppress(OSError):
            facts = path.stat()
            read[facts.st_dev, facts.st_ino] = key
    for path in outputs:
        try:
            facts = path.stat()
        except OSError:  # it does not exist, or writing it will tell
            continue
        name = read.get((facts.st_dev, facts.st_ino))
        if name is not None:
            raise UserError(f"{path} is read by this command ({name}) and would be overwritten; name another output")
        if not (force or path.is_dir() or is_ours(path)):
            raise UserError(f"{path} exists, and was not written by this command; {hint}")
