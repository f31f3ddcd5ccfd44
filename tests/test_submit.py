"""The command that runs sweeps: real but tiny jobs, in separate processes."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import random_parameters, random_picture
from PIL import Image
from processes import PROJECT, output_of
from sweeping import fake_slurm  # noqa: F401
from test_architecture import WITHOUT_MXNET

from styletransfer import weights
from styletransfer.cli.submit import main, parser
from styletransfer.pictures import images
from styletransfer.session import curves
from styletransfer.sweeps import local, sweep_file
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.states import state_of

SUBMIT = PROJECT / "scripts" / "submit.py"
SWEEP = """
base:
  content: {image: photo.png}
  style: {images: painting.png}
  model: vgg_slim
  weights: random.params
  init: {kind: matched}
  size: 40
  stop: {max_iterations: 2}
  output: {save_every: 0, checkpoint_every: 1}
vary:
  content.image: [photo.png, broken.png, other.png]
output: out
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    weights.save(folder / "random.params", random_parameters("vgg_slim"))
    for seed, name in enumerate(("photo", "painting", "other")):
        images.write(folder / f"{name}.png", random_picture(40, 56, seed))
    (folder / "broken.png").write_bytes((folder / "photo.png").read_bytes()[:900])
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def submit(folder, *arguments):
    return subprocess.run(
        [sys.executable, str(SUBMIT), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def finished(studio):
    """A sweep of three jobs, two at a time, of which one fails; it ran where MXNet cannot be imported."""
    code = f"{WITHOUT_MXNET}\nimport sys\nsys.path.insert(0, {str(PROJECT)!r})\nfrom scripts.submit import main\n"
    code += "sys.exit(main(['sweep.yaml', '--jobs', '2']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=studio, capture_output=True, text=True, timeout=120, check=False
    )
    return studio / "out", done


def test_a_failing_job_does_not_affect_the_others(finished):
    folder, done = finished
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert sorted(line.split()[0] for line in lines[:3]) == ["1/3", "2/3", "3/3"]
    assert lines[3:4] == ["out/contact.png"] and lines[-1] == "2 done, 1 failed"
    assert lines[-2].startswith("broken: failed: picture broken.png: cannot be read: ")
    assert (folder / "photo" / "image.png").exists() and (folder / "other" / "image.png").exists()
    with open(folder / "results.csv", newline="") as stream:
        rows = {row["job"]: row for row in csv.DictReader(stream)}
    assert [row["state"] for row in rows.values()] == ["done", "failed", "done"] and rows["photo"]["steps"] == "2"
    assert float(rows["photo"]["total"]) > 0 and rows["broken"]["reason"].startswith("picture broken.png")
    assert Image.open(folder / "contact.png").width > 3 * 256


def test_done_jobs_are_skipped_and_failed_ones_are_retried(finished, studio, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "out")
    arguments = ["sweep.yaml", "--output", str(folder)]
    before = (folder / "photo" / "image.png").stat().st_mtime_ns
    status = submit(studio, *arguments, "--status")
    assert status.returncode == 0 and status.stdout.splitlines()[-1] == "2 done, 1 failed"
    assert status.stdout.startswith("photo: done, 2 steps, ")
    whole, broken = (studio / "photo.png").read_bytes(), (studio / "broken.png").read_bytes()
    (studio / "broken.png").write_bytes(whole)
    again = submit(studio, *arguments)
    (studio / "broken.png").write_bytes(broken)
    assert again.returncode == 0 and again.stderr == ""
    first, second, *_, last = again.stdout.splitlines()
    assert first == "2 of 3 already done" and second.startswith("3/3 broken: done, 2 steps") and last == "3 done"
    assert (folder / "photo" / "image.png").stat().st_mtime_ns == before
    replaced = submit(studio, *arguments)  # its photograph is another one again
    assert replaced.returncode == 2 and replaced.stdout == ""
    assert replaced.stderr.startswith("error: job broken: content.image: the file has changed since the run in")


def children_of(process):
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in listing.split()]


def test_an_interrupted_sweep_saves_its_states_and_resumes(studio, tmp_path):
    arguments = [sys.executable, str(SUBMIT), "sweep.yaml", "--jobs", "2", "--output", str(tmp_path)]
    endless = [*arguments, "--set", "stop.max_iterations=100000"]
    with subprocess.Popen(endless, cwd=studio, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not all((tmp_path / name / "checkpoint.npz").exists() for name in ("photo", "other")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = children_of(process)
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 75 and said.startswith("interrupted, states saved")
    assert "stopping running jobs: 2" in output and len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    for name in ("photo", "other"):
        assert (tmp_path / name / "job.status").read_text() == "75\n"
    status = submit(studio, "sweep.yaml", "--output", str(tmp_path), "--status")
    assert status.stdout.splitlines()[-1] == "2 unfinished, 1 failed"
    steps = max(len((tmp_path / name / "curve.csv").read_text().splitlines()) for name in ("photo", "other"))
    enough = f"stop.max_iterations={steps + 3}"
    done = submit(studio, "sweep.yaml", "--output", str(tmp_path), "--set", enough, "--jobs", "2")
    assert done.stdout.splitlines()[-1] == "2 done, 1 failed", done.stdout
    assert "resuming after step" in (tmp_path / "photo" / "job.log").read_text()


def test_an_unusable_folder_fails_only_one_job(studio, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(studio)
    monkeypatch.setattr(local, "command_of", lambda job: ["true"])
    (tmp_path / "photo").write_text("a plain file")
    assert main(["sweep.yaml", "--output", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"photo: failed: {tmp_path}/photo: File exists", "1 failed, 2 left"]
    with open(tmp_path / "results.csv", newline="") as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["failed", "left", "left"]
    assert (tmp_path / "contact.png").exists()


def test_a_changed_sweep_is_restarted_with_force(studio, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    arguments = ["sweep.yaml", "--output", str(out)]
    before = (out / "photo" / "image.png").stat().st_mtime_ns
    config = out / "other" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 7"))
    (out / "other" / "image.png").unlink()  # now it is unfinished
    for more in ([], ["--dry-run"]):
        rejected = submit(studio, *arguments, *more)
        assert rejected.returncode == 2 and rejected.stdout == ""
        assert rejected.stderr.startswith(
            f"error: job other: {out}/other contains a run with another seed; restart such"
        )
    done = submit(studio, *arguments, "--force")
    assert "other: done, 2 steps" in done.stdout, done.stderr
    assert "going on" not in (out / "other" / "job.log").read_text()
    assert (out / "photo" / "image.png").stat().st_mtime_ns == before


def test_a_diverged_run_is_not_done_even_without_a_status(studio, tmp_path):
    """The command is killed before its job diverges."""
    arguments = ["sweep.yaml", "--output", str(tmp_path)]
    for key in ("optimizer.name=sgd", "optimizer.learning_rate=1e30", "stop.max_iterations=300"):
        arguments += ["--set", key]
    with subprocess.Popen([sys.executable, str(SUBMIT), *arguments], cwd=studio, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not children_of(process):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
    (job, *_) = sweep_file.read_sweep(studio / "sweep.yaml", output=str(tmp_path)).jobs
    while state_of(job).name == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (job.folder / "image.png").exists() and not (job.folder / "job.status").exists()
    assert state_of(job).name == "failed" and "with smaller steps did not help" in state_of(job).reason


def test_a_dry_run_starts_nothing(studio, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(studio)
    assert main(["sweep.yaml", "--dry-run", "--output", str(tmp_path / "new"), "--set", "seed=1"]) == 2
    output, said = capsys.readouterr()
    lines = output.splitlines()
    assert [line.split() for line in lines] == [[n, str(tmp_path / "new" / n)] for n in ("photo", "broken", "other")]
    assert said.startswith("error: broken: picture broken.png: cannot be read: ") and said.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("cluster", [(), ("--cluster", "slurm")], ids=len)
def test_a_dry_run_names_input_that_cannot_be_used(studio, fake_slurm, monkeypatch, capsys, tmp_path, cluster):  # noqa: F811
    monkeypatch.chdir(studio)
    (studio / "seeds.yaml").write_text(SWEEP.partition("vary")[0] + "vary: {seed: [0, 1, 2]}\n")
    arguments = ["seeds.yaml", "--dry-run", "--output", str(tmp_path / "new"), *cluster]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--set", "style.images=none.png"]) == 2
    output, said = capsys.readouterr()
    assert "seed=2" in output and said == "error: seed=0 and 2 more: picture none.png: no such file\n"
    for setting, words in (
        ("weights=none.params", "weights of vgg_slim not found at none.params"),
        ("init={kind: style, name: none}", "init.name: "),
        ("init={kind: image, image: none.png}", "picture none.png: no such file"),
        ("regions=[{content: none.png, style: painting.png}]", "picture none.png: no such file"),
        ("size=3", "size: 3 gives 3 x 2 pixels, too small"),
    ):
        more = ["--set", "style.images=null"] if setting.startswith("regions") else []
        assert main([*arguments, "--set", setting, *more]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: seed=0 and 2 more: {words}")


def test_a_dry_run_names_input_of_trainings_that_cannot_be_used(studio, monkeypatch, capsys):
    monkeypatch.chdir(studio)
    for number, key in enumerate(("style.images", "photographs.sources", "output.preview", "weights", "start")):
        (studio / f"{number}.yaml").write_text("steps: 1\nstyle: {images: painting.png}\nweights: random.params\n")
        assert main([f"{number}.yaml", "--dry-run", "--set", f"{key}=none.png"]) == 2
        assert "none.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.yaml"], "config nowhere.yaml: No such file or directory"),
        (["sweep.yaml", "--set", "siez=3"], "sweep sweep.yaml, job photo: unknown key 'siez'; did you mean 'size'?"),
        (["sweep.yaml", "--set", "seed"], "--set seed: expected KEY=VALUE"),
        (["sweep.yaml", "--output", "photo.png"], "output: photo.png is a file; name a folder"),
        (["sweep.yaml", "--output", "~nobody-here/x"], "--output: '~nobody-here/x': Input should not name the home"),
        (["sweep.yaml", "--output", ""], "--output: '': Input should be a file name"),
        (["sweep.yaml", "--cluster", "slurm", "--python", "~nobody-here/x"], "cluster.python: '~nobody-here/x': "),
        (["sweep.yaml", "--no-collect"], "--no-collect only applies to a cluster: add --cluster slurm"),
        (["sweep.yaml", "--option=--exclusive"], "--option only applies to a cluster"),
        (["sweep.yaml", "--gpus", "1"], "--gpus only applies to a cluster: add --cluster slurm"),
        (
            ["sweep.yaml", "--cluster", "slurm", "--memory", "big"],
            "cluster.memory: 'big': Input should be a number and a unit",
        ),
        (["sweep.yaml", "--cluster", "slurm", "--dry-run", "--output", "a%b"], "Slurm does not support folders with %"),
    ],
)
def test_an_error_is_one_line_and_nothing_starts(studio, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(studio)
    assert main(arguments) == 2
    output, said = capsys.readouterr()
    assert output == "" and said.startswith("error: ") and said.count("\n") == 1 and words in said


# On a cluster: a `sbatch` that runs the tasks of an array at once, one after the other, in bash.

SBATCH = """#!/bin/bash
file=${@: -1}
if grep -q '^#SBATCH --array' "$file"; then
    for ((task = 0; task <= $(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$file"); task++)); do
        SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task bash "$file" > "7_$task.out" 2>&1
    done
else
    bash "$file" > collect.out 2>&1
fi
echo 7
"""


def test_a_sweep_on_a_cluster_gives_the_same_files(studio, finished, fake_slurm, tmp_path):  # noqa: F811
    (fake_slurm.folder / "sbatch").write_text(SBATCH)
    here, _ = finished
    there = tmp_path / "it's out"
    arguments = ["sweep.yaml", "--output", str(there)]
    code = f"{WITHOUT_MXNET}\nimport sys\nsys.path.insert(0, {str(PROJECT)!r})\nfrom scripts.submit import main\n"
    code += f"sys.exit(main({[*arguments, '--cluster', 'slurm', '--setup', 'export A=b', '--jobs', '2']!r}))"
    sent = subprocess.run(
        [sys.executable, "-c", code], cwd=studio, capture_output=True, text=True, timeout=120, check=False
    )
    assert sent.returncode == 0 and sent.stderr == ""
    assert sent.stdout.splitlines() == [
        f"submitted 3 of 3 jobs as Slurm array 7: {there}/slurm/array-1.sbatch",
        "Slurm job 7 makes contact.png and results.csv when the array has finished",
    ]
    status = submit(studio, *arguments, "--status").stdout.splitlines()
    assert status[-1] == "2 done, 1 failed" and status[1].startswith(
        "broken: failed: picture broken.png: cannot be read: "
    )
    assert "#SBATCH --array=0-2%2\n" in (there / "slurm" / "array-1.sbatch").read_text()
    for name in ("photo", "other"):
        curve, expected = (curves.read(folder / name / "curve.csv") for folder in (there, here))
        assert curves.first_difference(expected, curve, 0.0) is None
    assert Image.open(there / "contact.png").size == Image.open(here / "contact.png").size
    (there / "results.csv").unlink()
    collected = submit(studio, *arguments, "--collect")
    assert collected.returncode == 0 and collected.stdout.splitlines()[0] == f"{there}/contact.png"
    with open(there / "results.csv", newline="") as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["done", "failed", "done"]

    whole, broken = (studio / "photo.png").read_bytes(), (studio / "broken.png").read_bytes()
    (studio / "broken.png").write_bytes(whole)
    again = submit(studio, *arguments, "--cluster", "slurm", "--no-collect")
    nothing = submit(studio, *arguments, "--cluster", "slurm")
    (studio / "broken.png").write_bytes(broken)
    assert again.stdout == f"submitted 1 of 3 jobs as Slurm array 7: {there}/slurm/array-2.sbatch\n"
    assert nothing.stdout.startswith("nothing to submit: 3 done\n")


def test_a_dry_run_shows_the_job_file_and_writes_nothing(studio, fake_slurm, monkeypatch, capsys, tmp_path):  # noqa: F811
    monkeypatch.chdir(studio)
    before = sorted(studio.rglob("*"))
    arguments = ["sweep.yaml", "--cluster", "slurm", "--output", str(tmp_path / "new"), "--partition", "gpu"]
    assert main([*arguments, "--dry-run"]) == 2  # one of the pictures is broken
    output = capsys.readouterr().out
    assert output.startswith("#!/bin/bash\n") and "#SBATCH --partition=gpu\n" in output
    assert "\n#   sbatch array-1.sbatch\n" in output
    assert output.splitlines()[-4:] == [
        *(f"{name:6}  {tmp_path / 'new' / name}" for name in ("photo", "broken", "other")),
        "3 of 3 jobs would be submitted",
    ]  # fmt: skip
    assert not (tmp_path / "new").exists() and sorted(studio.rglob("*")) == before and not fake_slurm.calls("sbatch")


def test_the_status_is_shown_without_the_queue(studio, fake_slurm, monkeypatch, capsys, tmp_path):  # noqa: F811
    monkeypatch.chdir(studio)
    (tmp_path / "slurm").mkdir()
    (fake_slurm.folder / "silent").write_text("squeue: error: no answer\n")
    assert main(["sweep.yaml", "--output", str(tmp_path), "--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the queue could not be read: squeue: no answer" and lines[-1] == "3 left"
    assert main(["sweep.yaml", "--output", str(tmp_path), "--cluster", "slurm"]) == 2
    assert capsys.readouterr().err == "error: squeue: no answer\n"


def test_errors_name_the_option(capsys):
    """Every key under `cluster:` is rejected without --cluster, by the name of its option."""
    for action in parser()._actions:
        if action.dest in Cluster.model_fields:
            (option,) = action.option_strings
            given = option if action.nargs == 0 else f"{option}=1"
            assert main([str(PROJECT / "configs" / "sweeps" / "content_layer.yaml"), given]) == 2
            assert capsys.readouterr().err == f"error: {option} only applies to a cluster: add --cluster slurm\n"


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
def test_an_invalid_number_of_jobs(capsys, count):
    with pytest.raises(SystemExit) as caught:
        main(["sweep.yaml", f"--jobs={count}"])
    assert caught.value.code == 2 and "not a whole number from 1" in capsys.readouterr().err


def test_checking_needs_no_mxnet():
    code = f"{WITHOUT_MXNET}from scripts.submit import main\n"
    code += "main(['configs/sweeps/content_layer.yaml', '--dry-run', '--output', '/nonexistent/x'])"
    assert len(output_of(code).splitlines()) == 5
