"""Instant pictures for the page: the process that makes them, also in a stand-in, and what asks it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import random_picture
from processes import PROJECT, python
from test_page_queue import until

from styletransfer.feedforward import style_file
from styletransfer.page import instant_pictures, instant_worker
from styletransfer.page.instant_pictures import InstantPictures
from styletransfer.pictures import images
from styletransfer.support.errors import UserError

# Answers according to the name of the photograph, and writes down what it was asked.
STAND_IN = f"""#!{sys.executable}
import json, os, sys, time
from pathlib import Path

for line in sys.stdin:
    request = json.loads(line)
    name = Path(request["content"]).name
    with open("asked", "a") as stream:
        print(os.getpid(), name, file=stream)
    if name == "crash":
        os.kill(os.getpid(), 9)
    while name == "held" and not Path("release").exists():
        time.sleep(0.01)
    if name == "hang":
        time.sleep(60)
    if name != "wrong":
        Path(request["target"]).write_text(name)
    print(json.dumps({{"error": "cannot be read"}} if name == "wrong" else {{}}), flush=True)
Path("ended").touch()
"""


def request(content, **more):
    usual = {
        "styles": {"a.png": 1.0},
        "trained": None,
        "size": 64,
        "stroke_size": 100,
        "color": "style",
        "strength": 0.7,
    }
    return {"content": str(content), **usual, **more}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stand-in").write_text(STAND_IN)
    (tmp_path / "stand-in").chmod(0o755)
    (tmp_path / "made").mkdir()
    return tmp_path


@pytest.fixture
def pictures(place):
    made = InstantPictures(place / "made", dict(os.environ), str(place / "stand-in"), patience=20)
    with contextlib.closing(made):
        yield made


def asked(place):
    """The requests that came to the stand-in, with its process."""
    with contextlib.suppress(FileNotFoundError):
        return [line.split() for line in (place / "asked").read_text().splitlines()]
    return []


def in_background(pictures, wanted, owner="tab"):
    found = []
    thread = threading.Thread(target=lambda: found.append(pictures.make(wanted, owner)))
    thread.start()
    return thread, found


def test_one_process_makes_all_pictures_each_once(pictures, place):
    first, second = (pictures.make(request(name), "tab") for name in ("one", "two"))
    assert (first.read_text(), second.read_text()) == ("one", "two")
    assert pictures.make(request("one"), "tab") == first != pictures.make(request("one", strength=0.5), "tab")
    assert len({process for process, _ in asked(place)}) == 1 and len(asked(place)) == 3


def test_a_file_that_has_changed_is_another_picture(pictures, place):
    (place / "photo").touch()
    first = pictures.make(request("photo"), "tab")
    os.utime(place / "photo", (1, 1))
    assert pictures.make(request("photo"), "tab") != first


def test_an_error_is_told_in_its_line_and_the_process_stays(pictures, place):
    with pytest.raises(UserError, match=r"^cannot be read$"):
        pictures.make(request("wrong"), "tab")
    assert pictures.make(request("one"), "tab").read_text() == "one"
    assert len({process for process, _ in asked(place)}) == 1


def test_a_process_that_crashes_is_replaced(pictures, place):
    with pytest.raises(
        UserError, match=r"^the process that makes instant pictures has ended with status -9; try again$"
    ):
        pictures.make(request("crash"), "tab")
    assert pictures.make(request("one"), "tab").read_text() == "one"
    assert len({process for process, _ in asked(place)}) == 2


def test_one_that_was_killed_while_it_had_nothing_to_do_too(pictures, place):
    pictures.make(request("one"), "tab")
    ((process, _),) = asked(place)
    os.kill(int(process), 9)
    until(lambda: pictures._process.poll() is not None)
    assert pictures.make(request("two"), "tab").read_text() == "two"


def test_one_that_does_not_answer_is_replaced(place):
    made = InstantPictures(place / "made", dict(os.environ), str(place / "stand-in"), patience=2)
    with contextlib.closing(made):
        assert made.make(request("one"), "tab").read_text() == "one"
        with pytest.raises(UserError, match=r"^no instant picture within 2 seconds; try a smaller one, or again$"):
            made.make(request("hang"), "tab")
        assert made.make(request("two"), "tab").read_text() == "two"
    assert len({process for process, _ in asked(place)}) == 2


def test_a_newer_request_of_a_tab_makes_an_older_one_obsolete(pictures, place):
    held, of_held = in_background(pictures, request("held"))
    until(lambda: asked(place))
    older, of_older = in_background(pictures, request("older"))
    held.join()
    newer, of_newer = in_background(pictures, request("newer"))
    other, of_other = in_background(pictures, request("other"), "another tab")
    older.join()
    (place / "release").touch()
    newer.join(), other.join()
    assert of_held == of_older == [None]
    assert [path.read_text() for path in (*of_newer, *of_other)] == ["newer", "other"]
    assert "older" not in {name for _, name in asked(place)}


def test_the_end_of_the_server_ends_the_process_at_once(place):
    made = InstantPictures(place / "made", dict(os.environ), str(place / "stand-in"))
    thread, found = in_background(made, request("hang"))
    until(lambda: asked(place))
    before = time.monotonic()
    made.close()
    thread.join()
    assert time.monotonic() - before < 10 and found == [None]
    assert made.make(request("one"), "tab") is None


def test_the_process_ends_with_a_server_that_is_killed(place):
    """By the end of its standard input."""
    code = f"""
import os, sys; sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
from styletransfer.page.instant_pictures import InstantPictures
made = InstantPictures(Path("made"), dict(os.environ), "./stand-in")
made.make({request("one")!r}, "tab")
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=place, timeout=60).returncode == -9
    until(lambda: (place / "ended").exists())


def test_only_the_newest_pictures_are_kept(pictures, place, monkeypatch):
    monkeypatch.setattr(instant_pictures, "_MOST_KEPT", 2)
    made = [pictures.make(request(name), "tab") for name in ("one", "two", "three")]
    assert [path.exists() for path in made] == [False, True, True]


# The process itself.


@pytest.fixture(scope="module")
def painter():
    return instant_worker.Painter()


@pytest.fixture
def files(tmp_path):
    for seed, name in enumerate(("photo.png", "first.png", "second.png")):
        images.write(tmp_path / name, random_picture(48, 64, seed))
    return tmp_path


def painted(painter, files, name="made.png", **more):
    styles = more.pop("styles", {"first.png": 1.0})
    wanted = request(files / "photo.png", styles={str(files / name): weight for name, weight in styles.items()}, **more)
    assert instant_worker.answer(painter, {**wanted, "target": str(files / name)}) == {}
    return images.read(files / name)


def test_the_picture_is_that_of_stylize(painter, files):
    from styletransfer import stylize

    blend = stylize(files / "photo.png", {str(files / "first.png"): 1, str(files / "second.png"): 3}, strength=0.7)
    made = painted(painter, files, styles={"first.png": 1.0, "second.png": 3.0})
    np.testing.assert_allclose(made, np.asarray(blend) / 255, atol=2 / 255)


def test_the_settings_have_their_effects(painter, files):
    usual = painted(painter, files)
    for change in ({"strength": 0.2}, {"stroke_size": 50}, {"color": "keep"}, {"color": "match"}):
        assert np.abs(painted(painter, files, **change) - usual).mean() > 0.005, change
    assert painted(painter, files, size=40).shape == (30, 40, 3)


@pytest.mark.skipif(not style_file.names(), reason="no style is bundled")
def test_a_trained_style(painter, files):
    from styletransfer import stylize

    name = style_file.names()[0]
    expected = stylize(files / "photo.png", name)
    np.testing.assert_allclose(painted(painter, files, trained=name), np.asarray(expected) / 255, atol=2 / 255)


def test_errors_are_one_line(painter, files):
    def problem(**change):
        wanted = {**request(files / "photo.png", styles={str(files / "first.png"): 1.0}), **change}
        return instant_worker.answer(painter, {**wanted, "target": str(files / "made.png")})["error"]

    (files / "broken.png").write_bytes(b"no picture")
    for change, words in (
        ({"content": str(files / "gone\n.png")}, "No such file"),
        ({"content": str(files / "broken.png")}, "not a picture"),
        ({"styles": {str(files / "broken.png"): 1.0}}, "not a picture"),
        ({"trained": "nothing"}, "nothing"),
    ):
        said = problem(**change)
        assert words in said and "\n" not in said
    assert not (files / "made.png").exists()


def test_every_request_has_an_answer(files):
    wanted = {**request(files / "photo.png", styles={str(files / "first.png"): 1.0}), "target": str(files / "made.png")}
    answers = io.StringIO()
    instant_worker.serve(
        io.StringIO("".join(json.dumps(each) + "\n" for each in (wanted, {**wanted, "content": "x"}))), answers
    )
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert first == {} and "No such file" in second["error"] and (files / "made.png").exists()


def test_what_libraries_print_is_not_among_the_answers():
    noise = "lambda requests, answers: print('noise') or answers.write('answer')"
    code = f"from styletransfer.page import instant_worker as worker; worker.serve = {noise}; worker.main()"
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "answer", "noise\n"), done.stderr


def test_a_crash_for_no_known_reason_ends_the_process(painter, files, monkeypatch):
    """So that the page replaces it."""
    monkeypatch.setattr(painter, "paint", lambda request: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        instant_worker.answer(painter, {})
