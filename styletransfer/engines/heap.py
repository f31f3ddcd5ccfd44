"""The heap of the C library, from which both engines take their arrays on a processor."""

from __future__ import annotations

import contextlib
import ctypes


def trim() -> None:
    """Return freed memory to the system, where the C library supports it; fragmentation would keep it otherwise."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
