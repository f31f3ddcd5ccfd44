"""Optional outputs: whatever fails in them is a warning, so that they never cost the main one."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from styletransfer.support.errors import reason_of

LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def optional(what: object, problem: str = "not written") -> Iterator[None]:
    """Make any error in the block a warning: ``curve.png: not drawn: Disk quota exceeded``."""
    try:
        yield
    except Exception as error:
        LOGGER.warning("%s: %s: %s", what, problem, reason_of(error))


class UntilItFails:
    """Stands for an object whose methods are called only for what they show, such as a progress bar.

    The first call that fails is a warning, and later ones do nothing, except ``close``.

    Parameters
    ----------
    what : str
        For the warning.
    create : callable
        Creates the object.
    """

    def __init__(self, what: str, create: Callable[[], Any]) -> None:
        self._what, self._object, self._works = what, None, False
        with optional(what, "not shown"):
            self._object, self._works = create(), True

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            if self._works or (name == "close" and self._object is not None):
                works, self._works = self._works, False
                with optional(self._what, "not shown"):
                    getattr(self._object, name)(*arguments)
                    self._works = works

        return call
