"""The actions of the page: instant pictures, and runs that start from them; run and worker are stand-ins."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil

import pytest
from helpers import random_picture
from test_page_instant import STAND_IN as WORKER
from test_page_queue import STAND_IN, a_queue, begun, end, state, until

from styletransfer.page import choices, runs
from styletransfer.page.controller import PageController
from styletransfer.page.instant_pictures import InstantPictures
from styletransfer.pictures import images
from styletransfer.support.errors import UserError

CHOSEN = dataclasses.replace(choices.from_config({}), content="photo.png", styles={"painting.png": 1.0}, size=128)


@pytest.fixture
def controller(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("stand-in", STAND_IN), ("worker", WORKER)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    for seed, name in enumerate(("photo.png", "painting.png")):
        images.write(tmp_path / name, random_picture(40, 56, seed))
    for folder in ("output", "cache", "arrivals", "made"):
        (tmp_path / folder).mkdir()
    instant = InstantPictures(tmp_path / "made", dict(os.environ), str(tmp_path / "worker"))
    with contextlib.closing(a_queue(tmp_path / "output")) as queue, contextlib.closing(instant):
        yield PageController(queue, instant, tmp_path / "cache", tmp_path / "arrivals")


@pytest.fixture
def preview(controller, tmp_path):
    preview = controller.instant(CHOSEN, "tab")
    shutil.copy(tmp_path / "photo.png", preview.picture)
    return preview


def started(controller):
    name = controller.start(CHOSEN)
    begun(controller.queue, name)
    return name


def test_an_instant_picture_is_shown_with_its_photograph_and_can_be_saved(controller, preview):
    assert preview.title == runs.title("photo.png", ["painting.png"])
    view = controller.view(None, preview)
    assert view.picture == preview.picture and preview.title in view.status
    assert images.size(view.compared[0]) == images.size(view.compared[1]) == (40, 56)
    assert view.downloads[0].name == "photo-painting.jpg" and view.downloads[1] is None
    assert not view.can_stop and not view.can_go_on and controller.queue.latest is None


def test_it_is_shown_until_the_run_that_starts_from_it_has_a_picture(controller, preview):
    name = started(controller)
    assert controller.view(name, preview).picture == preview.picture
    (controller.queue.folder / name / "steps").mkdir()
    shutil.copy(preview.picture, controller.queue.folder / name / "steps" / "000001.jpg")
    assert controller.view(name, preview).picture.name == "000001.jpg"
    end(controller.queue.folder, name)


def test_without_pictures_there_is_nothing_to_show(controller):
    for missing in ({"content": None}, {"styles": {}}):
        with pytest.raises(UserError, match="choose a"):
            controller.instant(dataclasses.replace(CHOSEN, **missing), "tab")
    view = controller.view(None, None)
    assert view.picture is None and "Choose a photograph and a painting" in view.status


def test_the_title_of_a_trained_style_is_its_name(controller):
    assert controller.instant(dataclasses.replace(CHOSEN, trained="night"), "tab").title == runs.title(
        "photo.png", ["night"]
    )


def test_a_stopped_run_goes_on_where_it_was_whatever_start_is_chosen_now(controller, tmp_path):
    name = started(controller)
    controller.stop(name)
    until(lambda: state(controller.queue, name) == "stopped")
    chosen = dataclasses.replace(
        controller.choices_of(name), content=str(tmp_path / "photo.png"), strength=0.1, trained="night"
    )
    assert controller.go_on(name, chosen) == name
    assert controller.queue.config(name).init.kind == "instant"
    end(controller.queue.folder, name)


def test_with_another_painting_it_starts_from_its_picture(controller):
    name = started(controller)
    end(controller.queue.folder, name)
    until(lambda: state(controller.queue, name) == "done")
    images.write(controller.queue.folder / name / "image.png", random_picture(91, 128, 3))
    further = controller.go_on(name, dataclasses.replace(controller.choices_of(name), style_weight=50.0))
    assert further != name and controller.queue.config(further).init.kind == "image"
    end(controller.queue.folder, further)
