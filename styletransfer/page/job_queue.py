"""The runs of the page: one at a time, the others wait; they belong to the server and outlive every browser tab."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.page import runs
from styletransfer.page.choices import START
from styletransfer.pictures import images
from styletransfer.session.output_folder import CONFIG
from styletransfer.support.errors import UserError
from styletransfer.sweeps.jobs import PictureJob
from styletransfer.sweeps.local import kill_if_stuck, note_status, start, watchdog_of
from styletransfer.sweeps.states import State, failure, state_of
from styletransfer.sweeps.watchdog import TICK

MOST_WAITING = 20


@dataclass(frozen=True)
class Status:
    """The status of a run of the page.

    Attributes
    ----------
    name : str
        waiting, running, stopping, done, failed, stopped (with a state to continue from), or left (with none).
    place : int
        Of one that waits, from 1.
    reason : str
        Of one that failed.
    """

    name: str
    place: int = 0
    reason: str = ""


class JobQueue:
    """Runs jobs one after another, each in a process of its own.

    Parameters
    ----------
    folder : Path
        The folder of all runs.
    variables : dict of str
        The environment of the runs.
    python : str, optional
        The Python that makes them, if not the one that runs this.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], python: str | None = None) -> None:
        self.folder = folder
        self._variables, self._python = variables, python
        self._change = threading.Condition()
        self._jobs: dict[str, PictureJob] = {}
        self._from: dict[str, Path] = {}  # the folder of the run whose picture a job starts from
        self._waiting: deque[str] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._current: str | None = None
        self._latest: str | None = None
        self._told = False  # the current job to stop
        self._unusable: dict[str, State] = {}
        self._closed = False
        self._worker = threading.Thread(target=self._work, name="runs of the page", daemon=True)
        self._worker.start()

    def add(self, name: str, config: Config, start_from: Path | None = None, first: bool = False) -> None:
        """Put a run in line.

        Raises UserError if too many wait.

        Parameters
        ----------
        name : str
            Of its folder, which no other run has.
        config : Config
            With that output folder.
        start_from : Path, optional
            The folder of the run from whose newest picture it starts. It is looked for when the turn comes.
        first : bool
            Whether it goes before those that wait.
        """
        job = PictureJob(name, self.folder / name, {}, (), config)
        with self._change:
            self._put(job, first)
            if start_from is not None:
                self._from[name] = start_from

    def resume(self, name: str, config: Config) -> None:
        """Put a stopped run in line again; it continues from its last checkpoint.

        Raises UserError if it waits or runs already, or too many wait.

        Parameters
        ----------
        config : Config
            That of the run, with another number of steps perhaps.
        """
        with self._change:
            if name == self._current or name in self._waiting:
                raise UserError("this run is already running or waiting")
            self._put(PictureJob(name, self.folder / name, {}, (), config), first=False)

    def _put(self, job: PictureJob, first: bool) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise UserError(f"{MOST_WAITING} runs are waiting already; try again when one of them has ended")
        self._jobs[job.name] = job
        self._unusable.pop(job.name, None)
        if first:
            self._waiting.appendleft(job.name)
        else:
            self._waiting.append(job.name)
        self._change.notify_all()

    def stop(self, name: str) -> None:
        """Tell a run to save its state and end, or take it out of the line."""
        with self._change:
            if name == self._current:
                self._tell()
            elif name in self._waiting:
                self._waiting.remove(name)
                self._from.pop(name, None)

    def _tell(self) -> None:
        """Tell the current run to end, once: a second signal would end it without saving."""
        if not self._told and self._process is not None:
            self._process.send_signal(signal.SIGINT)
        self._told = True

    def status(self, name: str) -> Status | None:
        """The status of a run; None if there is no such run."""
        with self._change:
            if name == self._current:
                return Status("stopping" if self._told else "running")
            if name in self._waiting:
                return Status("waiting", place=self._waiting.index(name) + 1)
            state = self._unusable.get(name)
            job = self._jobs.get(name)
        if state is None:
            try:
                state = state_of(job or self._read(name))
            except UserError:
                return None
        names = {"unfinished": "stopped", "running": "running"}
        return Status(names.get(state.name, state.name), reason=state.reason)

    @property
    def current(self) -> str | None:
        """The run that is being made."""
        return self._current

    @property
    def waiting(self) -> list[str]:
        """The runs in line, the next first."""
        with self._change:
            return list(self._waiting)

    @property
    def latest(self) -> str | None:
        """The run that is being made, or else the last that was, or else the next."""
        with self._change:
            return self._current or self._latest or next(iter(self._waiting), None)

    def config(self, name: str) -> Config:
        """The config of a run.

        Raises UserError if there is none, or it cannot be read.
        """
        with self._change:
            job = self._jobs.get(name)
        return (job or self._read(name)).config

    def close(self) -> None:
        """Take no more, tell the current run to save its state, and wait for it to end."""
        with self._change:
            self._closed = True
            self._waiting.clear()
            if self._current is not None:
                self._tell()
            self._change.notify_all()
        self._worker.join()

    def _read(self, name: str) -> PictureJob:
        """Read a run that an earlier server or the command line has made."""
        folder = self.folder / name
        path = folder / CONFIG
        config = configs.parse(configs.read_file(path), f"config {path}")
        output = config.output.model_copy(update={"folder": str(folder)})
        return PictureJob(name, folder, {}, (), config.model_copy(update={"output": output, "provenance": None}))

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                name = self._waiting.popleft()
                self._current, self._told = name, False
                job, before = self._jobs[name], self._from.pop(name, None)
            try:
                self._run(job, before)
            except OSError as error:
                self._unusable[name] = failure(error)
            except UserError as error:
                self._unusable[name] = State("failed", str(error))
            with self._change:
                self._current, self._process, self._latest = None, None, name
                self._change.notify_all()

    def _run(self, job: PictureJob, before: Path | None) -> None:
        if before is not None:
            _copy_picture(before, job.folder)
        with self._change:
            if self._told:  # before there was a process
                return
            process = self._process = start(job, self._variables, self._python)
        if process is None:
            raise UserError("another process is at work in the folder of this run")
        watchdog = watchdog_of(job)
        while True:
            try:
                status = process.wait(TICK)
                break
            except subprocess.TimeoutExpired:
                kill_if_stuck(process, job, watchdog, self._told)
        note_status(job, status, self._told)


def _copy_picture(before: Path, folder: Path) -> None:
    """Put the newest picture of a run into the folder of another, which starts from it."""
    picture = runs.newest(before)
    if picture is None:
        raise UserError("the run to continue from no longer has a picture")
    folder.mkdir(parents=True, exist_ok=True)
    images.write(folder / START, images.read(picture))
