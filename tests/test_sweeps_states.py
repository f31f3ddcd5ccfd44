"""What has become of a job: its folder says so, and the queue of a cluster."""

from __future__ import annotations

import fcntl

import pytest
from sweeping import finish, planned, studio  # noqa: F401

from styletransfer.errors import UserError
from styletransfer.sweeps import command, local, reports
from styletransfer.sweeps.states import State, check_finished, state_of

pytestmark = pytest.mark.usefixtures("studio")


def test_states():
    plan = planned(vary={"seed": list(range(7))})
    done, failed, diverged, killed, unfinished, running, _ = plan.jobs
    finish(done)
    finish(failed, 2, "error: picture x.jpg: no such file")
    finish(diverged, 3, "error: step 3: the loss is no finite number")
    finish(killed, -9, "step 10 of 20")
    finish(unfinished, 75, "error: interrupted at step 3")
    (unfinished.folder / "checkpoint.npz").touch()
    finish(running, 2, "error: of an earlier try")
    with open(running.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        states = [state_of(job) for job in plan.jobs]
        assert local.start(running, {}) is None
        assert reports.summary(plan) == "1 done, 1 running, 1 unfinished, 3 failed, 1 left"
    assert [state.name for state in states] == ["done", "failed", "failed", "failed", "unfinished", "running", "left"]
    assert states[1].reason == "picture x.jpg: no such file" and "no finite number" in states[2].reason
    assert states[3].reason == "killed by signal 9; the last it said: step 10 of 20"
    options = [command.command_of(job)[4:] for job in plan.jobs]
    assert options == [["--force"], [], ["--force"], [], ["--resume"], [], []]
    assert reports.report(plan).splitlines()[1] == "seed=1: failed: picture x.jpg: no such file"


def test_a_picture_made_with_other_settings_is_not_taken_for_done():
    plan = planned(vary={"seed": [0, 1]})
    finish(plan.jobs[1])
    check_finished(plan)
    check_finished(planned(["memory=3GB"], vary={"seed": [0, 1]}))  # which changes nothing but rounding
    with pytest.raises(
        UserError, match=r"job seed=1: output/sweeps/trial/seed=1 holds a picture made with another tv\.weight"
    ):
        check_finished(planned(["tv.weight=7"], vary={"seed": [0, 1]}))


def test_the_queue_of_a_cluster_says_more_than_the_folder():
    plan = planned(vary={"seed": list(range(7))})
    done, begins, again, waits, lost, stopped, _ = plan.jobs
    for job in (done, begins):
        finish(job)
    (begins.folder / "job.status").unlink()  # a new run begins beside the picture of one that diverged
    finish(again, 2, "error: of an earlier try")
    finish(lost, 75, "step 10 of 20")
    (lost.folder / "job.status").unlink()
    (lost.folder / "job.begun").write_text("Slurm job 7_4 on node1\n")
    finish(stopped, 75)
    (stopped.folder / "checkpoint.npz").touch()
    queue = {
        done.name: State("queued"), begins.name: State("running"), again.name: State("queued", "QOSMaxJobs"),
        waits.name: State("queued"),
    }  # fmt: skip
    assert [state_of(job, queue).name for job in plan.jobs] == [
        "done", "running", "queued", "queued", "failed", "unfinished", "left",
    ]  # fmt: skip
    assert state_of(lost, queue).reason == (
        "Slurm job 7_4 on node1 ended without a word: killed, or out of memory or time; the last it said: step 10 of 20"
    )
    assert state_of(lost).name == "left"  # it may be running, for all we know
    assert reports.sentence(again, queue) == "seed=2: queued: QOSMaxJobs"
    assert reports.summary(plan, queue) == "1 done, 1 running, 2 queued, 1 unfinished, 1 failed, 1 left"
