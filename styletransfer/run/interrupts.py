"""Signals that ask a run to end: it does so behind the present step, whose state is whole."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Collection, Iterator
from typing import Any

LOGGER = logging.getLogger(__name__)
COMMAND = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # those that end the command


@contextlib.contextmanager
def collected(numbers: Collection[int], received: list[int]) -> Iterator[None]:
    """Append signals to a list instead of acting on them; a second one acts at once."""
    before: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        received.append(number)
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
    """The signal of Ctrl-C, where it would raise KeyboardInterrupt in this thread; otherwise none."""
    here = threading.current_thread() is threading.main_thread()
    raises = here and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return (signal.SIGINT,) if raises else ()
