"""The interface for Python: :func:`transfer`, :func:`steps`, :func:`stylize`, their results and exceptions."""

from styletransfer.api.arguments import PictureLike, Styles
from styletransfer.api.calls import steps, transfer
from styletransfer.api.instant import stylize
from styletransfer.api.results import Diverged, Result, Step, Stopped
from styletransfer.support.errors import StyleTransferError, UserError

__all__ = [
    "Diverged",
    "PictureLike",
    "Result",
    "Step",
    "Stopped",
    "StyleTransferError",
    "Styles",
    "UserError",
    "steps",
    "stylize",
    "transfer",
]
