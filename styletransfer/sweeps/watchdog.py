"""Notices that the steps of a job have stopped, and that a job does not end when it is told to.

Every step touches the file ``run.status`` in the job's folder. The time allowed for a step follows from the steps
before it; until the first, any time is accepted. Job files run ``python watchdog.py PID FILE``, so this module needs
only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

TICK = 5.0  # seconds between two looks
_MOST = 4 * TICK  # seconds that count between two looks: while a machine sleeps, or a job is suspended, nothing counts
_PATIENCE = (600.0, 50)  # seconds without a step, and how many times the longest step so far: both must have passed
_PATIENCE_WHEN_TOLD = (60.0, 10)  # the same, once the job has been told to end


class Watchdog:
    """Watches one job, from its start.

    Parameters
    ----------
    path : Path
        The file that every step touches, and that is written anew when a run begins or ends.
    clock : callable
        Seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._looked = clock()
        self._mark = self._read()
        self._quiet = self._told = self._longest = 0.0
        self._makes_steps = False

    def look(self, told: bool = False) -> str | None:
        """Return the reason to kill the job, in a few words; None if all is well.

        Parameters
        ----------
        told : bool
            Whether it has been told to end.
        """
        now = self._clock()
        if now - self._looked < TICK:
            return None
        passed, self._looked = min(now - self._looked, _MOST), now
        self._quiet += passed
        self._told += passed if told else 0.0
        before, self._mark = self._mark, self._read()
        if self._mark != before:
            self._makes_steps = self._mark[0] == before[0]
            if self._makes_steps:
                self._longest = max(self._longest, self._quiet)
            self._quiet = 0.0
        if told and self._is_too_long(min(self._quiet, self._told), _PATIENCE_WHEN_TOLD):
            return f"did not end within {self._told:.0f} seconds of being told to: killed"
        if self._makes_steps and self._is_too_long(self._quiet, _PATIENCE):
            return f"no step for {self._quiet / 60:.0f} minutes, and before {self._longest:.0f} seconds at most: killed"
        return None

    def _is_too_long(self, seconds: float, patience: tuple[float, int]) -> bool:
        least, times = patience
        return seconds > max(least, times * self._longest)

    def _read(self) -> tuple[int, int]:
        """The identity of the file, and the time it was touched."""
        try:
            facts = self._path.stat()
        except OSError:
            return 0, 0
        return facts.st_ino, facts.st_mtime_ns


def main(process: int, path: Path) -> None:
    """Watch a process until it ends, and kill it if its steps have stopped."""
    watchdog = Watchdog(path)
    with contextlib.suppress(ProcessLookupError):
        while not (why := watchdog.look()):
            os.kill(process, 0)
            time.sleep(TICK)
        print(f"error: {why}", file=sys.stderr, flush=True)
        os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
