"""What all commands share: how errors become one line and an exit status."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable

from styletransfer.support.errors import StyleTransferError
from styletransfer.support.project import IS_INSTALLED

# What MXNet and oneDNN say of memory that they were not given.
_NO_MEMORY = (
    "Failed to allocate",
    "Memory allocation failed",
    "out of memory",
    "bad_alloc",
    "could not execute a primitive",
)


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an error that we know is one line on standard error."""
    try:
        status = command()
        if sys.stdout is not None:  # as it is where it was closed from the beginning
            sys.stdout.flush()
        return status
    except StyleTransferError as error:
        _say(f"error: {_one_line(as_called(str(error)))}")
        return error.status
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:  # nobody reads on; Python would say so once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {_one_line(where + (error.strerror or str(error)))}")
        return 2
    except Exception as error:
        if not _is_for_want_of_memory(error):
            raise
        _say(
            "error: there is not enough memory; expected a smaller size, a smaller tile, or tile: auto with a memory "
            "below what is free"
        )
        return 2


def as_called(text: str) -> str:
    """A text in which ``python scripts/fetch.py`` reads ``nstyle fetch`` where the package is installed."""
    return re.sub(r"\bpython scripts/(\w+)\.py", r"nstyle \1", text) if IS_INSTALLED else text


def _is_for_want_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy or MXNet was not given the memory it asked for; MXNet is not imported to see."""
    if type(error).__name__ == "MXNetError":
        return any(words in str(error) for words in _NO_MEMORY)
    return isinstance(error, MemoryError)


def _say(line: str) -> None:
    """Write a line to standard error, where there is one that can be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def _one_line(text: str) -> str:
    """Without line breaks and other control characters, which file names may hold."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
