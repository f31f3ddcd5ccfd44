"""Trainings as jobs: what is recognised as one, their folders, and tiny trainings here and by a cluster's job file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import random_picture
from PIL import Image
from processes import PROJECT, output_of
from sweeping import FakeSlurm, fake_slurm  # noqa: F401

from styletransfer import config as configs
from styletransfer.cli.submit import main
from styletransfer.feedforward import style_file
from styletransfer.pictures import images
from styletransfer.session import curves
from styletransfer.session.checkpoints import NAME as CHECKPOINT
from styletransfer.support.errors import UserError
from styletransfer.sweeps import batch, trainings
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.command import command_of, write_config
from styletransfer.sweeps.jobs import Job, TrainingJob
from styletransfer.sweeps.states import check_settings, jobs_to_restart, state_of

TRAIN = PROJECT / "scripts" / "train_style.py"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pictures and the configs of two trainings."""
    monkeypatch.chdir(tmp_path)
    images.write("photo.png", random_picture(50, 60, seed=1))
    images.write("painting.png", random_picture(44, 40, seed=2))
    write("one")
    write("two")
    return tmp_path


def write(stem: str, **changes: Any) -> None:
    values = {
        "name": stem,
        "style": {"images": "painting.png", "size": 40},
        "photographs": {"sources": "photo.png", "crop": 32, "batch": 1},
        "precision": "float32",
        "steps": 2,
        "output": {"folder": f"out/{stem}", "preview": "photo.png", "preview_size": 40, "checkpoint_every": 1},
    }
    Path(f"{stem}.yaml").write_text(yaml.safe_dump({**values, **changes}))


def jobs(*arguments: str, output: str | None = None) -> tuple[Job, ...]:
    return trainings.read(["one.yaml", "two.yaml"], arguments, output).jobs


# What is a training, and where it goes


def test_jobs_are_in_the_folders_of_their_configs() -> None:
    sweep = trainings.read(["one.yaml", "two.yaml"], ["steps=7"])
    assert [job.name for job in sweep.jobs] == ["one", "two"] and str(sweep.folder) == "out"
    assert all(isinstance(job, TrainingJob) and job.config.steps == 7 for job in sweep.jobs)
    assert [command_of(job)[1:] for job in sweep.jobs] == [
        [str(TRAIN), "--config", f"out/{name}/job.yaml"] for name in ("one", "two")
    ]


def test_output_is_the_folder_with_the_folders_of_all() -> None:
    sweep = trainings.read(["one.yaml", "two.yaml"], (), "else/where")
    assert [str(job.folder) for job in sweep.jobs] == ["else/where/one", "else/where/two"]
    assert [job.config.output.folder for job in sweep.jobs] == ["else/where/one", "else/where/two"]


@pytest.mark.parametrize("key", trainings.KEYS)
def test_a_key_that_only_trainings_have_makes_a_training(key: str) -> None:
    value = configs.StyleTraining.model_fields[key].default
    value = value.model_dump() if hasattr(value, "model_dump") else value
    values = {key: value, "style": {"images": "painting.png"}, "output": {"folder": "out/x"}}
    Path("any.yaml").write_text(yaml.safe_dump(values))
    assert [type(job) for job in trainings.read(["any.yaml"]).jobs] == [TrainingJob]


def test_a_sweep_file_is_a_sweep() -> None:
    sweep = trainings.read([str(PROJECT / "configs" / "sweeps" / "content_layer.yaml")])
    assert sweep.name == "content_layer" and not any(isinstance(job, TrainingJob) for job in sweep.jobs)


def test_the_configs_of_the_project_can_be_submitted() -> None:
    files = sorted(map(str, (PROJECT / "configs" / "train").glob("*.yaml")))
    assert len(trainings.read(files).jobs) == len(files) > 0


@pytest.mark.parametrize(
    ("changes", "arguments", "words"),
    [
        ({}, ["one.yaml", "one.yaml"], "one.yaml is named twice"),
        ({}, ["one.yaml", "two.yaml", "./one.yaml"], "one.yaml is named twice"),
        ({"style": {"images": {"photo.png": 1, "./photo.png": 2}}}, ["two.yaml"], "are one picture with two weights"),
        (
            {"output": {"folder": "out/one"}},
            ["one.yaml", "two.yaml"],
            "two.yaml: output.folder: out/one is that of one",
        ),
        ({"output": {"folder": "x/../out/one"}}, ["one.yaml", "two.yaml"], "is that of one.yaml too; name another"),
        (
            {"output": {"folder": "two"}},
            ["one.yaml", "two.yaml"],
            "two.yaml: output.folder: two is not beside out/one,",
        ),
        ({"output": {"folder": "out/slurm"}}, ["two.yaml"], "out/slurm cannot be the folder of a job; expected a name"),
        ({"output": {"folder": "out/a b"}}, ["two.yaml"], "out/a b cannot be the folder of a job; expected a name"),
        ({"output": {"folder": ".."}}, ["two.yaml"], ".. cannot be the folder of a job; expected a name"),
        ({"output": {"folder": "photo.png/x"}}, ["two.yaml"], "output.folder: photo.png is a file; name a folder"),
        ({"stesp": 3}, ["one.yaml", "two.yaml"], "two.yaml: unknown key 'stesp'; did you mean 'steps'?"),
        ({}, ["one.yaml", "two.yaml", "--set", "steps=0"], "one.yaml with --set: steps: 0: Input should be"),
        ({}, ["one.yaml", "sweep.yaml"], "sweep.yaml: not the config of a training, which has one of the keys name,"),
        ({}, ["sweep.yaml", "sweep2.yaml"], "sweep.yaml: not the config of a training"),
        ({}, ["one.yaml", "absent.yaml"], "config absent.yaml: No such file or directory"),
        ({}, ["one.yaml", "--output", ""], "--output: '': Input should be a file name"),
        ({"name": "one"}, ["one.yaml", "two.yaml", "--output", "x"], "two.yaml: output.folder: x/one is that of one"),
    ],
)
def test_mistakes(
    changes: dict[str, Any], arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write("two", **changes)
    for name in ("sweep.yaml", "sweep2.yaml"):
        Path(name).write_text("base: {content: {image: photo.png}}\njobs: [{seed: 1}]\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 2
    output, said = capsys.readouterr()
    assert output == "" and said.startswith("error: ") and said.count("\n") == 1 and words in said
    assert sorted(tmp_path.rglob("*")) == before


# On this machine


def submit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "scripts" / "submit.py"), "one.yaml", "two.yaml", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_failing_training_does_not_affect_the_others() -> None:
    Path("broken.png").write_bytes(Path("painting.png").read_bytes()[:900])
    write("two", style={"images": "broken.png"})
    done = submit()
    assert done.returncode == 1 and done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("1/2 one: done, 2 steps, ")
    assert done.stdout.splitlines()[-2].startswith("two: failed: picture broken.png: cannot be read: ")
    assert style_file.read(Path("out/one/style.npz")).record["name"] == "one"
    assert Image.open("out/contact.png").width > 2 * 256
    assert Path("out/results.csv").read_text().splitlines()[0].startswith("job,state,steps,total,")

    style = Path("out/one/style.npz").stat().st_mtime_ns
    write("two")
    again = submit()
    assert again.returncode == 0 and again.stdout.splitlines()[0] == "1 of 2 already done"
    assert Path("out/one/style.npz").stat().st_mtime_ns == style


def test_changes_since_a_training_was_made_are_noticed() -> None:
    assert submit().returncode == 0
    check_settings(trainings.read(["one.yaml", "two.yaml"], ["output.save_every=1"]))
    for change in ("steps=3", "style.weight=3", "licence=mine"):
        with pytest.raises(
            UserError, match=rf"^job one: out/one contains a run with another {change.partition('=')[0]};"
        ):
            check_settings(trainings.read(["one.yaml", "two.yaml"], [change]))
    images.write("painting.png", random_picture(44, 40, seed=3))
    sweep = trainings.read(["one.yaml", "two.yaml"])
    with pytest.raises(UserError, match=r"^job one: style.images painting.png: the file has changed since the run in"):
        check_settings(sweep)
    assert jobs_to_restart(sweep) == list(sweep.jobs)


# On a cluster


def task(number: int, text: str, **variables: str) -> subprocess.Popen[bytes]:
    """The job file as Slurm would run one of its tasks."""
    Path("array.sbatch").write_text(text)
    environment = {**os.environ, "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(number), **variables}
    return subprocess.Popen(["bash", "array.sbatch"], env=environment, start_new_session=True)


def test_a_training_that_reaches_its_time_limit_is_requeued_and_resumes(fake_slurm: FakeSlurm) -> None:  # noqa: F811
    expected = ["--config", "two.yaml", "--output", "expected", "--set", "steps=40"]
    subprocess.run([sys.executable, str(TRAIN), *expected], check=True, capture_output=True)

    sweep = trainings.read(["one.yaml", "two.yaml"], ["steps=40"])
    write_config(sweep.jobs[1])
    text = batch.array(sweep, Cluster(), sweep.jobs, "array-1.sbatch")
    folder = sweep.jobs[1].folder
    with task(1, text) as first:
        deadline = time.monotonic() + 60
        while not (folder / CHECKPOINT).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.send_signal(signal.SIGUSR1)
        assert first.wait(60) == 75
    assert len(fake_slurm.calls("scontrol")) == 1 and state_of(sweep.jobs[1]).name == "unfinished"
    with task(1, text, SLURM_RESTART_COUNT="1") as second:
        assert second.wait(60) == 0
    assert state_of(sweep.jobs[1]).name == "done" and "going on after step" in (folder / "job.log").read_text()
    curve, whole = (curves.read(place / "curve.csv") for place in (folder, Path("expected")))
    assert curves.first_difference(whole, curve, 0.0) is None
    assert state_of(sweep.jobs[0]).name == "left"


def test_submitting_names_all_files_and_the_program(fake_slurm: FakeSlurm) -> None:  # noqa: F811
    assert main(["one.yaml", "two.yaml", "--cluster", "slurm", "--set", "steps=3", "--time", "1:00:00"]) == 0
    text = Path("out/slurm/array-1.sbatch").read_text()
    assert f"program={TRAIN}" in text and "#SBATCH --job-name=trainings\n" in text and "#SBATCH --array=0-1\n" in text
    assert batch.jobs_in(text) == ["one", "two"]
    assert "submit.py one.yaml two.yaml --set=steps=3 --collect" in Path("out/slurm/collect.sbatch").read_text()
    job = configs.parse_training(configs.read_file("out/two/job.yaml"), "job.yaml")
    assert job.steps == 3 and job.output.folder == "out/two"


PEAK = """
import os, sys
sys.path.insert(0, os.getcwd())
os.chdir({!r})
from styletransfer.cli.train_style import main
from styletransfer.bench import machine
assert main(["--config", "one.yaml"]) == 0
print(machine.peak_megabytes() * 2**20)
"""


@pytest.mark.parametrize(("network", "crop"), [("small", 256), ("residual", 96)])
def test_the_memory_requested_is_a_little_more_than_needed(network: str, crop: int) -> None:
    write("one", network=network, photographs={"sources": "photo.png", "crop": crop, "batch": 2}, steps=1)
    job = jobs()[0]
    needed = float(output_of(PEAK.format(str(Path.cwd()))).splitlines()[-1])
    estimate = job.peak_memory()
    assert estimate == pytest.approx(needed, rel=0.2)
    assert batch.memory_of(job) == estimate + estimate // 4


def test_the_memory_of_unreadable_pictures_is_unknown() -> None:
    write("one", style={"images": "absent.png"})
    assert jobs()[0].peak_memory() is None and jobs("device=gpu:0")[1].peak_memory() is None
