"""How commands end: errors are reported as one line and an exit status."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from models.threads import InvalidSetting
from styletransfer.support.commands import OUT_OF_MEMORY, as_called, one_line
from styletransfer.support.errors import Interrupted, StyleTransferError, UserError, reason_of


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
        from styletransfer.engines import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        _say(f"error: {OUT_OF_MEMORY}")
        return 2


def _show_any_name() -> None:
    """Let standard output show what it cannot encode, such as names of files in another encoding, with backslashes."""
    with contextlib.suppress(AttributeError, OSError):  # it is closed, or not a text file
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _say(line: str) -> None:
    """Write a line to standard error, if it is open and writable."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)
