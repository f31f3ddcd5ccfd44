"""Running on this machine: the division of cores and memory, and jobs left to a cluster."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time

import pytest
from sweeping import finish, studio, sweep_of  # noqa: F401

from styletransfer import config as configs
from styletransfer.support.byte_sizes import parse_size
from styletransfer.support.errors import Interrupted
from styletransfer.sweeps import local
from styletransfer.sweeps.states import State, state_of

pytestmark = pytest.mark.usefixtures("studio")


def test_cores_are_divided_unless_the_user_decides(monkeypatch):
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    assert local.environment(3)["OMP_NUM_THREADS"] == "1"  # as set in conftest.py
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [local.environment(jobs)["OMP_NUM_THREADS"] for jobs in (1, 3, 9)] == ["8", "2", "1"]


def test_memory_is_divided_unless_the_user_decides():
    job, *decided = sweep_of(jobs=[{}, {"memory": "3GB"}, {"tile": "off"}, {"tile": 300}, {"device": "gpu:0"}]).jobs
    shares = [local.with_its_share(job, jobs, 10 * 10**9).config.memory for jobs in (1, 2, 3)]
    assert shares == [None, "5.0GB", "3.333GB"]
    assert all(local.with_its_share(other, 2, 10 * 10**9) is other for other in decided)
    other = sweep_of(jobs=[{}], output="begun").jobs[0]
    other.folder.mkdir(parents=True)
    (other.folder / "checkpoint.npz").touch()
    assert local.with_its_share(other, 2, 10**9) is other  # its tiles need the same memory as before
    assert parse_size(local.with_its_share(job, 2, 5).config.memory) == 10**6
    assert parse_size(local.with_its_share(job, 2, 10**15).config.memory) == 5 * 10**14


@pytest.mark.parametrize(("at_once", "memory"), [(1, None), (2, "4.0GB"), (9, "2.666GB")])
def test_concurrent_jobs_get_their_shares(monkeypatch, at_once, memory):
    sweep = sweep_of(vary={"seed": [1, 2, 3]})
    monkeypatch.setattr(local.memory, "limit", lambda asked: 8 * 10**9)
    monkeypatch.setattr(local, "command_of", lambda job: ["true"])
    local.run_here(sweep, at_once, lambda line: None)
    told = [configs.parse(configs.read_file(job.folder / "job.yaml"), "") for job in sweep.jobs]
    assert [config.memory for config in told] == [memory] * 3


def test_jobs_of_a_cluster_are_left_to_it():
    sweep = sweep_of(vary={"seed": [1, 2, 3]})
    finish(sweep.jobs[0])
    said = []
    queue = {"seed=1": State("queued"), "seed=2": State("queued"), "seed=3": State("running")}
    local.run_here(sweep, 2, said.append, queue)
    assert said == ["1 of 3 already done", "2 left to the cluster"] and not sweep.jobs[1].folder.exists()


def test_the_record_of_a_cluster_start_is_removed(monkeypatch):
    job = sweep_of(jobs=[{"seed": 1}]).jobs[0]
    job.folder.mkdir(parents=True)
    (job.folder / "job.begun").write_text("Slurm job 7_4 on node1\n")
    monkeypatch.setattr(local, "command_of", lambda job: ["true"])
    assert local.start(job, {}).wait() == 0
    assert not (job.folder / "job.begun").exists() and (job.folder / "job.yaml").exists()


def test_querying_a_job_does_not_prevent_its_start(monkeypatch):
    job = sweep_of(jobs=[{}]).jobs[0]
    job.folder.mkdir(parents=True)
    monkeypatch.setattr(local, "command_of", lambda job: ["true"])
    with open(job.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        look = threading.Timer(0.3, lambda: fcntl.flock(log, fcntl.LOCK_UN))
        look.start()
        process = local.start(job, {})
        look.join()
    assert process is not None and process.wait() == 0


def test_an_unusable_folder_fails_only_its_job(monkeypatch):
    sweep = sweep_of(vary={"seed": [1, 2, 3, 4]})
    good, taken, endless, gone = sweep.jobs
    sweep.folder.mkdir(parents=True)
    taken.folder.write_text("a plain file")
    endless.folder.symlink_to(endless.name)
    monkeypatch.setattr(local, "command_of", lambda job: ["rm", "-r", str(job.folder)] if job is gone else ["true"])
    said = []
    unusable = local.run_here(sweep, 1, said.append)
    assert list(unusable) == [taken.name, endless.name, gone.name] and (good.folder / "job.status").exists()
    assert [line.partition(" ")[2] for line in said] == [
        "seed=1: left",
        f"seed=2: failed: {taken.folder}: File exists",
        f"seed=3: failed: {endless.folder}/run.status: Too many levels of symbolic links",
        f"seed=4: failed: {gone.folder}/job.status: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("signals", "words"),
    [
        (1, r"^interrupted, states saved: run the same"),
        (2, r"^interrupted, but not all states were saved: run the same"),
    ],
)
def test_the_message_of_an_interruption_is_true(monkeypatch, signals, words):
    (job,) = sweep_of(jobs=[{}]).jobs
    listening, told = job.folder / "listening", job.folder / "told"
    end = "exec sleep 20" if signals == 2 else "exit 75"
    code = f"trap 'trap - TERM; touch {told}; {end}' TERM; touch {listening}; while :; do sleep 0.01; done"
    monkeypatch.setattr(local, "command_of", lambda job: ["bash", "-c", code])

    def interrupt():
        for path in (listening, told)[:signals]:
            while not path.exists():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

    said = []
    hand = threading.Thread(target=interrupt)
    hand.start()
    with pytest.raises(Interrupted, match=words):
        local.run_here(sweep_of(jobs=[{}]), 1, said.append)
    hand.join()
    assert (
        said[:-1] == ["stopping running jobs: 1", "killing running jobs: 1"][:signals] and state_of(job).name == "left"
    )
