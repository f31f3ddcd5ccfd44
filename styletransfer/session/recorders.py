"""The recorders of a run: curve, progress, intermediate pictures."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from styletransfer.losses.objective import GroupedLayer
from styletransfer.optimization.loop import Record
from styletransfer.pictures import images, marks
from styletransfer.session import curves, output_folder
from styletransfer.session.curves import Column
from styletransfer.session.task import Display
from styletransfer.support.errors import UserError
from styletransfer.support.optional import UntilItFails, optional

LOGGER = logging.getLogger(__name__)


class Recorder(Protocol):
    """Receives every record, and is closed at the end, however the run ends."""

    def record(self, record: Record) -> None: ...

    def close(self) -> None: ...


class LossRecorder:
    """Collects the losses of every step.

    Attributes
    ----------
    rows : list of dict
        The values of every step by column.
    """

    def __init__(self, layers: Sequence[GroupedLayer]) -> None:
        self._columns = curves.columns_for(layers)
        self.rows: list[dict[Column, float]] = []

    def record(self, record: Record) -> None:
        self.rows.append(curves.row_of(record))

    def by_column(self) -> dict[str, list[float]]:
        """The values so far by the name of their column."""
        return {curves.name_of(column): [row[column] for row in self.rows] for column in self._columns}

    def close(self) -> None:
        pass


class CurveRecorder(LossRecorder):
    """Writes the losses to ``curve.csv``, every so many steps and, with the plot ``curve.png``, at the end."""

    def __init__(self, folder: Path, layers: Sequence[GroupedLayer], every: int = 0) -> None:
        super().__init__(layers)
        self._folder, self._every = folder, every

    def record(self, record: Record) -> None:
        super().record(record)
        output_folder.mark_step(self._folder)
        if self._every and record.step % self._every == 0:
            self.flush()

    def resume(self, step: int) -> None:
        """Load the rows up to `step` of the curve in the folder."""
        path = self._folder / "curve.csv"
        if not path.exists():
            raise UserError(f"--resume: {path} is missing; start over with --force")
        curve = curves.read(path)
        if curve.columns != self._columns:
            raise UserError(f"--resume: {path} is not the curve of this run")
        integers = {"step", "scale"}
        for row in curve.rows:
            values = {key: int(value) if key in integers else value for key, value in zip(curve.columns, row)}
            if values["step"] <= step:
                self.rows.append(values)
        if not self.rows or self.rows[-1]["step"] != step:
            raise UserError(f"--resume: {path} does not reach step {step}")

    def flush(self) -> None:
        """Write the rows so far."""
        curves.write(self._folder / "curve.csv", self._columns, self.rows)

    def close(self) -> None:
        if self.rows:
            self.flush()
            path = self._folder / "curve.png"
            with optional(path, "not drawn"):
                curves.plot(path, {"": curves.read(self._folder / "curve.csv")})


class PictureRecorder:
    """Writes intermediate pictures, ``steps/000050.jpg`` and so on."""

    def __init__(self, folder: Path, every: int, display: Display) -> None:
        self._folder, self._every, self._display = folder, every, display

    def record(self, record: Record) -> None:
        if self._every and record.step and record.step % self._every == 0:
            path = self._folder / f"{record.step:06d}.jpg"
            with optional(path):
                self._folder.mkdir(exist_ok=True)
                images.write(path, self._display.picture(record.values()), mark=marks.RESULT)

    def close(self) -> None:
        pass


def progress(steps: int, done: int = 0, redirect_log: bool = True) -> Any:
    """A :class:`ProgressRecorder`, with its parameters, that does not end the run if it fails."""
    return UntilItFails("progress bar", lambda: ProgressRecorder(steps, done, redirect_log))


class ProgressRecorder:
    """Shows a bar with the loss and the remaining time on a terminal or in a notebook, or else occasional plain lines.

    Parameters
    ----------
    steps : int
        The largest number of steps.
    done : int
        The steps of an earlier run that is resumed.
    redirect_log : bool
        Whether lines of the log on a terminal are printed above the bar, which replaces handlers of the root logger.
    """

    def __init__(self, steps: int, done: int = 0, redirect_log: bool = True) -> None:
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._shown = terminal or _in_a_notebook()
        self._steps = steps
        self._line_every = max(1, min(50, steps // 10))
        self._bar = _bar_class()(total=steps, initial=done, unit="step", disable=not self._shown, dynamic_ncols=True)
        self._redirect = contextlib.ExitStack()
        if terminal and redirect_log:
            from tqdm.contrib.logging import logging_redirect_tqdm

            self._redirect.enter_context(logging_redirect_tqdm())

    def record(self, record: Record) -> None:
        losses = record.losses
        if self._shown:
            self._bar.set_postfix_str(f"loss {losses.total:.4g}", refresh=False)
            self._bar.update(record.step - self._bar.n)
        elif record.step % self._line_every == 0 or record.step == self._steps:
            change = record.relative_change
            LOGGER.info(
                "step %d of %d: total %.6g, content %.6g, style %.6g, tv %.6g%s, %.1f s",
                record.step, self._steps, losses.total, losses.content, losses.style, losses.tv,
                "" if math.isnan(change) else f", relative change {change:.3g}", record.seconds,
            )  # fmt: skip

    def close(self) -> None:
        with self._redirect:
            self._bar.close()


def _in_a_notebook() -> bool:
    """Return whether this process runs a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def _bar_class() -> type:
    """tqdm's bar; in a notebook the one that tqdm chooses, which is plain text without ipywidgets."""
    if not _in_a_notebook():
        from tqdm import tqdm

        return tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ipywidgets
        from tqdm import auto

        return auto.tqdm
