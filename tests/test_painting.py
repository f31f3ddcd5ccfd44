"""The painted style pictures, the command that paints them, and the list of the pictures that ship."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from styletransfer import painting
from styletransfer.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
INPUT = ROOT / "input"


COMMAND = ROOT / "scripts" / "paint.py"


@pytest.fixture(scope="module")
def main() -> Callable[[list[str]], int]:
    """The command's main function; scripts/ is no package."""
    spec = importlib.util.spec_from_file_location("paint_command", COMMAND)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.parametrize("style", painting.STYLES)
def test_same_seed_same_picture(style: str) -> None:
    first, again, other = (painting.paint(style, 64, 96, seed) for seed in (1, 1, 2))
    assert first.shape == (64, 96, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=2).mean() > 0.2
    dark, bright = np.percentile(first.mean(axis=2), (5, 95))
    assert dark < 80 and bright > 160, "a style picture needs contrast"


@pytest.mark.parametrize(("style", "size"), [("mosaic", (32, 32)), ("mosaic", (33, 70)), ("dusk", (70, 41))])
def test_any_shape(style: str, size: tuple[int, int]) -> None:
    assert painting.paint(style, *size, seed=0).shape == (*size, 3)


@pytest.mark.parametrize(
    ("style", "height", "width", "seed", "expected"),
    [
        ("nigth", 64, 96, 0, "did you mean 'night'"),
        ("night", 8, 96, 0, "height 8: expected 32 to 4096"),
        ("night", 64, 9999, 0, "width 9999"),
        ("night", 64, 96, -1, "seed -1: expected 0 or more"),
    ],
)
def test_what_cannot_be_painted(style: str, height: int, width: int, seed: int, expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)):
        painting.paint(style, height, width, seed)


def test_command_writes_what_the_library_paints(main: Callable[[list[str]], int], tmp_path: Path) -> None:
    output = tmp_path / "small.png"
    assert main(["mosaic", "--output", str(output), "--seed", "3", "--width", "48", "--height", "32"]) == 0
    written = np.asarray(Image.open(output))
    np.testing.assert_array_equal(written, painting.paint("mosaic", 32, 48, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]


def test_unknown_style_as_a_command_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, str(COMMAND), "nigth"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: style 'nigth': no such style; did you mean 'night'?\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mosiac"], "did you mean 'mosaic'?"),
        (["mosaic", "--output", "picture.xyz"], "picture.xyz: expected a name that ends in .jpg"),
        (["mosaic", "--output", "nowhere/picture.png"], "there is no folder nowhere"),
        (["mosaic", "--height", "1"], "height 1: expected"),
        ([], "expected one of: night"),
    ],
)
def test_fault_is_one_line_and_status_2(
    main: Callable[[list[str]], int],
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1 and expected in complaint
    assert not list(tmp_path.iterdir())


def test_list_names_every_style(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(painting.STYLES)


def test_readme_lists_exactly_the_pictures() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", (INPUT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    present = [path.name for path in INPUT.iterdir() if path.suffix.lower() in Image.registered_extensions()]
    assert sorted(listed) == sorted(present)


def test_readme_gives_the_sizes_and_the_commands() -> None:
    for line in (INPUT / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| `([^`]+)` \|.*; (\d+) x (\d+) \|", line)
        if not row:
            continue
        with Image.open(INPUT / row[1]) as image:
            assert image.size == (int(row[2]), int(row[3])), row[1]
            assert image.mode == "RGB"
        command = re.search(r"`python scripts/paint\.py ([^`]+)`", line)
        if command:
            style, *options = shlex.split(command[1])
            assert style in painting.STYLES
            assert options[:2] == ["--output", f"input/{row[1]}"]
