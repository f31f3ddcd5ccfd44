"""The state of a job, from its folder and from the queue of a cluster."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from helpers import random_parameters, random_picture
from sweeping import finish, studio, sweep_of  # noqa: F401

from styletransfer import config as configs
from styletransfer import weights
from styletransfer.pictures import images
from styletransfer.session import task
from styletransfer.support.errors import UserError
from styletransfer.sweeps import command, local, reports
from styletransfer.sweeps.states import State, check_settings, forget, jobs_to_restart, state_of

pytestmark = pytest.mark.usefixtures("studio")


def test_states():
    sweep = sweep_of(vary={"seed": list(range(7))})
    done, failed, diverged, killed, unfinished, running, _ = sweep.jobs
    finish(done)
    finish(failed, 2, "error: picture x.jpg: no such file")
    finish(diverged, 3, "error: step 3: the loss is not finite")
    finish(killed, -9, "step 10 of 20")
    finish(unfinished, 75, "interrupted at step 3")
    (unfinished.folder / "checkpoint.npz").touch()
    finish(running, 2, "error: of an earlier try")
    with open(running.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        states = [state_of(job) for job in sweep.jobs]
        assert local.start(running, {}) is None
        assert reports.summary(sweep) == "1 done, 1 running, 1 unfinished, 3 failed, 1 left"
    assert [state.name for state in states] == ["done", "failed", "failed", "failed", "unfinished", "running", "left"]
    assert states[1].reason == "picture x.jpg: no such file" and "not finite" in states[2].reason
    assert states[3].reason == "killed by SIGKILL; log: output/sweeps/trial/seed=3/job.log; last output: step 10 of 20"
    options = [command.command_of(job)[4:] for job in sweep.jobs]
    assert options == [["--force"], [], ["--force"], [], ["--resume"], [], []]
    assert reports.report(sweep).splitlines()[1] == "seed=1: failed: picture x.jpg: no such file"


def test_a_picture_with_other_settings_is_not_done():
    sweep = sweep_of(vary={"seed": [0, 1]})
    finish(sweep.jobs[1])
    check_settings(sweep)
    check_settings(sweep_of(["memory=3GB"], vary={"seed": [0, 1]}))  # only changes rounding
    with pytest.raises(
        UserError, match=r"job seed=1: output/sweeps/trial/seed=1 contains a run with another tv\.weight; "
    ):
        check_settings(sweep_of(["tv.weight=7"], vary={"seed": [0, 1]}))


def test_a_picture_of_an_earlier_version_is_not_done():
    sweep = sweep_of(vary={"seed": [0, 1]})
    finish(sweep.jobs[1])
    config = sweep.jobs[1].folder / "config.yaml"
    config.write_text(config.read_text().replace("\nnormalization:", "\nconvention:"))
    with pytest.raises(UserError, match=r"^job seed=1: .* contains a run with another set of keys; restart such jobs"):
        check_settings(sweep)
    assert jobs_to_restart(sweep) == [sweep.jobs[1]]


def changed(assignment):
    """Return whether the jobs of the sweep are rejected with the given setting changed."""
    try:
        check_settings(sweep_of([assignment], vary={"seed": [0, 1]}))
    except UserError as error:
        assert f"contains a run with another {assignment.partition('=')[0]}; restart such jobs" in str(error)
        return True
    return False


def test_which_settings_may_change_depends_on_the_state_of_a_job():
    settings = ("output.save_every=7", "output.checkpoint_every=7", "output.denoise=0.1", "stop.max_iterations=7")
    job = sweep_of(vary={"seed": [0, 1]}).jobs[1]
    assert not any(changed(setting) for setting in settings)  # nothing exists yet
    finish(job)
    assert [changed(setting) for setting in settings] == [False, False, True, True]
    (job.folder / "image.png").unlink()
    (job.folder / "checkpoint.npz").touch()
    for status in (75, 2):
        (job.folder / "job.status").write_text(f"{status}\n")
        assert [changed(setting) for setting in (*settings, "tv.weight=7")] == [False] * 4 + [True]
    (job.folder / "config.yaml").write_text("")
    assert not changed("tv.weight=7")  # the settings of the run in the folder are unknown; the run will report it
    finish(job, 3)
    assert not changed("tv.weight=7")  # it starts over in any case


def test_failed_and_changed_jobs_are_restarted():
    names = ("done", "other", "failed", "diverged", "unfinished", "other state", "queued", "nothing")
    sweep = sweep_of(vary={"seed": list(range(len(names)))})
    jobs = dict(zip(names, sweep.jobs))
    for name in ("done", "queued"):
        finish(jobs[name])
    (jobs["queued"].folder / "image.png").unlink()
    finish(jobs["failed"], 2, "error: content.image: the file has changed since")
    finish(jobs["diverged"], 3)
    for name in ("other", "unfinished", "other state"):
        finish(sweep_of(["size=41"] if "other" in name else [], vary={"seed": list(range(len(names)))}).jobs[
            names.index(name)
        ])  # fmt: skip
    for name in ("failed", "unfinished", "other state", "queued"):
        (jobs[name].folder / "checkpoint.npz").touch()
        (jobs[name].folder / "checkpoint.previous.npz").touch()
        (jobs[name].folder / "image.png").unlink(missing_ok=True)
    restarted = jobs_to_restart(sweep, {jobs["queued"].name: State("queued")})
    assert [name for name in names if jobs[name] in restarted] == ["other", "failed", "diverged", "other state"]
    for job in restarted:
        forget(job)
        assert command.command_of(job)[4:] == [] and state_of(job).name in ("left", "failed")
    forget(jobs["nothing"])
    check_settings(sweep)
    assert command.command_of(jobs["unfinished"])[4:] == ["--resume"] and state_of(jobs["done"]).name == "done"


def test_running_jobs_are_not_restarted():
    (job,) = sweep_of(jobs=[{}]).jobs
    finish(job)
    with open(job.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert jobs_to_restart(sweep_of(["size=41"], jobs=[{}])) == []
        forget(job)
    assert state_of(job).name == "done"


def test_a_run_that_diverged_is_never_done():
    (job,) = sweep_of(jobs=[{}]).jobs
    finish(job, 3, "error: step 3: the loss is not finite")
    (job.folder / "job.status").unlink()  # nobody wrote it, or the next run was killed as it started
    assert state_of(job) == state_of(job, {}) == State("failed", "step 3: the loss is not finite")
    assert command.command_of(job)[4:] == ["--force"]
    (job.folder / "run.status").write_text("unfinished\n")  # a new run writes this first
    assert state_of(job).name == "failed"


def test_a_picture_without_a_status_is_not_done():
    (job,) = sweep_of(jobs=[{}]).jobs
    finish(job)
    (job.folder / "run.status").unlink()
    reason = "the picture is of an earlier version, without run.status"
    assert state_of(job) == State("failed", reason)
    with pytest.raises(UserError, match=f"^job base: .*: {reason}; restart such jobs with --force"):
        check_settings(sweep_of(jobs=[{}]))
    assert jobs_to_restart(sweep_of(jobs=[{}])) == [job]
    forget(job)
    check_settings(sweep_of(jobs=[{}]))


FILES = {"photo.png": "content.image", "painting.png": "style.images painting.png", "start.png": "init.image"}


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_replaced_input_is_noticed(name, done):
    images.write("start.png", random_picture(30, 40, seed=4))
    images.write("other.png", random_picture(30, 40, seed=5))
    one, three = ({"init": {"kind": "image", "image": "start.png"}, "seed": seed} for seed in (1, 3))
    sweep = sweep_of(jobs=[one, {**OTHER_FILES, "seed": 2}, three])
    replaced, other, _ = sweep.jobs
    for job in (replaced, other):
        finish(job)
        if not done:
            (job.folder / "image.png").unlink()
            (job.folder / "checkpoint.npz").touch()
    before = Path(name).read_bytes()
    Path(name).write_bytes(before)  # another file with the same contents
    check_settings(sweep)
    images.write(name, random_picture(30, 40, seed=6))
    with pytest.raises(UserError) as caught:
        check_settings(sweep)
    assert str(caught.value) == (
        f"job {replaced.name}: {FILES[name]}: the file has changed since the run in {replaced.folder} "
        "was started; restart such jobs with --force, or choose another output"
    )
    assert jobs_to_restart(sweep) == [replaced]
    Path(name).unlink()  # nothing to compare with
    check_settings(sweep)
    Path(name).write_bytes(before)
    check_settings(sweep)
    images.write(name, random_picture(30, 40, seed=6))
    forget(replaced)
    check_settings(sweep)


OTHER_FILES = {"content.image": "other.png", "style.images": "other.png"}


def test_replaced_weights_are_noticed():
    weights.save("mine.params", random_parameters("vgg_slim"))
    sweep = sweep_of(jobs=[{"weights": "mine.params"}, {}])
    for job in sweep.jobs:
        finish(job)
    Path("mine.params").write_bytes(b"others")
    with pytest.raises(UserError, match=r"^job mine: weights: the file has changed since"):
        check_settings(sweep)
    assert jobs_to_restart(sweep) == [sweep.jobs[0]]


def test_a_run_that_did_not_record_its_inputs_is_not_compared():
    (job,) = sweep_of(jobs=[{}]).jobs
    finish(job)
    (job.folder / "config.yaml").write_text(configs.dump(job.config, {"weights": "damaged", "inputs": None}))
    images.write("photo.png", random_picture(30, 40, seed=6))
    check_settings(sweep_of(jobs=[{}]))
    (job.folder / "config.yaml").unlink()
    check_settings(sweep_of(jobs=[{}]))


def test_every_input_is_read_once(monkeypatch):
    sweep = sweep_of(vary={"seed": [1, 2, 3]})
    for job in sweep.jobs:
        finish(job)
    read, checksum = [], task.checksum
    monkeypatch.setattr(task, "checksum", lambda path: read.append(path.name) or checksum(path))
    check_settings(sweep)
    assert sorted(read) == ["painting.png", "photo.png", "vgg19_small.params"]


@pytest.mark.parametrize("status", [None, 0, 75, 2, 3, -9])
def test_a_picture_made_by_hand_is_done(status):
    (job,) = sweep_of(jobs=[{}]).jobs
    finish(job)
    (job.folder / "job.status").write_text("" if status is None else f"{status}\n")
    assert state_of(job).name == state_of(job, {job.name: State("queued")}).name == "done"


def test_a_job_with_an_unreadable_folder_has_failed():
    job, other = sweep_of(vary={"seed": [0, 1]}).jobs
    finish(other)
    job.folder.symlink_to("x" * 300)
    assert state_of(job) == State("failed", f"{job.folder}/run.status: File name too long")
    assert jobs_to_restart(sweep_of(vary={"seed": [0, 1]})) == [job]
    forget(job)
    check_settings(sweep_of(vary={"seed": [0, 1]}))


def test_the_queue_takes_precedence_over_the_folder():
    sweep = sweep_of(vary={"seed": list(range(7))})
    done, begins, again, waits, lost, stopped, _ = sweep.jobs
    finish(done)
    finish(begins, 3)
    (begins.folder / "job.status").unlink()  # a new run starts, with the picture of one that diverged
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
    assert [state_of(job, queue).name for job in sweep.jobs] == [
        "done", "running", "queued", "queued", "failed", "unfinished", "left",
    ]  # fmt: skip
    assert state_of(lost, queue).reason == (
        "Slurm job 7_4 on node1 exited without a message: killed, or out of memory or time; "
        f"log: {lost.folder}/job.log; last output: step 10 of 20"
    )
    assert state_of(lost).name == "left"  # it may be running
    assert reports.sentence(again, queue) == "seed=2: queued: QOSMaxJobs"
    assert reports.summary(sweep, queue) == "1 done, 1 running, 2 queued, 1 unfinished, 1 failed, 1 left"
