"""Neural style transfer by optimisation (Gatys et al. 2015), with MXNet or PyTorch.

From Python::

    from styletransfer import stylize, transfer

    transfer("photo.jpg", "painting.jpg", size=512).image.save("picture.png")

    stylize("photo.jpg", "painting.jpg").save("at_once.png")  # in one pass, without optimisation
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from styletransfer.support.project import PROJECT_FOLDER, VERSION

if TYPE_CHECKING:
    from styletransfer.api import (
        Diverged,
        Result,
        Step,
        Stopped,
        StyleTransferError,
        UserError,
        steps,
        stylize,
        transfer,
    )

__all__ = ["Diverged", "Result", "Step", "Stopped", "StyleTransferError", "UserError", "steps", "stylize", "transfer"]

__version__ = VERSION

# The networks, `models`, are in the project folder, which is inside the package if that is installed.
if str(PROJECT_FOLDER) not in sys.path:
    sys.path.insert(0, str(PROJECT_FOLDER))


def __getattr__(name: str) -> Any:
    """Import the API on first use of one of its names; ``--help`` does not need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from styletransfer import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
