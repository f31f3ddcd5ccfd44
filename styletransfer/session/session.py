"""A session plans a task, makes it step by step, and records it in its output folder or in memory alone."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event

from styletransfer.optimization.loop import Record
from styletransfer.pictures.images import Picture
from styletransfer.session import interrupts
from styletransfer.session.recorders import LossRecorder, Recorder, progress
from styletransfer.session.recording import PictureFile, Recording, Unrecorded
from styletransfer.session.task import Task
from styletransfer.support.errors import Diverged, Interrupted

LOGGER = logging.getLogger(__name__)


def run(task: Task, force: bool = False, resume: bool = False, read: Mapping[str, Path] | None = None) -> Path:
    """Run a task, with progress shown, until it is done or a signal ends it.

    Raises UserError if something the config names cannot be used; nothing has been written then. Raises Diverged if the
    optimisation left its course and could not be brought back; the best result has been written. Raises Interrupted if
    SIGINT, SIGTERM or SIGUSR2 came; a checkpoint has been written, or nothing yet.

    Parameters
    ----------
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to go on from the checkpoint in the output folder.
    read : dict of Path
        Files read for the config, by the options that name them; they are not overwritten.

    Returns
    -------
    Path
        The result in the output folder.
    """
    recording = Recording(task, force, resume, read)
    _run(recording)
    return recording.result


def run_to_file(task: Task, path: Path, force: bool = False, read: Mapping[str, Path] | None = None) -> Path:
    """Run a task and write its picture to `path`, and nothing else.

    Errors and parameters are those of :func:`run`, except that nothing is saved on a signal.
    """
    _run(PictureFile(task, path, force, read))
    return path


def _run(recording: Unrecorded) -> None:
    stopped = Event()
    with (
        interrupts.setting(stopped),
        opened(recording, stopped) as session,
        contextlib.closing(session.records([progress(recording.task.steps, session.done)], stopped)) as records,
    ):
        for _ in records:
            pass


class Session:
    """A task that is ready to make steps.

    Attributes
    ----------
    task : Task
    losses : LossRecorder
        The losses so far, with those of an earlier run that is resumed.
    done : int
        The steps of that run.
    folder : Path, or None
        The output folder, if the task is recorded.
    """

    def __init__(self, recording: Unrecorded, losses: LossRecorder, done: int) -> None:
        self.task, self.folder, self.losses, self.done = recording.task, recording.folder, losses, done
        self._recording = recording

    def records(
        self, recorders: Sequence[Recorder] = (), stopped: Event | None = None
    ) -> Generator[Record, None, None]:
        """Make all steps; if the task is recorded, with checkpoints, and the result at the end.

        If the generator is closed early, the state is saved.

        Raises Diverged if the optimisation diverged and could not recover; the best result has been written. Raises
        Interrupted if `stopped` was set; the state has been saved.

        Parameters
        ----------
        recorders : sequence of Recorder
            Additional recorders; they are closed at the end.
        stopped : Event
            Ends the session after the step in which it is set.
        """
        task, recording, saved = self.task, self._recording, False
        recorders = [self.losses, *recording.pictures(), *recorders]
        try:
            with contextlib.ExitStack() as stack:
                for recorder in recorders:
                    stack.callback(recorder.close)
                for record in stack.enter_context(contextlib.closing(task.records())):
                    for recorder in recorders:
                        recorder.record(record)
                    saved = self._after(record, stopped is not None and stopped.is_set())
                    try:
                        yield record
                    except GeneratorExit:
                        if not (saved or record.diverged):
                            recording.save()
                        raise
        except Diverged:
            recording.finish(diverged=True)
            raise
        except Exception as error:
            if not isinstance(error, Interrupted):
                recording.rescue()
            raise
        recording.finish()
        if task.is_extendable and not saved:
            recording.save_at_end()

    def _after(self, record: Record, stopped: bool) -> bool:
        """Log a rollback and save the state where due; returns whether it was saved."""
        if record.diverged:  # it cannot be resumed
            return False
        if record.rollback:
            LOGGER.info("%s", record.rollback)
        every = self.task.config.output.checkpoint_every
        due = stopped or bool(every and record.step and record.step % every == 0)
        if due:
            self._recording.save()
        if stopped:
            raise Interrupted(f"interrupted at step {record.step}{self._recording.resumable}")
        return due

    def picture(self) -> Picture:
        """The current picture, (H, W, 3), RGB, 0..1."""
        return self.task.display.picture(self.task.values())


@contextlib.contextmanager
def opened(recording: Unrecorded, stopped: Event | None = None) -> Iterator[Session]:
    """Prepare a task; its memory and its folder are released at the end of the block.

    Raises UserError if the input is invalid; nothing has been written then. Raises Interrupted if `stopped` was set;
    nothing has been written then.

    Parameters
    ----------
    recording : Unrecorded or Recording
        Of the task.
    stopped : Event, optional
        Ends it before the first step if it is set.
    """
    task = recording.task
    with contextlib.ExitStack() as stack:
        stack.callback(recording.close)
        stack.callback(task.release)
        recording.check()
        task.inspect()
        state = recording.earlier()
        task.resolve(state)  # before reading anything that may not fit into memory
        task.choice.load()  # may fail too
        losses = recording.losses(state)
        _end_before_the_first_step(stopped)
        task.read(state)
        _end_before_the_first_step(stopped)
        recording.begin()  # all input is valid: now the folder may be created
        first, *more = task.lines()
        LOGGER.info("%s%s", first, recording.into)
        for line in (task.choice, *more):
            LOGGER.info("%s", line)
        if state:
            LOGGER.info("%s after step %d", task.resuming, state.step)
        last = losses.rows[-1] if state else {}
        task.bind(state, last.get("seconds", 0.0), last.get("relative_change", math.nan))
        recording.write_config()
        yield Session(recording, losses, state.step if state else 0)


def _end_before_the_first_step(stopped: Event | None) -> None:
    if stopped is not None and stopped.is_set():
        raise Interrupted("interrupted before the first step, nothing was written: run the same command again")
