"""Signals that ask a session to end: it ends after the current step, when its state is consistent."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Collection, Iterator
from threading import Event
from typing import Any

LOGGER = logging.getLogger(__name__)
COMMAND = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the signals that the command handles


@contextlib.contextmanager
def setting(stopped: Event, numbers: Collection[int] = COMMAND) -> Iterator[None]:
    """Set an event at the first signal that asks to end; a second one has its previous effect."""
    before: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        stopped.set()
        for other, handler in before.items():
            signal.signal(other, handler)
        LOGGER.info("stopping as soon as possible; a second signal ends the run at once")

    for number in map(int, numbers):
        before[number] = signal.signal(number, receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def keyboard() -> Collection[int]:
    """SIGINT, if it raises KeyboardInterrupt in this thread; otherwise nothing."""
    here = threading.current_thread() is threading.main_thread()
    raises = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return (signal.SIGINT,) if raises else ()
