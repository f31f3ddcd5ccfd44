"""The pictures in a folder, and the files that are skipped, which is logged."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from helpers import random_picture
from PIL import Image
from test_images import HEIC

from styletransfer.feedforward import folders as stylize
from styletransfer.pictures import images
from styletransfer.pictures.folders import list_pictures
from styletransfer.support.errors import UserError
from styletransfer.sweeps import sweep_file
from styletransfer.training import photographs as training

PICTURES = ["a.JPG", "b.jfif", "c.jpe", "d.avif", "e.heic", "f.jp2", "g", "h.dat", "i.tif"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, some known only by their content, and with other files."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    kinds = {"d.avif": "AVIF", "f.jp2": "JPEG2000", "g": "PNG", "h.dat": "WEBP", "i.tif": "TIFF"}
    for name in PICTURES:
        stream = io.BytesIO()
        Image.fromarray(images.to_bytes(random_picture(20, 30, seed=0))).save(stream, kinds.get(name, "JPEG"))
        (photos / name).write_bytes(HEIC if name == "e.heic" else stream.getvalue())
    for name in ("._a.JPG", ".hidden.png", ".DS_Store"):
        (photos / name).write_bytes((photos / "a.JPG").read_bytes())
    (photos / "raw.nef").write_bytes((photos / "i.tif").read_bytes())  # as many raw files begin
    (photos / "notes.txt").write_text("no picture")
    (photos / "gone.png").symlink_to("nowhere")
    (photos / "clip.mp4").write_bytes(b"video")
    return photos


@pytest.mark.parametrize("command", ["nstyle", "training", "stylize"])
def test_all_commands_list_the_same(folder: Path, caplog: pytest.LogCaptureFixture, command: str) -> None:
    caplog.set_level(logging.INFO)
    found = {
        "nstyle": lambda: sweep_file.list_photographs(["photos"]),
        "training": lambda: training.files_of(["photos"]),
        "stylize": lambda: [job.source for job in stylize.plan([Path("photos")], Path("out"), "night", False, False)],
    }[command]()
    clip = ["clip.mp4"] if command == "stylize" else []
    assert sorted(Path(path).name for path in found) == sorted([*PICTURES, *clip])
    (message,) = caplog.messages
    video = "" if clip else "1 video (clip.mp4), "
    unknown = "3 files of an unknown format (gone.png, notes.txt, raw.nef)"
    assert message == f"photos: skipped {video}{unknown}, 1 folder (more)"


def test_what_is_listed_can_be_read(folder: Path) -> None:
    for path in list_pictures(folder):
        assert images.read(path).size


def test_few_of_many_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    images.write(tmp_path / "a.png", random_picture(3, 4, seed=0))
    for number in range(9):
        (tmp_path / f"{number}.txt").touch()
    assert list_pictures(tmp_path) == [tmp_path / "a.png"]
    assert caplog.messages == [f"{tmp_path}: skipped 9 files of an unknown format (0.txt, 1.txt, 2.txt, ...)"]


def test_a_folder_without_pictures_says_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    with pytest.raises(UserError, match=r"^folder photos: no picture or video in this folder$"):
        stylize.plan([Path("photos")], Path("out"), "night", False, False)
    Path("photos/clip.mov").touch()
    with pytest.raises(UserError, match=r"^photos: no picture in this folder; 1 video \(clip\.mov\)$"):
        list_pictures(Path("photos"))
    with pytest.raises(UserError, match=r"^here: absent: No such file or directory$"):
        list_pictures(Path("absent"), "here: ")


def test_a_photograph_to_learn_from_counts_once(folder: Path) -> None:
    one = next(iter(training.files_of(["photos"])))
    assert training.files_of(["photos", f"./{one}", str(one.absolute()), "photos"]) == training.files_of(["photos"])
