"""Several photographs, or a folder of them: one picture each, as a sweep without a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import random_parameters, random_picture
from PIL import Image
from processes import NSTYLE

from scripts.nstyle import main
from styletransfer import weights
from styletransfer.pictures import images
from styletransfer.session import session
from styletransfer.support.errors import UserError
from styletransfer.sweeps import photographs, sweep_file

TINY = (
    "model=vgg_slim",
    "init.kind=matched",
    "weights=random.params",
    "size=40",
    "stop.max_iterations=1",
    "output.save_every=0",
    "optimizer.name=sgd",
)


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "more/c.png", ".hidden.png"):
        images.write(tmp_path / "photos" / name, random_picture(30, 40, seed=len(name)))
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    images.write("painting.png", random_picture(44, 30, seed=2))
    return tmp_path


def test_a_folder_stands_for_the_pictures_in_it_by_name():
    assert sweep_file.list_photographs(["photos"]) == ["photos/a.JPG", "photos/b.png"]


def test_files_stay_in_their_order_and_count_once():
    given = ["z.png", "photos/b.png", "photos", "./z.png", str(Path("z.png").absolute()), "photos//a.JPG"]
    assert sweep_file.list_photographs(given) == ["z.png", "photos/b.png", "photos/a.JPG"]


def test_a_folder_without_pictures_is_refused():
    Path("empty").mkdir()
    with pytest.raises(UserError, match=r"^empty: no picture in this folder$"):
        sweep_file.list_photographs(["empty"])


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        (["photos/*"], ["photos/a.JPG", "photos/b.png", "photos/more", "photos/notes.txt"]),
        (["photos/*.png", "photos/?.*"], ["photos/b.png", "photos/a.JPG"]),
        (["input/cof*.jpg", None, None], ["input/coffee.jpg", None]),
        (["[1].png"], ["[1].png"]),
    ],
)
def test_a_pattern_stands_for_the_files_that_match_here_or_in_the_project(given, listed):
    Path("[1].png").touch()
    assert sweep_file.list_photographs(given) == listed


def test_a_pattern_without_files_is_refused():
    with pytest.raises(UserError, match=r"^sweep: photos/\*\.gif: no such files$"):
        sweep_file.list_photographs(["photos/*.gif"], "sweep: ")


@pytest.mark.parametrize("folder", [None, "out/holiday"])
def test_every_photograph_has_a_folder_in_the_output_folder(folder):
    values = {"style": {"images": "painting.png"}, "content": {"weight": 2}}
    if folder:
        values["output"] = {"folder": folder, "format": "jpg"}
    plan = photographs.sweep(values, ["photos/b.png", "photos/a.JPG", "other/b.png"], "here", ["size=99"])
    inside = folder or "output/mine"
    assert plan.name == inside.rpartition("/")[2] and str(plan.folder) == inside
    assert [str(job.folder) for job in plan.jobs] == [f"{inside}/{name}" for name in ("photos-b", "a", "other-b")]
    assert [job.config.content.image for job in plan.jobs] == ["photos/b.png", "photos/a.JPG", "other/b.png"]
    assert all(job.config.content.weight == 2 and job.config.size == 99 for job in plan.jobs)
    assert all(job.config.output.format == ("jpg" if folder else "png") for job in plan.jobs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--content", "photos", "--set", "sise=3"],
            "the command line, job a: unknown key 'sise'; did you mean 'size'?",
        ),
        (["--content", "photos/a.JPG", "photos/b.png", "--set", "content.image=x"], "the sweep varies content.image"),
        (
            ["--content", "photos/more", "photos/none", "--output", "painting.png"],
            "painting.png is a file; name a folder",
        ),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_made(studio, capsys, options, words):
    before = sorted(studio.rglob("*"))
    assert main([*options, "--style", "painting.png"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(studio.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "paintings"),
    [
        (["--style", "painting.png", "other.png"], ["painting.png", "other.png"]),
        (["--style", "painting.png", "--style", "other.png"], ["painting.png", "other.png"]),
        (["--style", "photos"], ["photos/a.JPG", "photos/b.png"]),
        (["--style", "photos", "photos/b.png", "painting.png"], ["photos/a.JPG", "photos/b.png", "painting.png"]),
        (["--style", "painting.png", "./painting.png"], ["painting.png"]),
        (["--style", "painting.png", "--set", "style.images=[photos]"], ["photos/a.JPG", "photos/b.png"]),
    ],
)
def test_paintings_are_given_one_by_one_or_as_a_folder(monkeypatch, options, paintings):
    seen = []
    monkeypatch.setattr(session, "run", lambda task, *_, **__: seen.append(task.config.style.images))
    assert main(["--content", "photos/b.png", *options]) == 0
    assert seen == [dict.fromkeys(paintings, 1.0)]


def nstyle(*options):
    settings = [word for setting in TINY for word in ("--set", setting)]
    command = [sys.executable, str(NSTYLE), "--style", "painting.png", "--output", "out", *settings, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_a_picture_is_made_of_each_and_the_same_again_makes_what_is_missing(studio):
    """In formats of their own; a photograph that is broken does not stop the others."""
    weights.save(studio / "random.params", random_parameters("vgg_slim"))
    (studio / "photos" / "broken.png").write_bytes((studio / "photos" / "b.png").read_bytes()[:700])
    options = ("--content", "photos", "--set", "output.format=webp")
    done = nstyle(*options)
    assert done.returncode == 1 and done.stdout.splitlines() == ["out/a/image.webp", "out/b/image.webp"]
    assert "broken: failed: picture photos/broken.png: cannot be read" in done.stderr
    assert Image.open("out/a/image.webp").size == (40, 30)
    assert (studio / "out" / "contact.png").exists() and (studio / "out" / "results.csv").exists()
    with Image.open("out/contact.png") as sheet:
        assert np.asarray(sheet).std() > 10
    before = (studio / "out/a/image.webp").stat().st_mtime_ns

    images.write("photos/broken.png", random_picture(30, 40, seed=7))
    again = nstyle(*options)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == ["out/a/image.webp", "out/b/image.webp", "out/broken/image.webp"]
    assert "2 of 3 already done" in again.stderr
    assert (studio / "out/a/image.webp").stat().st_mtime_ns == before

    changed = nstyle(*options, "--set", "output.quality=50")
    assert changed.returncode == 2 and "contains a run with another output.quality" in changed.stderr
    forced = nstyle("--content", "photos", "--force")
    assert forced.returncode == 0, forced.stderr
    assert forced.stdout.splitlines()[0] == "out/a/image.png" and not (studio / "out/a/image.webp").exists()
    assert yaml.safe_load((studio / "out/a/config.yaml").read_text())["content"]["image"] == "photos/a.JPG"
