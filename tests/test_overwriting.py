"""Overwriting: never a file that the command reads, and files of another origin only with ``--force``."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from feedforward_helpers import random_style
from helpers import TINY_RUN, fill_studio

from styletransfer import cli, transfer
from styletransfer import config as configs
from styletransfer.feedforward import style_file
from styletransfer.judging import verdicts, visualization
from styletransfer.pictures import images, marks
from styletransfer.session import curves
from styletransfer.support.errors import UserError
from styletransfer.sweeps import contact, local, outputs, photographs, reports
from styletransfer.weights import sources

CURVE = "step,scale,total,content,style,tv\n0,0,3,1,1,1\n1,0,2,1,1,0\n"
MINE = b"mine"
RUN = (
    "image.png", "curve.png", "curve.csv", "config.yaml", "run.status", "checkpoint.npz", "checkpoint.previous.npz",
    "steps/000002.jpg",
)  # fmt: skip
JOB = ("job.yaml", "job.log", "job.status", "job.begun", *RUN)

# Every command that writes files, with the files.
WRITTEN = {
    "--config tiny.yaml --output out": [f"out/{name}" for name in RUN],
    "--config tiny.yaml -o out.png": ["out.png"],
    "--config tiny.yaml --content photo.png other.png --output out": [
        "out/contact.png", "out/results.csv", *[f"out/photo/{name}" for name in JOB],
    ],
    "train_style --config train.yaml": [f"out/{name}" for name in (*RUN, "style.npz")],
    "stylize photo.png --style random.npz --output out.png": ["out.png"],
    "stylize photo.png --style random.npz": ["photo_random.png"],
    "stylize photos --style random.npz --output out": ["out/photo.png", "out/clip.mp4"],
    "submit sweep.yaml": ["out/contact.png", "out/results.csv", *[f"out/seed=1/{name}" for name in JOB]],
    "submit train.yaml --output out": [f"out/tiny/{name}" for name in JOB],
    "submit sweep.yaml --cluster slurm": ["out/slurm/collect.sbatch", "out/seed=1/job.yaml"],
    "submit sweep.yaml --collect": ["out/contact.png", "out/results.csv"],
    "fetch net": ["net.params"],
    "fetch net --from photo.png": ["net.params"],
    "compare a.csv b.csv --plot plot.png": ["plot.png"],
    "judge --content photo.png --style painting.png other.png --output out": ["out/painting.png", "out/other.png"],
    "judge --content photo.png --style painting.png --pictures other.png --plot plot.png": ["plot.png"],
    "visualize vgg_slim relu1_1 0 --pictures photo.png --output sheet.png": ["sheet.png"],
    "visualize vgg_slim relu1_1 0 --pictures photo.png": ["output/visualize/vgg_slim_relu1_1_0.png"],
}  # fmt: skip

# Files that the same commands would write, with usable content, and the commands told to read them, {}.
READ = (
    ("out/config.yaml", "tiny.yaml", "--config {} --output out"),
    ("out/image.png", "photo.png", "--config tiny.yaml --output out --content {}"),
    ("out.png", "photo.png", "--config tiny.yaml -o out.png --style {}"),
    ("out/steps/000002.jpg", "photo.png", "--config tiny.yaml --output out --style {}"),
    ("out/checkpoint.npz", "random.params", "--config tiny.yaml --output out --set weights={}"),
    ("out/contact.png", "photo.png", "--config tiny.yaml --output out --content photo.png {}"),
    ("out/results.csv", "tiny.yaml", "--config {} --output out --content photo.png other.png"),
    ("out/curve.csv", "train.yaml", "train_style --config {} --output out"),
    ("out/style.npz", "random.npz", "train_style --config train.yaml --set start={}"),
    ("out/curve.png", "photo.png", "train_style --config train.yaml --set output.preview={}"),
    ("out/steps/000500.jpg", "photo.png", "train_style --config train.yaml --set photographs.sources={}"),
    ("out.png", "photo.png", "stylize {} --style random.npz --output out.png"),
    ("photos/photo.png", "random.npz", "stylize photos --style {} --output photos"),
    ("out/slurm/collect.sbatch", "sweep.yaml", "submit {} --output out"),
    ("net.params", "photo.png", "fetch net --from {}"),
    ("a.csv", "a.csv", "compare {} b.csv --plot a.csv"),
    ("out/painting.png", "photo.png", "judge --content {} --style painting.png --output out"),
    ("sheet.png", "photo.png", "visualize vgg_slim relu1_1 0 --pictures {} --output sheet.png"),
    ("weights.png", "photo.png", "visualize vgg_slim relu1_1 0 --pictures photo.png --weights {} --output weights.png"),
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studio")
    fill_studio(folder)
    (folder / "photos").mkdir()
    shutil.copy(folder / "photo.png", folder / "photos")
    (folder / "photos" / "clip.mov").touch()
    style_file.write(folder / "random.npz", random_style())
    training = {
        "name": "tiny",
        "style": {"images": "painting.png"},
        "photographs": {"sources": "photo.png"},
        "output": {"folder": "out", "preview": "photo.png"},
    }
    for name, values in {
        "tiny.yaml": TINY_RUN,
        "train.yaml": training,
        "sweep.yaml": {"base": TINY_RUN, "vary": {"seed": [1, 2]}, "output": "out"},
    }.items():
        (folder / name).write_text(yaml.safe_dump(values))
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(CURVE)
    return folder


@pytest.fixture
def place(studio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with something for every command, in which nothing is made: whoever begins to, fails."""
    shutil.copytree(studio, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    digits = hashlib.sha256(Path("photo.png").read_bytes()).hexdigest()
    checksum = sources.Checksum("sha256", digits)
    here = sources.Source("main", "https://example.org/net.params", 4, checksum, "none", "nobody", "a net")
    monkeypatch.setattr(sources, "catalogue", lambda: {"net": (sources.Target(tmp_path / "net.params", (here,)),)})
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return tmp_path


def snapshot() -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


def refused(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """The one line with which a command refuses; it changes nothing."""
    before = snapshot()
    assert cli.main(command.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "not been fetched" not in line]
    assert line.startswith("error: ") and snapshot() == before
    return line


def test_every_command_is_tested() -> None:
    commands = {command.split()[0] for command in WRITTEN if not command.startswith("-")}
    without_files = {"bench", "doctor", "flicker", "page"}  # by default
    assert commands | without_files == cli.COMMANDS.keys()


@pytest.mark.parametrize(("command", "name"), [(command, name) for command, names in WRITTEN.items() for name in names])
def test_a_file_of_others_is_not_overwritten(place, capsys, command, name):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(MINE)
    line = refused(capsys, command)
    assert name in line or "contains a" in line or "is not the expected file" in line


@pytest.mark.parametrize("way", ["itself", "link", "hard link", "linked folder", "long way"])
@pytest.mark.parametrize(("name", "content", "command"), READ, ids=[name for name, *_ in READ])
def test_a_file_that_is_read_is_not_overwritten(place, capsys, name, content, command, way):
    """Even with --force, by whichever path."""
    file, content = Path(name), Path(content).read_bytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    if way == "itself":
        other = file
    elif way == "linked folder":
        Path("folder").symlink_to(file.parent.resolve())
        other = Path("folder", file.name)
    elif way == "long way":
        other = Path("photos", "..", name)
    else:
        other = Path(f"another{file.suffix}")
        other.hardlink_to(file) if way == "hard link" else other.symlink_to(file)
    forced = command.format(other) + " --force"
    assert f"{name} is read by this command (" in refused(capsys, forced)


def test_their_own_files_are_overwritten(place, capsys, monkeypatch):
    grey = np.zeros((3, 3, 3))
    monkeypatch.setattr(curves, "plot", lambda path, named, mark: images.write(path, grey, mark=mark))
    monkeypatch.setattr(visualization, "sheet", lambda *arguments: grey)
    sheet = "visualize vgg_slim relu1_1 0 --size 32 --pictures photo.png --output sheet.png"
    for _ in range(2):
        assert cli.main(["compare", "a.csv", "b.csv", "--plot", "plot.png"]) == 0
        assert cli.main(sheet.split()) == 0
    Path("keep.png").write_bytes(MINE)
    assert cli.main(["compare", "a.csv", "b.csv", "--plot", "keep.png", "--force"]) == 0
    assert marks.read(Path("keep.png")) == marks.COMPARISON
    assert "was not written by this command" in refused(capsys, "compare a.csv b.csv --plot sheet.png")


def test_a_config_that_a_run_has_saved_may_run_there_again(place, capsys, monkeypatch):
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)
    assert cli.main(["--config", "tiny.yaml", "--output", "out"]) == 0
    assert cli.main(["--config", "out/config.yaml", "--force"]) == 0
    assert cli.main(["--config", "out/config.yaml", "--resume", "--force", "--set", "stop.max_iterations=4"]) == 0
    with Path("out/config.yaml").open("a") as stream:
        stream.write("# my remark\n")
    for options in ("--force", "--resume --force"):
        assert "out/config.yaml is read by this command (--config)" in refused(
            capsys, f"--config out/config.yaml {options}"
        )
    Path("out/image.png").unlink()
    assert "out/config.yaml exists, and was not written" in refused(capsys, "--config tiny.yaml --output out --resume")
    with pytest.raises(UserError, match=r"config.yaml is read by this command \(config\)"):
        transfer(config="out/config.yaml", output="out", force=True)


def test_the_lock_of_another_program_is_left_alone(place, monkeypatch):
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)
    Path("out").mkdir()
    Path("out/.lock").write_bytes(MINE)
    assert cli.main(["--config", "tiny.yaml", "--output", "out"]) == 0
    assert Path("out/.lock").read_bytes() == MINE


def test_results_that_are_links_are_written_through(place, monkeypatch):
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)
    assert cli.main(["--config", "tiny.yaml", "--output", "out"]) == 0
    for name in ("image.png", "curve.csv"):
        Path("out", name).rename(name)
        Path("out", name).symlink_to(Path(name).resolve())
    Path("linked").symlink_to("out")
    assert cli.main(["--config", "tiny.yaml", "--output", "linked", "--force", "--set", "seed=3"]) == 0
    assert Path("out/image.png").is_symlink() and images.read("image.png").shape == (34, 48, 3)
    assert len(curves.read("curve.csv").rows) == 4


def test_a_sweep_overwrites_its_own_files(place):
    plan = photographs.sweep({**TINY_RUN, "output": {"folder": "out"}}, ["photo.png", "other.png"], "here")
    for _ in range(2):
        outputs.check(plan, {}, force=False)
        for job in plan.jobs:
            assert local.start(job, os.environ, shutil.which("true") or "/bin/true").wait() == 0
        reports.write_results(plan)
        contact.write_contact_sheet(plan)


def test_two_verdicts_of_one_name_are_refused():
    same = verdicts.cases(["photo.jpg"], ["style.jpg"], ["a/x.jpg", "b/x.png"])
    with pytest.raises(UserError, match=r"a/x.jpg and b/x.png would both become out/x.png"):
        verdicts.check_output(same, Path("out"), None, {}, force=True)
    verdicts.check_output(same, None, Path("plot.png"), {}, force=False)


def test_a_config_is_saved_by_a_run_or_by_somebody_else(tmp_path):
    path = tmp_path / "config.yaml"
    for values, saved in ((TINY_RUN, False), ({**TINY_RUN, "provenance": {"python": "3"}}, True)):
        config = configs.parse(values, "here")
        path.write_text(configs.dump(config, values["provenance"]) if saved else yaml.safe_dump(values))
        assert configs.is_saved(path) is saved
    path.write_text(path.read_text().replace("size: 48", "size:  48"))
    assert not configs.is_saved(path)
    for content in (b"", b"[1]", b"\xff", b"a: [", np.random.default_rng(0).bytes(99)):
        path.write_bytes(content)
        assert not configs.is_saved(path)
    assert not configs.is_saved(tmp_path / "absent") and not configs.is_saved(tmp_path)
