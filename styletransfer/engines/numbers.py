"""Numbers that come from a device together: every transfer makes the processor wait for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from styletransfer.engines.base import Engine, Scalar


class Numbers:
    """Scalars that are read at once, as soon as the first of them is needed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: list[Scalar] = []
        self._read: list[float] = []

    def ask(self, scalars: Iterable[Scalar]) -> Callable[[], list[float]]:
        """A function that waits for some scalars, and for all others that have been asked for."""
        begin = len(self._asked)
        self._asked += scalars
        part = slice(begin, len(self._asked))

        def read() -> list[float]:
            if len(self._read) < part.stop:
                self._read += self._engine.numbers(self._asked[len(self._read) :])
            return self._read[part]

        return read
