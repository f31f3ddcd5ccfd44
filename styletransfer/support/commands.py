"""Common to all commands: errors are reported as one line and an exit status."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable

from models.threads import InvalidSetting
from styletransfer.support.errors import Interrupted, StyleTransferError, UserError, reason_of
from styletransfer.support.project import IS_INSTALLED

# Fragments of the messages of MXNet and oneDNN when an allocation fails, and of PyTorch on a processor.
_OUT_OF_MEMORY = (
    "Failed to allocate",
    "Memory allocation failed",
    "out of memory",
    "bad_alloc",
    "could not execute a primitive",
)
_OUT_OF_MEMORY_IN_PYTORCH = "DefaultCPUAllocator: can't allocate memory"
OUT_OF_MEMORY = "out of memory; use a smaller size, a smaller tile, or tile: auto with memory set below the free memory"


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; expected errors are reported as one line on standard error."""
    _show_any_name()
    try:
        status = command()
        if sys.stdout is not None:  # None if it was closed at startup
            sys.stdout.flush()
        return status
    except StyleTransferError as error:
        said = one_line(as_called(str(error)))
        _say(said if isinstance(error, Interrupted) else f"error: {said}")
        return error.status
    except InvalidSetting as error:
        _say(f"error: {one_line(str(error))}")
        return UserError.status
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:  # the reader is gone; avoid a second message from Python at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {one_line(where + reason_of(error))}")
        return 2
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _say(f"error: {OUT_OF_MEMORY}")
        return 2


def _show_any_name() -> None:
    """Let standard output show what it cannot encode, such as names of files in another encoding, with backslashes."""
    with contextlib.suppress(AttributeError, OSError):  # it is closed, or not a text file
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def as_called(text: str) -> str:
    """A text in which ``python scripts/fetch.py`` reads ``nstyle fetch`` if the package is installed."""
    return re.sub(r"\bpython scripts/(\w+)\.py", r"nstyle \1", text) if IS_INSTALLED else text


def is_out_of_memory(error: Exception) -> bool:
    """Return whether Python, NumPy, MXNet or PyTorch failed to allocate memory, without importing the last two."""
    kind = type(error).__name__
    if kind == "MXNetError":
        return any(words in str(error) for words in _OUT_OF_MEMORY)
    if kind == "RuntimeError":
        return _OUT_OF_MEMORY_IN_PYTORCH in str(error)
    return kind == "OutOfMemoryError" or isinstance(error, MemoryError)


def _say(line: str) -> None:
    """Write a line to standard error, if it is open and writable."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """Replace line breaks and other control characters, which file names may contain."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
