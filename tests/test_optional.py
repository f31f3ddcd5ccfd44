"""Optional outputs: whatever fails in them is a warning, and the picture, style or video is made."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import yaml
from feedforward_helpers import random_style
from helpers import TINY_RUN, fill_studio, random_picture
from PIL import Image
from processes import python
from test_videos import film, packets, scene, shown

from scripts import nstyle, stylize, train_style
from styletransfer.feedforward import style_file
from styletransfer.feedforward.progress import FrameProgress
from styletransfer.page.thumbnails import Thumbnails
from styletransfer.pictures import images, video_writing
from styletransfer.session import checkpoints, curves, recorders
from styletransfer.support.errors import UserError
from styletransfer.support.optional import UntilItFails, optional
from styletransfer.sweeps import contact, local, reports
from styletransfer.training import training


def fail(*arguments, **options):
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, weights and a config, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    fill_studio(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY_RUN))
    return tmp_path


@pytest.mark.parametrize("error", [OSError(122, "Disk quota exceeded"), ValueError("odd\nvalue"), MemoryError()])
def test_any_error_is_one_warning(caplog, error):
    with optional("a.png", "not drawn"):
        raise error
    reason = {OSError: "Disk quota exceeded", ValueError: "odd value", MemoryError: "MemoryError"}[type(error)]
    assert caplog.messages == [f"a.png: not drawn: {reason}"]


def test_an_interruption_is_not_a_warning():
    with pytest.raises(KeyboardInterrupt), optional("a.png"):
        raise KeyboardInterrupt


class Bar:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def update(self, step: int) -> None:
        self.calls.append(step)
        if step == 2:
            fail()

    def close(self) -> None:
        self.calls.append(-1)


def test_what_has_failed_once_is_closed_and_left_alone(caplog):
    bar = Bar()
    shown = UntilItFails("bar", lambda: bar)
    for step in range(5):
        shown.update(step)
    shown.close()
    assert bar.calls == [0, 1, 2, -1] and len(caplog.messages) == 1


def test_what_cannot_be_created_is_left_out(caplog):
    shown = UntilItFails("bar", fail)
    shown.update(1)
    shown.close()
    assert caplog.messages == ["bar: not shown: Could not determine home directory."]


@pytest.mark.parametrize("config", ["tiny.yaml", "keeping.yaml"])
def test_whatever_fails_beside_a_picture_the_picture_is_made(place, monkeypatch, caplog, config):
    Path("keeping.yaml").write_text(
        yaml.safe_dump({**TINY_RUN, "output": {"keep_metadata": True, "save_every": 2, "format": "jpg"}})
    )
    name = "image.jpg" if config == "keeping.yaml" else "image.png"
    write = images.write

    def writing(path, picture, quality=95, exif=b"", texts=None):
        if Path(path).parent.name == "steps" or exif or texts:
            fail()
        write(path, picture, quality)

    monkeypatch.setattr(images, "write", writing)
    monkeypatch.setattr(curves, "plot", fail)
    monkeypatch.setattr(checkpoints, "save", fail)
    monkeypatch.setattr(recorders.ProgressRecorder, "record", fail)
    monkeypatch.setattr(caplog.handler, "level", logging.WARNING)
    assert nstyle.main(["--config", config, "--output", "out", "--set", "output.save_every=2"]) == 0
    assert images.read(f"out/{name}").shape == (34, 48, 3)
    found = "\n".join(caplog.messages)
    for words in (
        "progress bar: not shown",
        "curve.png: not drawn",
        "checkpoint.npz: not written",
        "000002.jpg: not written",
        f"{name}: its metadata",
    ):
        assert found.count(words) == 1
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("home", [None, "/dev/null/home"])
def test_no_home_folder_is_needed_for_plots(place, home):
    """The user is unknown and has no HOME, or a HOME that cannot be created."""
    code = (
        "import pwd, logging\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "logging.basicConfig()\n"
        "from styletransfer.session import curves\n"
        "curve = curves.Curve(('step', 'total', 'content', 'style', 'tv'), ((0, 2, 1, 1, 0), (1, 1, .5, .5, 0)))\n"
        f"curves.plot({str(place / 'curve.png')!r}, {{'$a_$ \\udcff': curve, '\\u7ed8': curve}})"
    )
    given = dict.fromkeys(("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), "")
    unset = "import os\nos.environ.pop('HOME')\n" if home is None else ""
    done = python("-c", unset + code, **{**given, "HOME": home or ""})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Image.open(place / "curve.png").format == "PNG"


def test_whatever_fails_beside_a_style_the_style_is_written(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    images.write("photos/0.png", random_picture(50, 60, seed=1))
    values = {
        "name": "tiny",
        "style": {"images": "photos/0.png", "size": 48},
        "photographs": {"sources": "photos", "crop": 32, "batch": 1},
        "steps": 2,
        "precision": "float32",
        "output": {"folder": "out", "preview": "photos/0.png", "preview_size": 32, "save_every": 1},
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr(training.StyleTask, "picture", fail)
    monkeypatch.setattr(curves, "plot", fail)
    monkeypatch.setattr(recorders.ProgressRecorder, "close", fail)
    assert train_style.main(["--config", "tiny.yaml"]) == 0
    assert style_file.read(Path("out/style.npz")).record["steps"] == 2
    found = "\n".join(caplog.messages)
    for words in ("progress bar", "curve.png", "000001.jpg", "000002.jpg", "image.png"):
        assert found.count(f"{words}: not ") == 1


def test_a_painting_of_any_name_is_noted_in_a_style(tmp_path):
    style = random_style()
    style_file.write(tmp_path / "a.npz", style.__class__(style.spec, style.parameters, {**style.record, "x": "\udcff"}))
    assert style_file.read(tmp_path / "a.npz").record["x"] == "?"


@pytest.mark.parametrize("name", ["_packets", "_sounds", "_last_duration"])
def test_a_video_is_made_without_the_sound_that_fails(tmp_path, monkeypatch, caplog, name):
    monkeypatch.chdir(tmp_path)
    style_file.write(Path("random.npz"), random_style())
    film("clip.mp4", [scene(index) for index in range(3)], sound="aac")
    called = getattr(video_writing, name)
    monkeypatch.setattr(video_writing, name, lambda *given: called(*given) if given[0] is None else fail())
    monkeypatch.setattr(FrameProgress, "update", fail)
    assert stylize.main(["clip.mp4", "--style", "random.npz", "--precision", "float32"]) == 0
    assert len(shown("clip_random.mp4")) == 3
    with pytest.raises(Exception, match=r"."):
        packets("clip_random.mp4")
    found = "\n".join(caplog.messages)
    assert found.count("clip.mp4: its sound is left out") == found.count("progress bar: not shown") == 1


def test_a_contact_sheet_that_fails_is_a_warning(place, monkeypatch, caplog):
    monkeypatch.setattr(local, "run_here", lambda *arguments: {})
    monkeypatch.setattr(contact, "contact_sheet", fail)
    monkeypatch.setattr(reports, "_cell", fail)
    assert nstyle.main(["--config", "tiny.yaml", "--content", "photo.png", "other.png", "--output", str(place)]) == 1
    found = "\n".join(caplog.messages)
    assert found.count("contact.png: not written") == found.count("results.csv: not written") == 1


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_thumbnail_of_what_cannot_be_read_is_grey(tmp_path, content):
    picture = tmp_path / "a.png"
    if content is not None:
        picture.write_bytes(content)
    thumbnails = Thumbnails(tmp_path)
    assert np.asarray(Image.open(thumbnails.small(picture))).std() < 1
    with pytest.raises(OSError if content is None else UserError):
        thumbnails.resized(picture, 3, 4)
