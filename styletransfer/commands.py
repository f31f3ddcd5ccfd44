"""What all commands share: how errors become one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from styletransfer.errors import StyleTransferError


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit status; an error that we know is one line on standard error."""
    try:
        status = command()
        sys.stdout.flush()
        return status
    except StyleTransferError as error:
        print(f"error: {_one_line(str(error))}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # nobody reads on; Python would say so once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {_one_line(where + (error.strerror or str(error)))}", file=sys.stderr)
        return 2


def _one_line(text: str) -> str:
    """Without line breaks and other control characters, which file names may hold."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
