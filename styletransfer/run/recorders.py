"""What becomes of the records of a run: curve, progress, intermediate pictures."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from styletransfer.optimization.loop import Record
from styletransfer.pictures import images, pixels
from styletransfer.run import curves
from styletransfer.support.errors import UserError

LOGGER = logging.getLogger(__name__)


class Recorder(Protocol):
    """Takes every record, and is closed at the end, however the run ends."""

    def record(self, record: Record) -> None: ...

    def close(self) -> None: ...


class CurveRecorder:
    """Collects ``curve.csv``; written every so many steps and at the end, then with its picture ``curve.png``."""

    def __init__(self, folder: Path, loss_names: Sequence[str], every: int = 0) -> None:
        self._folder, self._every = folder, every
        self._columns = curves.columns_for(loss_names)
        self._rows: list[dict[str, float]] = []

    def resume(self, step: int) -> Mapping[str, float]:
        """Take over the rows up to `step` of the curve in the folder; returns the last of them."""
        path = self._folder / "curve.csv"
        if not path.exists():
            raise UserError(f"--resume: there is no {path}, which is gone on with; start anew with --force")
        curve = curves.read(path)
        if curve.columns != self._columns:
            raise UserError(f"--resume: {path} is not the curve of this run")
        integers = {"step", "scale"}
        for row in curve.rows:
            values = {name: int(value) if name in integers else value for name, value in zip(curve.columns, row)}
            if values["step"] <= step:
                self._rows.append(values)
        if not self._rows or self._rows[-1]["step"] != step:
            raise UserError(f"--resume: {path} does not reach step {step}")
        return self._rows[-1]

    def record(self, record: Record) -> None:
        self._rows.append(curves.row_of(record))
        if self._every and record.step % self._every == 0:
            self.flush()

    def flush(self) -> None:
        """Write the rows so far."""
        curves.write(self._folder / "curve.csv", self._columns, self._rows)

    def close(self) -> None:
        if self._rows:
            self.flush()
            path = self._folder / "curve.png"
            try:
                curves.plot(path, {"": curves.read(self._folder / "curve.csv")})
            except OSError as error:  # which shall not cost the picture, nor hide what ended the run
                LOGGER.warning("%s: not drawn: %s", path, error.strerror or error)


class PictureRecorder:
    """Writes ``steps/000050.jpg`` and the like."""

    def __init__(self, folder: Path, every: int, space: str, denoise: float) -> None:
        self._folder, self._every, self._space, self._denoise = folder, every, space, denoise

    def record(self, record: Record) -> None:
        if self._every and record.step and record.step % self._every == 0:
            self._folder.mkdir(exist_ok=True)
            picture = images.denoise(pixels.to_picture(record.image.asnumpy(), self._space), self._denoise)
            images.write(self._folder / f"{record.step:06d}.jpg", picture)

    def close(self) -> None:
        pass


class ProgressRecorder:
    """A bar with the loss and the time left on a terminal; elsewhere a plain line now and then."""

    def __init__(self, steps: int, done: int = 0) -> None:
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._steps = steps
        self._line_every = max(1, min(50, steps // 10))
        self._bar = tqdm(total=steps, initial=done, unit="step", disable=not self._terminal, dynamic_ncols=True)
        self._redirect = contextlib.ExitStack()
        if self._terminal:
            self._redirect.enter_context(logging_redirect_tqdm())

    def record(self, record: Record) -> None:
        losses = record.losses
        if self._terminal:
            self._bar.set_postfix_str(f"loss {losses.total:.4g}", refresh=False)
            self._bar.update(record.step - self._bar.n)
        elif record.step % self._line_every == 0 or record.step == self._steps:
            LOGGER.info(
                "step %d of %d: total %.6g, content %.6g, style %.6g, tv %.6g, relative change %.3g, %.1f s",
                record.step, self._steps, losses.total, losses.content, losses.style, losses.tv,
                record.relative_change, record.seconds,
            )  # fmt: skip

    def close(self) -> None:
        self._bar.close()
        self._redirect.close()
