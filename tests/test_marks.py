"""The mark of results, by which folders of photographs leave them out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from feedforward_helpers import random_style
from helpers import fill_studio, random_picture
from PIL import Image
from test_videos import film, scene

from scripts import nstyle, stylize
from styletransfer import config as configs
from styletransfer.feedforward import style_file
from styletransfer.pictures import images, marks
from styletransfer.support.errors import UserError
from styletransfer.sweeps import contact, local, photographs, sweep_file
from styletransfer.training.photographs import files_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", [marks.RESULT, marks.CONTACT])
@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "tif", "tiff"])
def test_a_mark_is_in_the_file_and_changes_no_pixel(place, suffix, kind):
    picture = random_picture(9, 8, seed=1)
    for name, given in (("with", kind), ("without", "")):
        images.write(f"{name}.{suffix}", picture, exif=b"", texts={"a": "b"}, mark=given)
        assert marks.read(Path(f"{name}.{suffix}")) == given
    assert (images.read(f"with.{suffix}") == images.read(f"without.{suffix}")).all()


@pytest.mark.parametrize("content", [None, b"", b"styletransfer: result", b"\x89PNG\r\n\x1a\n" + bytes(40)])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.mp4", "a"])
def test_what_cannot_be_read_has_none(place, content, name):
    if content is not None:
        Path(name).write_bytes(content)
    assert marks.read(Path(name)) == ""


def test_a_pipe_is_not_waited_for(place):
    os.mkfifo("a.png")
    assert marks.read(Path("a.png")) == ""
    assert not configs.is_saved(Path("a.png"))


def test_the_software_of_others_is_no_mark(place):
    exif = Image.Exif()
    exif[0x131] = "Camera 1.0"
    for name in ("a.jpg", "a.png", "a.webp", "a.tif"):
        Image.new("RGB", (8, 8)).save(name, exif=exif, **({"comment": "hello"} if name == "a.jpg" else {}))
        assert marks.read(Path(name)) == ""


def test_a_folder_of_photographs_is_one_without_results(place, caplog):
    Path("folder").mkdir()
    for number in range(5):
        images.write(f"folder/{number}.jpg", random_picture(9, 8, seed=1), mark=marks.RESULT if number else "")
    caplog.set_level("INFO")
    expected = [Path("folder", "0.jpg")]
    assert list(map(Path, sweep_file.list_photographs(["folder"]))) == files_of(["folder"]) == expected
    assert caplog.messages[0].endswith("skipped 4 results of this program (1.jpg, 2.jpg, 3.jpg, ...)")
    Path("folder/0.jpg").unlink()
    for listed in (sweep_file.list_photographs, files_of):
        with pytest.raises(UserError, match=r"folder: no picture in this folder; 4 results of this program"):
            listed(["folder"])
    assert sweep_file.list_photographs(["folder/1.jpg"]) == ["folder/1.jpg"]


def test_several_photographs_made_again_are_the_same_ones(place, monkeypatch):
    """Though the contact sheet is in the folder of the photographs, and the results of a single run."""
    fill_studio(place)
    Path("hol").mkdir()
    shutil.copy("photo.png", "hol")
    monkeypatch.setattr(local, "run_here", lambda *arguments: {})
    monkeypatch.setattr(contact, "contact_sheet", lambda *arguments: Image.new("RGB", (8, 8)))
    plans = []
    read = photographs.sweep
    monkeypatch.setattr(photographs, "sweep", lambda *given: plans.append(read(*given)) or plans[-1])
    images.write("hol/image.png", random_picture(9, 8, seed=1), mark=marks.RESULT)
    for _ in range(2):
        nstyle.main(["--content", "hol", "--style", "painting.png", "--output", "hol"])
        assert Path("hol", sweep_file.CONTACT).is_file()
    assert [[job.name for job in plan.jobs] for plan in plans] == [["photo"], ["photo"]]


def test_a_folder_stylised_into_itself_has_the_same_photographs_again(place, capsys):
    style_file.write(Path("random.npz"), random_style())
    Path("hol").mkdir()
    Image.new("RGB", (24, 20)).save("hol/a.webp")
    film("hol/b.mov", [scene(0)])
    assert stylize.main(["hol", "--style", "random.npz", "--output", "hol"]) == 0
    assert capsys.readouterr().out == "hol/a.png\nhol/b.mp4\n"
    assert stylize.main(["hol", "--style", "random.npz", "--output", "out"]) == 0
    assert capsys.readouterr().out == "out/a.png\nout/b.mp4\n"
    assert stylize.main(["hol", "--style", "random.npz", "--output", "hol", "--resume"]) == 0
    assert capsys.readouterr().out == ""
