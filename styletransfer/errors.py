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


def nearest(name: str, valid: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, or the valid names, for an error message."""
    valid = list(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"expected one of: {', '.join(valid)}"
