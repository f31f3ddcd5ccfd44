"""A sweep on a real Slurm: preempted, out of time, failed, and finally the same curves as an undisturbed one.

`make test-slurm` starts the Slurm; without it, these tests are not run.
"""

from __future__ import annotations

import contextlib
import csv
import re
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from helpers import random_picture
from PIL import Image
from processes import PROJECT

from styletransfer.pictures import images
from styletransfer.session import curves

pytestmark = pytest.mark.slurm

SUBMIT = PROJECT / "scripts" / "submit.py"
STEPS = 30
WARNING = 20  # seconds; Slurm checks every 30 seconds, 30 seconds ahead: it warns 10 to 40 seconds into a minute
PREEMPTED, BROKEN, SLOW = "seed=1", "broken", "seed=2"
QUICK = ("seed=3", "seed=4", "other")


def write_sweep(path, slow, slower):
    """Six jobs, two of them with the given numbers of steps."""
    sweep = {
        "base": {
            "content": {"image": "photo.png"},
            "style": {"images": "painting.png"},
            "size": 56,
            "init": {"kind": "noise"},
            "optimizer": {"name": "adam", "learning_rate": 0.5},
            "stop": {"max_iterations": STEPS},
            "output": {"save_every": 0, "checkpoint_every": 20},
        },
        "jobs": [
            {"seed": 1, "stop": {"max_iterations": slow}},
            {"content.image": "broken.png"},
            {"seed": 2, "stop": {"max_iterations": slower}},
            {"seed": 3},
            {"seed": 4},
            {"content.image": "other.png"},
        ],
        "output": "out put",
        "cluster": {
            "gpus": 1,
            "cpus": 1,
            "memory": "400MB",
            "time": "15:00",
            "warning": WARNING,
            "setup": "export A=b",
        },
    }
    path.write_text(yaml.safe_dump(sweep, sort_keys=False))


class Studio:
    """A folder with pictures and a sweep, and commands that are run there."""

    def __init__(self, folder):
        self.folder, self.out = folder, folder / "out put"
        for seed, name in enumerate(("photo", "painting", "other")):
            images.write(folder / f"{name}.png", random_picture(56, 44, seed))
        (folder / "broken.png").write_bytes((folder / "other.png").read_bytes()[:900])

    def submit(self, *arguments, expected=0):
        command = [sys.executable, str(SUBMIT), "sweep.yaml", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == expected, (done.stdout, done.stderr)
        return done.stdout

    def state(self, job):
        """The line of `submit.py --status` about a job."""
        return next(line for line in self.submit("--status").splitlines() if line.startswith(f"{job}: "))

    def job(self, start):
        """The folder of the job whose name starts with `start`."""
        return next(path for path in self.out.iterdir() if path.name.startswith(start))

    def log(self, start):
        path = self.job(start) / "job.log"
        return path.read_text() if path.exists() else ""

    def ended(self, array):
        self.wait("the array", lambda: not slurm("squeue", "--noheader", f"--jobs={array}"))

    def wait(self, what, until, seconds=150):
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, f"{what}\n{slurm('squeue', '-r')}\n{self.logs()}"
            time.sleep(0.2)

    def logs(self):
        return "\n".join(f"== {path}\n{path.read_text()[-1500:]}" for path in sorted(self.out.rglob("job.log")))


def slurm(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def reference(studio):
    """Run the same sweep here, while Slurm runs it; the two slow jobs take about 20 and 50 seconds or more."""
    write_sweep(studio.folder / "sweep.yaml", STEPS, STEPS)
    studio.submit("--output", "measured", "--jobs", "2", expected=1)
    measured = max(
        curves.read(path).column("seconds")[-1] - curves.read(path).column("seconds")[1]
        for path in studio.folder.glob("measured/*/curve.csv")
    ) / (STEPS - 1)
    write_sweep(studio.folder / "sweep.yaml", int(20 / measured), int(50 / measured))
    command = [sys.executable, str(SUBMIT), "sweep.yaml", "--output", "reference"]
    with (
        open(studio.folder / "reference.txt", "wb") as said,
        subprocess.Popen(command, cwd=studio.folder, stdout=said, stderr=said) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def remains(studio, reference):
    """The sweep is submitted and disturbed in many ways. Its output, in a copy that no test modifies."""
    said = studio.submit("--cluster", "slurm", "--option=--hold")
    array = re.search(r"submitted 6 of 6 jobs as Slurm array (\d+)", said)[1]
    task = {start: f"{array}_{number}" for number, start in enumerate((PREEMPTED, BROKEN, SLOW, *QUICK))}
    try:
        assert studio.submit("--status").endswith("6 queued\n")
        assert "nothing to submit: 6 queued" in studio.submit("--cluster", "slurm")

        # One job is preempted by another that needs both GPUs; one fails.
        slurm("scontrol", "release", f"{task[PREEMPTED]},{task[BROKEN]}")
        studio.wait("a checkpoint", (studio.job(PREEMPTED) / "checkpoint.npz").exists)
        studio.wait("the failure", (studio.job(BROKEN) / "job.status").exists)
        status = studio.submit("--status")
        assert f"{studio.job(PREEMPTED).name}: running\n" in status
        assert "broken: failed: picture broken.png: cannot be read: " in status
        assert status.endswith("1 running, 4 queued, 1 failed\n")
        urgent = slurm(
            "sbatch", "--parsable", "--partition=high", "--gres=gpu:2", "--output=/dev/null", "--wrap=sleep 1"
        )
        studio.wait("the preemption", lambda: "requeueing" in studio.log(PREEMPTED))
        studio.wait("the urgent job", lambda: "COMPLETED" in slurm("scontrol", "show", "job", urgent))

        # One has too little time, until it has been resumed once.
        slurm("scontrol", "update", f"JobId={task[SLOW]}", "TimeLimit=1")
        slurm("scontrol", "release", *(task[start] for start in (SLOW, *QUICK)))
        studio.wait("the warning", lambda: "requeueing" in studio.log(SLOW))
        studio.wait("that it resumes", lambda: "resuming after step" in studio.log(SLOW))
        slurm("scontrol", "update", f"JobId={task[SLOW]}", "TimeLimit=15")
        studio.ended(array)
        studio.wait("the sheet", lambda: not slurm("squeue", "--noheader"))
        assert studio.submit("--status").endswith("5 done, 1 failed\n"), studio.logs()
    finally:
        slurm("scancel", array)
    return shutil.copytree(studio.out, studio.folder / "remains")


def test_a_disturbed_sweep_gives_the_same_results(studio, remains, reference):
    logs = {
        start: (remains / studio.job(start).name / "job.log").read_text() for start in (PREEMPTED, SLOW, BROKEN, *QUICK)
    }
    for start in (PREEMPTED, SLOW):
        assert re.search(r"restart [1-9]", logs[start]) and "resuming after step" in logs[start]
    for start in (BROKEN, *QUICK):
        assert logs[start].count("Slurm job") == 1 and "restart 0" in logs[start]

    assert Image.open(remains / "contact.png").width > 3 * 256
    with open(remains / "results.csv", newline="") as stream:
        rows = {row["job"]: row for row in csv.DictReader(stream)}
    assert [row["state"] for row in rows.values()] == ["done", "failed", "done", "done", "done", "done"]

    assert reference.wait(240) == 1, (studio.folder / "reference.txt").read_text()
    for start in (PREEMPTED, SLOW, *QUICK):
        name = studio.job(start).name
        here, there = (curves.read(folder / name / "curve.csv") for folder in (studio.folder / "reference", remains))
        assert curves.first_difference(here, there, 0.0) is None, name
        assert rows[name]["total"] == repr(here.column("total")[-1])
        assert (remains / name / "image.png").read_bytes() == (
            studio.folder / "reference" / name / "image.png"
        ).read_bytes()


def test_only_failed_jobs_are_submitted_again(studio, remains):
    (studio.folder / "broken.png").write_bytes((studio.folder / "other.png").read_bytes())
    (studio.out / "contact.png").unlink(missing_ok=True)
    assert "submitted 1 of 6 jobs" in studio.submit("--cluster", "slurm")
    studio.wait("the sheet", (studio.out / "contact.png").exists)
    assert studio.submit("--status").endswith("6 done\n")
    said = studio.submit("--cluster", "slurm")
    assert said.startswith("nothing to submit: 6 done\n")


def test_a_job_file_can_be_edited_and_submitted_by_hand(studio, remains):
    folder, job = studio.out / "slurm", studio.job(QUICK[0])
    text = (folder / "array-1.sbatch").read_text()
    (folder / "mine.sbatch").write_text(text.replace("--hold", "--job-name=mine").replace("array=0-5", "array=2,3"))
    for name in ("image.png", "curve.csv", "checkpoint.npz", "checkpoint.previous.npz"):
        (job / name).unlink()
    assert studio.state(job.name) == f"{job.name}: left"
    mine = slurm("sbatch", "--parsable", f"--chdir={folder}", str(folder / "mine.sbatch"))
    assert studio.state(job.name).startswith((f"{job.name}: queued", f"{job.name}: running", f"{job.name}: done"))
    studio.ended(mine)
    assert (folder / f"{mine}_2.out").read_text() == f"{studio.job(SLOW).name}: already done\n"
    here, there = (curves.read(path / "curve.csv") for path in (job, remains / job.name))
    assert curves.first_difference(here, there, 0.0) is None


def test_a_cancelled_job_is_not_requeued(studio):
    arguments = ("--output", "cancelled", "--set", "stop.max_iterations=1000000", "--set", "seed=5")
    with contextlib.ExitStack() as stack:
        write_one(studio.folder / "one.yaml")
        command = [sys.executable, str(SUBMIT), "one.yaml", *arguments, "--cluster", "slurm", "--no-collect"]
        said = subprocess.run(command, cwd=studio.folder, capture_output=True, text=True, timeout=60, check=True).stdout
        array = re.search(r"Slurm array (\d+)", said)[1]
        stack.callback(slurm, "scancel", array)
        folder = studio.folder / "cancelled" / "photo"
        studio.wait("a checkpoint", (folder / "checkpoint.npz").exists)
        slurm("scancel", array)
        studio.ended(array)
    assert (folder / "job.status").read_text() == "75\n" and not (folder / "job.begun").exists()
    assert "requeueing" not in (folder / "job.log").read_text()
    status = subprocess.run(
        [*command[:2], "one.yaml", *arguments, "--status"],
        cwd=studio.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout.endswith("1 unfinished\n")


def write_one(path):
    base = {"content": {"image": "photo.png"}, "style": {"images": "painting.png"}, "size": 56}
    path.write_text(
        yaml.safe_dump({"base": {**base, "output": {"checkpoint_every": 5}}, "jobs": [{"content.image": "photo.png"}]})
    )
