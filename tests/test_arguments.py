"""The command lines: mistakes in them are one line with exit status 2."""

from __future__ import annotations

import importlib

import pytest

from styletransfer.cli import COMMANDS

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
