"""Submitting to Slurm and querying its queue, with shell scripts in place of its commands."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from sweeping import fake_slurm, finish, studio, sweep_of  # noqa: F401

from styletransfer import config as configs
from styletransfer.support.errors import UserError
from styletransfer.sweeps import batch, slurm
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.states import State, jobs_to_restart

pytestmark = pytest.mark.usefixtures("studio")


def send(sweep, **keys):
    said = []
    return slurm.send(sweep, Cluster(**keys), ["trial.yaml"], said.append), said


def entry(sweep, number, state, reason="None", file="array-1.sbatch", array=101):
    return f"{array}|{number}|{state}|{reason}|{(sweep.folder / 'slurm' / file).resolve()}"


def test_remaining_jobs_are_submitted_as_one_array_followed_by_the_collection(fake_slurm):  # noqa: F811
    sweep = sweep_of(vary={"seed": [1, 2, 3]}, output="it's out é")
    finish(sweep.jobs[1])
    count, said = send(sweep, partition="gpu")
    here = str((sweep.folder / "slurm").resolve())
    assert fake_slurm.calls("sbatch") == [
        (here, "--parsable array-1.sbatch"), (here, "--parsable --dependency=afterany:101 collect.sbatch"),
    ]  # fmt: skip
    assert count == 2 and said == [
        "submitted 2 of 3 jobs as Slurm array 101: it's out é/slurm/array-1.sbatch",
        "Slurm job 102 makes contact.png and results.csv when the array has finished",
    ]
    text = (sweep.folder / "slurm" / "array-1.sbatch").read_text()
    assert batch.jobs_in(text) == ["seed=1", "seed=3"] and "#SBATCH --partition=gpu\n" in text
    assert [(job.folder / "job.yaml").exists() for job in sweep.jobs] == [True, False, True]
    assert "trial.yaml --collect" in (sweep.folder / "slurm" / "collect.sbatch").read_text()


def test_no_job_is_submitted_twice(fake_slurm):  # noqa: F811
    sweep = sweep_of(vary={"seed": [1, 2, 3, 4]})
    send(sweep)
    fake_slurm.queue(entry(sweep, 0, "RUNNING"), entry(sweep, 3, "PENDING"), "102|N/A|PENDING|Dependency|(null)")
    assert [job.name for job in slurm.to_send(sweep, slurm.queue_of(sweep))] == ["seed=2", "seed=3"]
    with open(sweep.jobs[1].folder / "job.log", "w") as log:  # it is running, by whatever process
        fcntl.flock(log, fcntl.LOCK_EX)
        assert send(sweep, collect=False)[0] == 1
    first, second = (batch.jobs_in((sweep.folder / f"slurm/array-{number}.sbatch").read_text()) for number in (1, 2))
    assert first == [job.name for job in sweep.jobs] and second == ["seed=3"]  # submitted files stay unchanged
    fake_slurm.queue(
        *(entry(sweep, number, "PENDING") for number in (0, 1, 3)), entry(sweep, 0, "RUNNING", file="array-2.sbatch")
    )
    assert send(sweep) == (0, []) and len(fake_slurm.calls("sbatch")) == 3


def test_the_queue_of_a_sweep(fake_slurm, tmp_path):  # noqa: F811
    sweep = sweep_of(vary={"seed": [1, 2, 3, 4, 5]}, output="it's | é")
    assert slurm.queue_of(sweep) is None and not fake_slurm.calls("squeue")
    send(sweep)
    link = tmp_path / "link"
    link.symlink_to(sweep.folder)
    fake_slurm.queue(
        entry(sweep, 0, "COMPLETING"),
        entry(sweep, 1, "PENDING", "QOSMaxJobsPerUserLimit"),
        f"103|2|SUSPENDED|None|{link}/slurm/array-1.sbatch",
        entry(sweep, 3, "PENDING", "(launch failed requeued held)"),
        entry(sweep, 3, "RUNNING", array=104),  # submitted again by hand
        entry(sweep, 3, "PENDING", array=105),
        entry(sweep, 77, "RUNNING"),
        f"106|0|RUNNING|None|{tmp_path}/other/array-1.sbatch",
        "107|N/A|RUNNING|None|(null)",
        "",
    )
    assert slurm.queue_of(sweep) == {
        "seed=1": State("running"), "seed=2": State("queued", "QOSMaxJobsPerUserLimit"), "seed=3": State("running"),
        "seed=4": State("running"),
    }  # fmt: skip
    assert f"--user={os.getuid()} " in fake_slurm.calls("squeue")[-1][1]


def test_a_missing_job_file_is_an_error(fake_slurm):  # noqa: F811
    sweep = sweep_of(vary={"seed": [1, 2]})
    send(sweep)
    fake_slurm.queue(entry(sweep, 0, "PENDING", file="mine.sbatch"))
    with pytest.raises(UserError, match=r"^Slurm job 101 was submitted with .*mine\.sbatch, .*: No such file"):
        slurm.queue_of(sweep)


def test_nothing_is_written_without_slurm(monkeypatch):
    sweep = sweep_of(jobs=[{}])
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UserError, match=r"^sbatch not found: run --cluster slurm on the login node"):
        send(sweep)
    assert not sweep.folder.exists()


@pytest.mark.parametrize(
    ("output", "keys", "words"),
    [
        ("50%", {}, "Slurm does not support"),
        ("out", {"setup": ["("]}, "is not a complete line of bash"),
        ("out", {"gpus": "0"}, "device"),
    ],
)
def test_nothing_is_written_or_submitted_if_anything_is_invalid(fake_slurm, output, keys, words):  # noqa: F811
    sweep = sweep_of(jobs=[{"device": "gpu:0"}], output=output)
    with pytest.raises(UserError, match=words):
        send(sweep, **keys)
    assert not sweep.folder.exists() and not fake_slurm.calls("sbatch")


def test_a_rejection_by_slurm_is_reported_in_one_line(fake_slurm):  # noqa: F811
    sweep = sweep_of(jobs=[{}])
    fake_slurm.refuse("sbatch: warning: a word\nsbatch: error: invalid partition specified: gpu\n")
    with pytest.raises(UserError, match=r"^sbatch: invalid partition specified: gpu$"):
        send(sweep)
    assert len(fake_slurm.calls("sbatch")) == 1


def test_nothing_is_submitted_if_the_queue_does_not_answer(fake_slurm):  # noqa: F811
    sweep = sweep_of(jobs=[{}])
    (sweep.folder / "slurm").mkdir(parents=True)
    (fake_slurm.folder / "silent").write_text("slurm_load_jobs error: Unable to contact slurm controller\n")
    with pytest.raises(UserError, match=r"^squeue: slurm_load_jobs error: Unable to contact"):
        send(sweep)
    assert not fake_slurm.calls("sbatch") and list((sweep.folder / "slurm").glob("*.sbatch")) == []


def test_a_rejected_collection_is_not_an_error(fake_slurm):  # noqa: F811
    sweep = sweep_of(jobs=[{}])
    script = fake_slurm.folder / "sbatch"
    script.write_text(script.read_text().replace("cat refuse", '[[ $* = *collect* ]] && echo "no GPU" >&2 && exit 1 #'))
    count, said = send(sweep)
    assert count == 1 and said[1] == "make contact.png and results.csv with --collect: sbatch: no GPU"


def test_two_processes_do_not_submit_at_the_same_time(fake_slurm):  # noqa: F811
    sweep = sweep_of(jobs=[{}])
    folder = Path(sweep.folder / "slurm")
    folder.mkdir(parents=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"another submit\.py is submitting this sweep"):
            send(sweep)
    assert not fake_slurm.calls("sbatch")


def test_a_job_that_fits_with_tiles_gets_a_memory_limit(fake_slurm):  # noqa: F811
    sweep = sweep_of(jobs=[{}, {"size": 6000, "model": "vgg19", "optimizer.name": "adam"}])
    send(sweep)
    told = [configs.parse(configs.read_file(job.folder / "job.yaml"), "").memory for job in sweep.jobs]
    assert told == [None, batch.with_its_limit(sweep.jobs[1], Cluster()).config.memory] and told[1]
    send(sweep, memory="30GB")  # the limit of its control group
    assert "memory: null" in (sweep.jobs[1].folder / "job.yaml").read_text()


def test_force_restarts_failed_and_changed_jobs_unless_queued(fake_slurm):  # noqa: F811
    before = sweep_of(["size=41"], vary={"seed": [1, 2, 3]})
    send(before)
    for job in before.jobs:
        finish(job)
    sweep = sweep_of(vary={"seed": [1, 2, 3, 4]})
    finish(sweep.jobs[1])
    finish(sweep.jobs[3], 3)
    (sweep.jobs[2].folder / "image.png").unlink()
    (sweep.jobs[2].folder / "checkpoint.npz").touch()
    fake_slurm.queue(entry(sweep, 2, "PENDING"))
    queue = slurm.queue_of(sweep)
    restarted = jobs_to_restart(sweep, queue)
    assert slurm.next_file(sweep) == "array-2.sbatch"
    assert [job.name for job in slurm.to_send(sweep, queue)] == ["seed=4"]
    assert [job.name for job in slurm.to_send(sweep, queue, restarted)] == ["seed=1", "seed=4"]
    assert slurm.send(sweep, Cluster(), ["trial.yaml"], print, force=True) == 2
    assert batch.jobs_in((sweep.folder / "slurm" / "array-2.sbatch").read_text()) == ["seed=1", "seed=4"]
    assert [(job.folder / "image.png").exists() for job in sweep.jobs] == [False, True, False, False]
    assert (sweep.jobs[2].folder / "checkpoint.npz").exists()


def test_nothing_is_removed_if_anything_is_invalid(fake_slurm):  # noqa: F811
    sweep = sweep_of(jobs=[{"memory": "9GB"}])
    finish(sweep.jobs[0], 3)
    with pytest.raises(UserError, match="a job gets 8GB"):
        slurm.send(sweep, Cluster(memory="8GB"), ["trial.yaml"], print, force=True)
    assert (sweep.jobs[0].folder / "image.png").exists()
