"""The command lines: mistakes in them are one line with exit status 2."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from processes import PROJECT

from styletransfer.cli import COMMANDS, kinds, transfer
from styletransfer.support.errors import UserError

FILES = {"stylize": ["a.png", "--style", "night"], "submit": ["a.yaml"], "compare": ["a", "b"], "flicker": []}


def refused(capsys: pytest.CaptureFixture, name: str, *arguments: str) -> str:
    module = importlib.import_module(f"styletransfer.cli.{name}")
    with pytest.raises(SystemExit) as ended:
        module.main(list(arguments), f"nstyle {name}")
    output, said = capsys.readouterr()
    assert ended.value.code == 2 and output == "" and said.endswith("\n")
    (line,) = said.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.mark.parametrize("name", [*COMMANDS, "transfer"])
def test_an_unknown_option_is_one_line_in_every_command(capsys: pytest.CaptureFixture, name: str) -> None:
    assert refused(capsys, name, "--zz\nzz").endswith(f"nstyle {name} --help explains")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("stylize", ["--keep-colours"], "unrecognized arguments: --keep-colours; did you mean --keep-colors?"),
        ("submit", ["--clusterr=slurm"], "unrecognized arguments: --clusterr=slurm; did you mean --cluster?"),
        ("submit", ["--jobs", "0"], "argument --jobs: '0' is not a whole number from 1 to 10000; "),
        ("submit", ["--jobs", "1e1"], "argument --jobs: '1e1' is not a whole number"),
        ("stylize", ["--strength", "nan"], "argument --strength: 'nan' is not a number from 0 to 1; "),
        ("stylize", ["--size", "-3"], "argument --size: '-3' is not a whole number from 1 to 20000; "),
        ("stylize", ["--output", ""], "argument --output: '' is not a file name; "),
        ("compare", ["--plot", ""], "argument --plot: '' is not a file name; "),
        ("flicker", ["--noise", "0"], "argument --noise: '0' is not a number from 0.001 to 255; "),
        ("flicker", ["--noise", "inf"], "argument --noise: 'inf' is not a number"),
        ("flicker", ["--frames", "1"], "argument --frames: '1' is not a whole number from 2 to 1000; "),
    ],
)
def test_a_mistake_is_named(capsys: pytest.CaptureFixture, name: str, arguments: list[str], words: str) -> None:
    assert refused(capsys, name, *FILES[name], *arguments).startswith(words)


@pytest.mark.parametrize("arguments", [["", "b"], ["a", ""]])
def test_nothing_is_no_file_name(capsys: pytest.CaptureFixture, arguments: list[str]) -> None:
    assert "'' is not a file name" in refused(capsys, "compare", *arguments)


SWEEP, TRAINING, PICTURE = "configs/sweeps/gallery.yaml", "configs/train/night.yaml", "configs/gatys.yaml"
TRAIN, SUBMIT = ("train_style.py --config", "the config of a training"), ("submit.py", "a sweep")
NSTYLE, STYLE = ("nstyle.py --config", "the config of a picture"), ("stylize.py PHOTOGRAPH --style", "a trained style")


@pytest.mark.parametrize(
    ("name", "arguments", "file", "meant"),
    [
        ("transfer", ["--config"], SWEEP, SUBMIT),
        ("transfer", ["--config"], TRAINING, TRAIN),
        ("transfer", ["--config"], "models/styles/night.npz", STYLE),
        ("transfer", ["a.jpg"], "mine.npz", STYLE),
        ("transfer", ["--style"], PICTURE, NSTYLE),
        ("transfer", ["a.jpg"], SWEEP, SUBMIT),
        ("stylize", ["--style=night"], TRAINING, TRAIN),
        ("stylize", ["--style=night"], PICTURE, NSTYLE),
        ("stylize", ["--style=night"], "mine.npz", STYLE),
        ("stylize", ["a.jpg", "--style"], SWEEP, SUBMIT),
        ("train_style", ["--config"], PICTURE, NSTYLE),
        ("train_style", ["--config"], SWEEP, SUBMIT),
        ("submit", [], PICTURE, NSTYLE),
        ("submit", [], "mine.npz", STYLE),
    ],
)
def test_a_file_for_another_command_is_answered_with_that_command(
    capsys: pytest.CaptureFixture, name: str, arguments: list[str], file: str, meant: tuple[str, str]
) -> None:
    module = importlib.import_module(f"styletransfer.cli.{name}")
    assert module.main([*arguments, file], f"nstyle {name}") == 2
    command, what = meant
    expected = f"error: {file} is {what}; the command for it is python scripts/{command} {file}\n"
    assert capsys.readouterr() == ("", expected)


def test_a_video_is_for_stylize(capsys: pytest.CaptureFixture) -> None:
    assert transfer.main(["clip.MP4", "night"], "nstyle") == 2
    assert "the command for it is python scripts/stylize.py clip.MP4 --style STYLE" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_config_is_for_the_command_of_its_folder(path: Path) -> None:
    kind = {"sweeps": "sweep", "train": "training"}.get(path.parent.name, "picture")
    kinds.check([path], kind)
    for other in {"sweep", "training", "picture"} - {kind}:
        with pytest.raises(UserError, match="the command for it"):
            kinds.check([path], other)


def test_nothing_is_said_of_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "other.yaml").write_text("output: here")
    kinds.check([None, "", "absent.yaml", "photo.jpg", tmp_path / "broken.yaml", tmp_path / "other.yaml"])
