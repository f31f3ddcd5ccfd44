"""Jobs that crash, whose steps have stopped, or that do not end when they are told to; with a clock of the test."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from sweeping import studio, sweep_of  # noqa: F401

from styletransfer.session import output_folder, recorders
from styletransfer.session.recorders import CurveRecorder
from styletransfer.support.errors import Interrupted
from styletransfer.sweeps import local, states, watchdog
from styletransfer.sweeps.watchdog import TICK, Watchdog

LEAST, TIMES = watchdog._PATIENCE
LEAST_WHEN_TOLD, TIMES_WHEN_TOLD = watchdog._PATIENCE_WHEN_TOLD


class Watched:
    """A job whose file is touched by the test, and a watchdog with its own time."""

    def __init__(self, folder):
        self.folder, self.now = folder, 1000.0
        self.dog = Watchdog(folder / "run.status", lambda: self.now)

    def begin(self):
        output_folder.write_status(self.folder, output_folder.UNFINISHED)
        self.look()

    def step(self, seconds=TICK):
        """Make a step that takes so long."""
        assert self.quiet(seconds - TICK) is None
        os.utime(self.folder / "run.status", (self.now, self.now))
        assert self.look() is None

    def look(self, seconds=TICK, **told):
        self.now += seconds
        return self.dog.look(**told)

    def quiet(self, seconds, **told):
        """Return the verdict of the watchdog when nothing happens for so long."""
        for _ in range(int(seconds / TICK)):
            why = self.look(**told)
            if why:
                return why
        return None


@pytest.fixture
def job(tmp_path):
    return Watched(tmp_path)


@pytest.mark.parametrize("seconds", [TICK, 60])
def test_steps_that_have_stopped_for_many_times_their_length_are_noticed(job, seconds):
    job.begin()
    for _ in range(4):
        job.step(seconds)
    patience = max(LEAST, TIMES * seconds)
    assert job.quiet(patience) is None
    said = f"no step for {(patience + TICK) / 60:.0f} minutes, and before {seconds:.0f} seconds at most: killed"
    assert job.look() == said


def test_before_the_first_step_any_time_is_accepted(job):
    assert job.quiet(20 * LEAST) is None
    job.begin()
    assert job.quiet(20 * LEAST) is None


def test_what_follows_the_last_step_may_take_its_time(job):
    job.begin()
    job.step()
    job.begin()  # the status is written anew: done
    assert job.quiet(20 * LEAST) is None


def test_while_the_machine_sleeps_nothing_counts(job):
    job.begin()
    job.step()
    for _ in range(10):
        assert job.look(10 * LEAST) is None
    job.step()


def test_a_job_that_does_not_end_when_told_to_is_noticed_sooner(job):
    assert job.quiet(LEAST_WHEN_TOLD, told=True) is None
    assert job.look(told=True).startswith("did not end within 65 seconds of being told to")


def test_a_job_that_is_told_to_end_may_finish_its_step(job):
    job.begin()
    job.step(30)
    assert job.quiet(25) is None
    assert job.quiet(TIMES_WHEN_TOLD * 30, told=True) is None
    assert job.look(told=True)


def test_every_step_of_a_run_and_of_a_training_touches_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(recorders.curves, "row_of", lambda record: {})
    output_folder.write_status(tmp_path, output_folder.UNFINISHED)
    path = tmp_path / "run.status"
    os.utime(path, (5, 5))
    inode = path.stat().st_ino
    CurveRecorder(tmp_path, []).record(None)
    assert path.stat().st_mtime > 5 and path.stat().st_ino == inode and path.read_text() == "unfinished\n"
    path.unlink()
    CurveRecorder(tmp_path, []).record(None)
    assert not path.exists()


# Jobs on this machine.

DEAF = "trap '' TERM; touch {folder}/deaf; while :; do sleep 0.01; done"


class Stub:
    """Finds fault with a deaf job as soon as it is deaf, and, if `told` is set, has been told to end."""

    told = False

    def __init__(self, job):
        self._deaf = job.folder / "deaf"

    def look(self, told=False):
        return "no step for 11 minutes" if self._deaf.exists() and (told or not self.told) else None


@pytest.fixture
def two_jobs(studio, monkeypatch):  # noqa: F811
    """A sweep of two jobs, the first of which runs other commands of bash."""
    sweep = sweep_of(vary={"seed": [1, 2]})

    def run(code):
        first = sweep.jobs[0]
        script = code.format(folder=first.folder)
        monkeypatch.setattr(
            local,
            "command_of",
            lambda job: ["bash", "-c", script if job is first else "echo error: as told >&2; exit 2"],
        )
        said = []
        local.run_here(sweep, 1, said.append)
        return said

    run.job = sweep.jobs[0]
    return run


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGKILL"])
def test_a_crash_is_a_failure_that_names_signal_and_log_and_the_next_job_is_run(two_jobs, name):
    log = two_jobs.job.folder / "job.log"
    assert two_jobs(f"ulimit -c 0; echo step 3 >&2; kill -{name[3:]} $$") == [
        f"1/2 seed=1: failed: killed by {name}; log: {log}; last output: step 3",
        "2/2 seed=2: failed: as told",
    ]


def test_a_signal_without_a_name_is_a_number():
    assert states._signal_name(200) == "signal 200"


def test_a_hung_job_is_killed_and_the_next_is_run(two_jobs, monkeypatch):
    monkeypatch.setattr(local, "watchdog_of", Stub)
    log = two_jobs.job.folder / "job.log"
    assert two_jobs(DEAF) == [
        f"1/2 seed=1: failed: killed by SIGKILL; log: {log}; last output: no step for 11 minutes",
        "2/2 seed=2: failed: as told",
    ]
    assert (two_jobs.job.folder / "job.status").read_text() == "-9\n"


@pytest.mark.parametrize("signals", [1, 2])
def test_a_hung_job_that_is_told_to_end_is_killed_and_counts_as_stopped(two_jobs, monkeypatch, signals):
    """By the watchdog, or at once by a second Ctrl-C."""
    monkeypatch.setattr(Stub, "told", True)
    monkeypatch.setattr(local, "watchdog_of", Stub if signals == 1 else lambda job: Watchdog(Path("absent")))

    def interrupt():
        while not (two_jobs.job.folder / "deaf").exists():
            time.sleep(0.02)
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    hand = threading.Thread(target=interrupt)
    hand.start()
    with pytest.raises(Interrupted, match="not all states were saved"):
        two_jobs(DEAF)
    hand.join()
    assert states.state_of(two_jobs.job).name == "left"
