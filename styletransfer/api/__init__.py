"""The library as it is called from Python: :func:`transfer`, :func:`steps`, and what they return and raise."""

from styletransfer.api.arguments import PictureLike, Styles
from styletransfer.api.calls import steps, transfer
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
    "transfer",
]
