"""The progress of a video: a bar with the remaining time on a terminal, otherwise occasional plain lines."""

from __future__ import annotations

import contextlib
import logging
import sys
import time

LOGGER = logging.getLogger(__name__)


class FrameProgress:
    """Shows the number of frames.

    Parameters
    ----------
    name : str
        Of the video.
    done : int
        The frames of an earlier run that is resumed.
    total : int, or None
        All frames, as far as known.
    """

    def __init__(self, name: str, done: int, total: int | None) -> None:
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._name, self._total, self._begun = name, total, done
        self._line_every = max(1, min(50, total // 10)) if total else 50
        self._started = time.monotonic()
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(
            desc=name, total=total, initial=done, unit="frame", disable=not terminal, dynamic_ncols=True, smoothing=0.05
        )
        self._redirect = contextlib.ExitStack()
        if terminal:
            self._redirect.enter_context(logging_redirect_tqdm())
        elif done:
            LOGGER.info("%s: resuming after frame %d", name, done)

    def update(self, done: int) -> None:
        self._bar.update(done - self._bar.n)
        if self._bar.disable and (done % self._line_every == 0 or done == self._total):
            rate = (done - self._begun) / max(1e-9, time.monotonic() - self._started)
            if self._total is None:
                LOGGER.info("%s: frame %d, %.2g frames/s", self._name, done, rate)
            else:
                left = max(0, self._total - done) / rate
                LOGGER.info("%s: frame %d of %d, %.2g frames/s, %.0f s left", self._name, done, self._total, rate, left)

    def close(self) -> None:
        with self._redirect:
            self._bar.close()
