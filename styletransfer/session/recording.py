"""Recording a task in its output folder or in memory alone, and reading the state of an earlier run."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from styletransfer import config as configs
from styletransfer.session import checkpoints, output_folder
from styletransfer.session.provenance import provenance_of
from styletransfer.session.recorders import CurveRecorder, LossRecorder, PictureRecorder, Recorder
from styletransfer.session.resume_state import ResumeState
from styletransfer.session.task import Task
from styletransfer.support import overwriting
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write, remove
from styletransfer.support.optional import optional

LOGGER = logging.getLogger(__name__)


class Unrecorded:
    """Keeps the losses of a task in memory, and writes nothing.

    The methods are called in the order in which they are defined.

    Attributes
    ----------
    task : Task
    folder : Path, or None
        The output folder.
    into, resumable : str
        Parts of messages, about the folder and about the state saved in it.
    """

    folder: Path | None = None
    into = resumable = ""

    def __init__(self, task: Task) -> None:
        self.task = task

    def check(self) -> None:
        """Raise a UserError if the task may not use the folder."""

    def earlier(self) -> ResumeState | None:
        """Lock the folder and read the state to resume; None for a new run.

        Raises UserError if there is no state, or it is that of another run.
        """
        return None

    def losses(self, state: ResumeState | None) -> LossRecorder:
        """Create the recorder of the losses, with those up to a state."""
        return LossRecorder(self.task.layers)

    def pictures(self) -> list[Recorder]:
        """Create the recorder of intermediate pictures, if they are recorded."""
        return []

    def begin(self) -> None:
        """Lock the folder of a new run and remove earlier results, or raise a UserError."""

    def write_config(self) -> None:
        """Write the config with its provenance."""

    def save(self) -> None:
        """Save the state, the curve and the task's own files."""

    def rescue(self) -> None:
        """Save the kept state after an error; if that fails, only log a warning."""

    def finish(self, diverged: bool = False) -> None:
        """Write the result, the status, and then the picture."""

    def save_at_end(self) -> None:
        """Save the state of a finished run, if that is possible."""

    def close(self) -> None:
        """Unlock the folder."""


class PictureFile(Unrecorded):
    """Writes the picture of a task to a file, and nothing else.

    Parameters
    ----------
    path : Path
        The file.
    force : bool
        Whether it may be overwritten.
    read : dict of Path
        Files that are read besides those named in the config, by the options that name them.
    """

    resumable = "; nothing was written, as only runs with --output FOLDER can be resumed"

    def __init__(self, task: Task, path: Path, force: bool = False, read: Mapping[str, Path] | None = None) -> None:
        super().__init__(task)
        self._path, self._force, self._read = path, force, read or {}
        self.into = f", into {path}"

    def check(self) -> None:
        check_picture_file(self._path, {**self.task.files(), **self._read}, self._force)

    def earlier(self) -> None:
        self._checksums = self.task.checksums()

    def begin(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(self._path.parent, os.W_OK):
            raise UserError(f"{self._path}: its folder is not writable")

    def finish(self, diverged: bool = False) -> None:
        task = self.task
        task.write_picture(self._path, lambda: provenance_of(task.weights_file, task.choice, self._checksums))


def check_picture_file(path: Path, inputs: Mapping[str, Path], force: bool) -> None:
    """Check that a picture may be written to `path`.

    Raises UserError if it is a folder, one of the `inputs`, or exists and may not be overwritten.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected the name of a picture, such as {path / 'picture.png'}")
    overwriting.check([path], inputs, force=True)
    if path.exists() and not force:
        raise UserError(f"{path} exists already; name another with -o, or add --force")


class Recording(Unrecorded):
    """The output folder of a task, from its check and lock to the finished picture.

    Parameters
    ----------
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to resume from the checkpoint in the folder.
    read : dict of Path
        Files that are read besides those named in the config, by the options that name them.
    """

    folder: Path
    resumable = ", state saved: run again with --resume"

    def __init__(
        self, task: Task, force: bool = False, resume: bool = False, read: Mapping[str, Path] | None = None
    ) -> None:
        super().__init__(task)
        self.folder = Path(task.config.output.folder).expanduser()
        self.into = f", into {self.folder}"
        self._force, self._resume, self._read = force, resume, read or {}
        self._lock = contextlib.ExitStack()

    def check(self) -> None:
        task = self.task
        output_folder.check_inputs(self.folder, {**task.files(), **self._read}, task.outputs)
        output_folder.check(self.folder, self._force, self._resume, task.outputs)

    def earlier(self) -> ResumeState | None:
        self._checksums = self.task.checksums()
        if not self._resume:
            return None
        self._lock_folder()
        return ResumeState.from_arrays(checkpoints.read(self.folder, self.task.resumed_settings, self._checksums))

    def losses(self, state: ResumeState | None) -> LossRecorder:
        self._curve = CurveRecorder(self.folder, self.task.layers, self.task.config.output.save_every)
        if state:
            self._curve.resume(state.step)
        return self._curve

    def pictures(self) -> list[Recorder]:
        every = self.task.config.output.save_every
        return [PictureRecorder(self.folder / output_folder.STEPS, every, self.task.display)]

    def begin(self) -> None:
        if not self._resume:
            self._lock_folder()
            for name in self.task.outputs:
                remove(self.folder / name)
        output_folder.clear(self.folder, keep=self._resume)

    def _lock_folder(self) -> None:
        self._lock.enter_context(output_folder.locked(self.folder, self._force, self._resume))

    def _provenance(self) -> dict[str, Any]:
        return provenance_of(self.task.weights_file, self.task.choice, self._checksums)

    def write_config(self) -> None:
        with atomic_write(self.folder / output_folder.CONFIG) as stream:
            stream.write(configs.dump(self.task.config, self._provenance()).encode())
        output_folder.write_status(self.folder, output_folder.UNFINISHED)

    def save(self) -> None:
        self._save(self.task.state())

    def _save(self, state: ResumeState) -> None:
        self._curve.flush()
        checkpoints.save(self.folder, state.arrays(), self.task.resumed_settings, self._checksums)
        self.task.write(self.folder, self._checksums, state)

    def rescue(self) -> None:
        state = self.task.kept_state
        if state is None:
            return
        try:
            self._save(state)
        except Exception as error:
            LOGGER.warning("the state of step %d could not be saved: %s", state.step, reason_of(error))
        else:
            LOGGER.info("state of step %d saved: run again with --resume", state.step)

    def finish(self, diverged: bool = False) -> None:
        self.task.write(self.folder, self._checksums)
        output_folder.write_status(self.folder, output_folder.DIVERGED if diverged else output_folder.DONE)
        self.task.write_picture(self.folder / self.task.picture_name, self._provenance)

    def save_at_end(self) -> None:
        with optional(self.folder / checkpoints.NAME):
            self.save()

    @property
    def result(self) -> Path:
        """The file of the result."""
        return self.folder / (*self.task.outputs, self.task.picture_name)[0]

    def close(self) -> None:
        self._lock.close()
