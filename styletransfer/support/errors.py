"""The ways a run can end other than well, each with its exit status."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StyleTransferError(Exception):
    """A condition that a command reports in one line, without a traceback."""

    status = 1


class UserError(StyleTransferError):
    """The user's input is at fault; the message says what, where, and what was expected."""

    status = 2


class Diverged(StyleTransferError):
    """The optimisation left the finite numbers, or exploded, and could not recover."""

    status = 3


class Interrupted(StyleTransferError):
    """A signal asked the run to end; what there was has been saved."""

    status = 75


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that is most like another, if one is like it at all."""
    found = difflib.get_close_matches(name, list(valid), n=1)
    return found[0] if found else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """``did you mean 'x'?`` or all valid names, for the end of a message."""
    valid = list(valid)
    found = closest(name, valid)
    return f"did you mean {found!r}?" if found else f"expected one of: {', '.join(valid)}"
