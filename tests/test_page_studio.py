"""What the page does with styles: instant pictures, and runs that start in a style; the run itself is a stand-in."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from helpers import random_picture
from test_page_queue import STAND_IN, a_queue, add, begun, end, state, until

from styletransfer.page.samples import InstantStyle
from styletransfer.page.studio import Studio
from styletransfer.pictures import images
from styletransfer.support.errors import UserError

NIGHT = InstantStyle("night", Path("painting.png"))


@pytest.fixture
def studio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stand-in").write_text(STAND_IN)
    (tmp_path / "stand-in").chmod(0o755)
    for seed, name in enumerate(("photo.png", "painting.png")):
        images.write(tmp_path / name, random_picture(40, 56, seed))
    for folder in ("output", "cache", "arrivals"):
        (tmp_path / folder).mkdir()
    with contextlib.closing(a_queue(tmp_path / "output")) as queue:
        yield Studio(queue, tmp_path / "cache", tmp_path / "arrivals")


def test_an_instant_picture_goes_before_those_that_wait(studio):
    queue = studio.queue
    add(queue, "a", "b")
    begun(queue, "a")
    name = studio.instant("photo.png", NIGHT, 128, "style")
    assert name.endswith("photo-x-painting") and queue.waiting == [name, "b"]
    end(queue.folder, name), end(queue.folder, "b"), end(queue.folder, "a")
    until(lambda: state(queue, name) == "done")
    assert queue.config(name).steps == [0]


def test_without_a_photograph_there_is_no_instant_picture(studio):
    with pytest.raises(UserError, match="choose a photograph first"):
        studio.instant(None, NIGHT, 128, "style")
    assert studio.queue.waiting == [] and studio.queue.current is None


def test_what_follows_an_instant_picture_has_the_usual_steps(studio):
    name = studio.instant("photo.png", NIGHT, 128, "style")
    end(studio.queue.folder, name)
    until(lambda: state(studio.queue, name) == "done")
    images.write(studio.queue.folder / name / "image.png", random_picture(91, 128, 3))
    chosen = studio.choices_of(name)
    assert (chosen.steps, chosen.start) == (60, "night")
    further = studio.go_on(name, chosen)
    config = studio.queue.config(further)
    assert (config.init.kind, config.steps, config.style.images) == ("image", [60], {"painting.png": 1.0})
    end(studio.queue.folder, further)


def test_a_stopped_run_goes_on_where_it_was_whatever_start_is_chosen_now(studio):
    name = studio.instant("photo.png", NIGHT, 128, "style")
    begun(studio.queue, name)
    studio.stop(name)
    until(lambda: state(studio.queue, name) == "stopped")
    chosen = dataclasses.replace(studio.choices_of(name), start=None)
    assert studio.go_on(name, chosen) == name
    assert studio.queue.config(name).init.name == "night"
    end(studio.queue.folder, name)
