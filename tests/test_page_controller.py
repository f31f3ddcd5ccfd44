"""Styles on the page: instant pictures, and runs that start in a style; the run itself is a stand-in."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import pytest
from helpers import random_picture
from test_page_queue import STAND_IN, a_queue, add, begun, end, state, until

from styletransfer.page.controller import PageController
from styletransfer.page.samples import InstantStyle
from styletransfer.pictures import images
from styletransfer.support.errors import UserError

NIGHT = InstantStyle("night", Path("painting.png"))


@pytest.fixture
def controller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stand-in").write_text(STAND_IN)
    (tmp_path / "stand-in").chmod(0o755)
    for seed, name in enumerate(("photo.png", "painting.png")):
        images.write(tmp_path / name, random_picture(40, 56, seed))
    for folder in ("output", "cache", "arrivals"):
        (tmp_path / folder).mkdir()
    with contextlib.closing(a_queue(tmp_path / "output")) as queue:
        yield PageController(queue, tmp_path / "cache", tmp_path / "arrivals")


def test_an_instant_picture_goes_before_those_that_wait(controller):
    queue = controller.queue
    add(queue, "a", "b")
    begun(queue, "a")
    name = controller.instant("photo.png", NIGHT, 128, "style")
    assert name.endswith("photo-x-painting") and queue.waiting == [name, "b"]
    end(queue.folder, name), end(queue.folder, "b"), end(queue.folder, "a")
    until(lambda: state(queue, name) == "done")
    assert queue.config(name).steps == [0]


def test_without_a_photograph_there_is_no_instant_picture(controller):
    with pytest.raises(UserError, match="choose a photograph first"):
        controller.instant(None, NIGHT, 128, "style")
    assert controller.queue.waiting == [] and controller.queue.current is None


def test_what_follows_an_instant_picture_has_the_usual_steps(controller):
    name = controller.instant("photo.png", NIGHT, 128, "style")
    end(controller.queue.folder, name)
    until(lambda: state(controller.queue, name) == "done")
    images.write(controller.queue.folder / name / "image.png", random_picture(91, 128, 3))
    chosen = controller.choices_of(name)
    assert (chosen.steps, chosen.start) == (12, "night")
    further = controller.go_on(name, chosen)
    config = controller.queue.config(further)
    assert (config.init.kind, config.steps, config.style.images) == ("image", [12], {"painting.png": 1.0})
    end(controller.queue.folder, further)


def test_a_stopped_run_goes_on_where_it_was_whatever_start_is_chosen_now(controller):
    name = controller.instant("photo.png", NIGHT, 128, "style")
    begun(controller.queue, name)
    controller.stop(name)
    until(lambda: state(controller.queue, name) == "stopped")
    chosen = dataclasses.replace(controller.choices_of(name), start=None)
    assert controller.go_on(name, chosen) == name
    assert controller.queue.config(name).init.name == "night"
    end(controller.queue.folder, name)
