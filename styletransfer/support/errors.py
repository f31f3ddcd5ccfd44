"""The ways a run can end other than successfully, each with its exit status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StyleTransferError(Exception):
    """A condition that a command reports in one line, without a traceback."""

    status = 1


class UserError(StyleTransferError):
    """Invalid input; the message says what is wrong, where, and what was expected."""

    status = 2


class Diverged(StyleTransferError):
    """The loss became non-finite or exploded, and the run could not recover."""

    status = 3


class Interrupted(StyleTransferError):
    """A signal asked the run to stop; its state has been saved."""

    status = 75


def reason_of(error: BaseException) -> str:
    """The message of an error of the system or of any library, in one line."""
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    return str(said) or type(error).__name__


def system_line(error: OSError) -> str:
    """An error of the system with the file that it is about, in one line."""
    return f"{error.filename or 'the system'}: {reason_of(error)}"


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name most similar to `name`, or None if none is similar."""
    matches = difflib.get_close_matches(name, list(valid), n=1)
    return matches[0] if matches else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """``did you mean 'x'?`` or all valid names, for the end of a message."""
    valid = list(valid)
    match = closest(name, valid)
    return f"did you mean {match!r}?" if match else f"expected one of: {', '.join(valid)}"
