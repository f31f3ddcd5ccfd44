"""A prepared run: pictures and weights are read and the first scale is bound; with an output folder or without."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from styletransfer.config import Config
from styletransfer.network.device import context_of
from styletransfer.optimization.loop import Record
from styletransfer.pictures.images import Picture
from styletransfer.session import checkpoints, inputs, picture_sizes
from styletransfer.session.display import Display
from styletransfer.session.picture_sources import FILES, PictureSources
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.recorders import LossRecorder, Recorder
from styletransfer.session.recording import Recording
from styletransfer.session.resolve import RunPlan, resolve
from styletransfer.support.errors import Diverged, Interrupted
from styletransfer.support.optional import optional

LOGGER = logging.getLogger(__name__)


class PreparedRun:
    """A run ready for its first step.

    Attributes
    ----------
    plan : RunPlan
    display : Display
    losses : LossRecorder
        The losses so far, including those of an earlier run that is resumed.
    steps : int
        The largest number of steps.
    done : int
        The steps of an earlier run that is resumed.
    """

    def __init__(
        self,
        plan: RunPlan,
        pyramid: Pyramid,
        display: Display,
        losses: LossRecorder,
        recording: Recording | None,
        done: int,
    ) -> None:
        self.plan, self.display, self.losses, self.done = plan, display, losses, done
        self.steps = sum(pyramid.steps)
        self._pyramid: Pyramid | None = pyramid
        self._recording = recording

    def records(self, recorders: Sequence[Recorder] = (), stopped: Sequence[int] = ()) -> Generator[Record, None, None]:
        """Make all steps; if the run is recorded, with checkpoints, and the picture at the end.

        If the generator is closed early, the state is saved.

        Parameters
        ----------
        recorders : sequence of Recorder
            Additional recorders; they are closed at the end.
        stopped : sequence
            Checked after every step; the run ends if it is not empty.

        Raises
        ------
        Diverged
            If the optimisation diverged and could not recover; the best picture has been written.
        Interrupted
            If `stopped` was not empty; the state has been saved.
        """
        pyramid, recording, saved = self._running, self._recording, False
        ours: list[Recorder] = [self.losses]
        if recording:
            ours.append(recording.pictures(self.plan.config.output.save_every, self.display))
        try:
            with contextlib.ExitStack() as stack:
                for recorder in (*ours, *recorders):
                    stack.callback(recorder.close)
                for record in stack.enter_context(contextlib.closing(pyramid.records())):
                    for recorder in (*ours, *recorders):
                        recorder.record(record)
                    saved = self._after(record, bool(stopped))
                    try:
                        yield record
                    except GeneratorExit:
                        if not (saved or record.diverged):
                            self._save()
                        raise
        except Diverged:
            if recording:
                recording.finish(self.picture(), diverged=True)  # the best picture
            raise
        if recording:
            recording.finish(self.picture())
            if self.plan.config.output.checkpoint_every and not saved:  # so that the run can be extended
                with optional(recording.folder / checkpoints.NAME):
                    self._save()

    def _after(self, record: Record, stopped: bool) -> bool:
        """Log a rollback and save the state where due; returns whether it was saved."""
        if record.diverged:  # it cannot be resumed
            return False
        if record.rollback:
            LOGGER.info("%s", record.rollback)
        every = self.plan.config.output.checkpoint_every
        due = stopped or bool(every and record.step and record.step % every == 0)
        if due:
            self._save()
        if stopped:
            saved = ", state saved: run again with --resume" if self._recording else ""
            raise Interrupted(f"interrupted at step {record.step}{saved}")
        return due

    def _save(self) -> None:
        """Save the state, if the run is recorded."""
        if self._recording:
            self._recording.save(self._running.state())

    @property
    def folder(self) -> Path | None:
        """The output folder, if the run is recorded."""
        return self._recording.folder if self._recording else None

    def picture(self) -> Picture:
        """The current picture, (H, W, 3), RGB, 0..1."""
        return self.display.picture(self._running.image.asnumpy())

    @property
    def _running(self) -> Pyramid:
        assert self._pyramid is not None, "the run is closed"
        return self._pyramid

    def close(self) -> None:
        """Release everything that is bound, even if the traceback of an exception still refers to this run."""
        self._pyramid = None


@contextlib.contextmanager
def prepared(
    config: Config,
    sources: PictureSources = FILES,
    recording: Recording | None = None,
    stopped: Sequence[int] = (),
) -> Iterator[PreparedRun]:
    """Prepare a run; its memory and its folder are released at the end of the block.

    Parameters
    ----------
    config : Config
    sources : PictureSources
        Where the pictures are.
    recording : Recording, optional
        The output folder; without it, no file is written.
    stopped : sequence
        Checked in between; the run ends if it is not empty.

    Raises
    ------
    UserError
        If the input is invalid; nothing has been written then.
    Interrupted
        If `stopped` was not empty; nothing has been written then.
    """
    with contextlib.ExitStack() as stack:
        files = inputs.files_of(config, sources)
        if recording:
            stack.callback(recording.close)
            recording.check(files)
        context_of(config.device)
        sizes = picture_sizes.read_sizes(config, sources)
        state = None
        if recording:
            state = recording.earlier({**inputs.checksums(files), **inputs.checksums_in_memory(config, sources)})
        # Before reading anything that may not fit into memory.
        plan = resolve(config, sizes, state)
        losses = LossRecorder(plan.grouped_layers)
        done, elapsed, last_change = 0, 0.0, math.nan
        if recording:
            losses = recording.curve(plan.grouped_layers)
            if state:
                done = state.step
                last = losses.resume(done)
                elapsed, last_change = last["seconds"], last["relative_change"]
        _end_before_the_first_step(stopped)
        pictures = inputs.read_pictures(plan, sources)
        parameters = inputs.load_parameters(plan)
        _end_before_the_first_step(stopped)
        if recording:  # all input is valid: now the folder may be created
            recording.begin()
        LOGGER.info("%s%s", plan.config.spec.title, f", into {recording.folder}" if recording else "")
        for scale in plan.scales:
            LOGGER.info("%s", scale.line())
        if state:
            LOGGER.info("resuming after step %d", done)
        pyramid = Pyramid(plan, pictures, parameters, state, elapsed, last_change)
        run = PreparedRun(plan, pyramid, Display(plan, pictures), losses, recording, done)
        del pyramid, pictures, parameters, state
        stack.callback(run.close)
        if recording:
            recording.write_config()
        yield run


def _end_before_the_first_step(stopped: Sequence[int]) -> None:
    if stopped:
        raise Interrupted("interrupted before the first step, nothing was written: run the same command again")
