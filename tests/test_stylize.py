"""The command stylize.py: files and folders, what is refused, and what is left behind."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from feedforward_helpers import random_style
from helpers import ENGINE, random_picture

from scripts.stylize import main
from styletransfer.feedforward import style_file
from styletransfer.feedforward.stylize import Stylizer, finished
from styletransfer.pictures import images


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a style and a folder of photographs, one of them upright, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    style_file.write(Path("random.npz"), random_style())
    Path("photos").mkdir()
    for number, size in enumerate([(24, 32), (32, 24), (24, 32), (20, 20)]):
        images.write(f"photos/{number}.png", random_picture(*size, seed=number))
    return tmp_path


def command(*arguments: str) -> int:
    return main([*arguments, "--style", "random.npz", "--precision", "float32"])


def expected(name: str, **options: float) -> np.ndarray:
    picture = images.read(name)
    return images.to_bytes(finished(picture, Stylizer(random_style(), ENGINE, "float32")(picture), **options))


def values_of(name: str) -> np.ndarray:
    return images.to_bytes(images.read(name))


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    before = sorted(Path().rglob("*"))
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert sorted(Path().rglob("*")) == before
    return line


def test_a_photograph_is_stylised(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert command("photos/0.png", "--output", "out.png") == 0
    assert capsys.readouterr().out == "out.png\n"
    np.testing.assert_array_equal(values_of("out.png"), expected("photos/0.png"))


def test_one_picture_in_two_spellings_is_one(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert command("photos/0.png", "./photos/0.png", str(place / "photos/0.png"), "--output", "out.png") == 0
    assert capsys.readouterr().out == "out.png\n"


def test_strength_and_colours(place: Path) -> None:
    assert command("photos/0.png", "--output", "a.png", "--strength", "0") == 0
    np.testing.assert_array_equal(values_of("a.png"), values_of("photos/0.png"))
    assert command("photos/0.png", "--output", "b.png", "--strength", "0.5", "--keep-colors") == 0
    np.testing.assert_array_equal(values_of("b.png"), expected("photos/0.png", strength=0.5, keep_colors=True))


def test_a_folder_is_stylised(place: Path, capsys: pytest.CaptureFixture) -> None:
    (place / "photos" / "notes.txt").write_text("no picture")
    assert command("photos", "--output", "results") == 0
    names = [f"{number}.png" for number in range(4)]
    assert capsys.readouterr().out.splitlines() == [f"results/{name}" for name in names]
    assert sorted(path.name for path in Path("results").iterdir()) == names
    for name in names:
        np.testing.assert_array_equal(values_of(f"results/{name}"), expected(f"photos/{name}"))


def test_a_broken_picture_does_not_cost_the_others(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("photos/1.png").write_bytes(b"no picture")
    assert command("photos", "--output", "results") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: picture photos/1.png: not a picture") and captured.err.count("\n") == 1
    assert sorted(path.name for path in Path("results").iterdir()) == ["0.png", "2.png", "3.png"]


def test_one_file_never_stops_the_others(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has the longest possible name, one a name that is not UTF-8, one a result that cannot be written."""
    for name in ("n" * 244 + ".png", os.fsdecode(b"\xff.png"), "n" * 250 + ".bmp"):
        shutil.copy("photos/0.png", f"photos/{name}")
    Path("made/1.png").mkdir(parents=True)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True))
    assert command("photos", "--output", "made", "--force") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: made/1.png: Is a directory"
    assert names_in("made") == sorted(f"{path.stem}.png" for path in Path("photos").iterdir())


def test_a_picture_for_which_memory_runs_out_does_not_cost_the_others(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Stylizer.__call__

    def short(self: Stylizer, picture: np.ndarray) -> np.ndarray:
        if picture.shape[0] == 32:
            raise MemoryError
        return made(self, picture)

    monkeypatch.setattr(Stylizer, "__call__", short)
    assert command("photos", "--output", "made") == 1
    assert capsys.readouterr().err == "error: photos/1.png: out of memory\n"
    assert names_in("made") == ["0.png", "2.png", "3.png"]


def test_a_full_disk_stops_them(place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "made/0.png")

    monkeypatch.setattr(images, "write", full)
    assert command("photos", "--output", "made") == 2
    assert capsys.readouterr().err == "error: made/0.png: No space left on device\n"


def test_results_are_not_overwritten_unasked(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert command("photos", "--output", "results") == 0
    Path("results/2.png").write_bytes(b"mine")
    assert "results/0.png and 3 more exist already; --force" in refused(capsys, "photos", "--output", "results")
    Path("results/3.png").unlink()
    capsys.readouterr()
    assert command("photos", "--output", "results", "--resume") == 0
    assert capsys.readouterr().out == "results/3.png\n"
    assert Path("results/2.png").read_bytes() == b"mine"
    assert command("photos", "--output", "results", "--force") == 0
    np.testing.assert_array_equal(values_of("results/2.png"), expected("photos/2.png"))


def test_larger_photographs_are_reduced(place: Path) -> None:
    assert command("photos/0.png", "photos/3.png", "--output", "small", "--size", "24") == 0
    assert values_of("small/0.png").shape == (18, 24, 3)
    assert values_of("small/3.png").shape == (20, 20, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photos/0.png", "photos/1.png"), "--output is missing: expected a folder"),
        (("photos/9.png", "--output", "a.png"), "picture photos/9.png: no such file"),
        (("photos/0.png", "--output", "a.bmp"), "--output a.bmp: expected .jpg or .jpeg or .png"),
        (("photos", "--output", "a.png"), "--output a.png: expected a folder"),
        (("photos", "--output", "photos", "--force"), "photos/0.png is read by this command (photos/0.png)"),
        (("photos", "photos/0.png", "--output", "a"), "folder photos: expected one folder, or files"),
        (
            ("photos/0.png", "--output", "photos/0.png", "--force"),
            "photos/0.png is read by this command (photos/0.png)",
        ),
        (("photos/0.png", "--output", "a.png", "--memory", "10KB"), "expected a smaller --size"),
    ],
)
def test_a_mistake_is_one_line(
    place: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, *arguments)


def test_two_results_of_one_name_are_refused(place: Path, capsys: pytest.CaptureFixture) -> None:
    images.write("0.png", random_picture(8, 8, seed=9))
    assert "photos/0.png would both become out/0.png" in refused(capsys, "photos/0.png", "0.png", "--output", "out")


def test_a_broken_style_is_one_line(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("random.npz").write_bytes(b"no style")
    assert "style random.npz: damaged, or not a style file" in refused(capsys, "photos", "--output", "results")


@pytest.mark.parametrize("option", [("--strength", "1.5"), ("--strength", "x"), ("--size", "0"), ("--memory", "8")])
def test_an_option_out_of_range_is_refused(place: Path, capsys: pytest.CaptureFixture, option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command("photos/0.png", "--output", "a.png", *option)
    assert ended.value.code == 2 and option[1] in capsys.readouterr().err
