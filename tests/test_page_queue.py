"""The runs of the page: one at a time, in line, stopped with their states saved; the run itself is a stand-in."""

from __future__ import annotations

import contextlib
import os
import time

import pytest
from helpers import random_picture

from styletransfer import config as configs
from styletransfer.page import job_queue
from styletransfer.page.job_queue import JobQueue
from styletransfer.pictures import images
from styletransfer.support.errors import UserError

# Does what a run does with its folder and with SIGINT; ends when there is a file `end` in the folder, whose text is its
# exit status.
STAND_IN = """#!/bin/bash
config=$3; folder=${config%/job.yaml}
echo "$@" >> "$folder/calls"
trap 'exit 130' INT
[ -e "$folder/loading" ] || trap 'touch "$folder/checkpoint.npz"; echo saved >&2; exit 75' INT
[ "$4" = --resume ] && [ ! -e "$folder/checkpoint.npz" ] && { echo "error: no checkpoint" >&2; exit 2; }
cp "$config" "$folder/config.yaml"
touch "$folder/begun"
until [ -e "$folder/end" ]; do sleep 0.01; done
status=$(cat "$folder/end")
[ "$status" = 0 ] && echo done > "$folder/run.status" && touch "$folder/image.png"
echo "error: as told" >&2
exit "$status"
"""


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """The folder of all runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stand-in").write_text(STAND_IN)
    (tmp_path / "stand-in").chmod(0o755)
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


@pytest.fixture
def queue(studio):
    with contextlib.closing(a_queue(studio)) as queue:
        yield queue


def a_queue(studio):
    return JobQueue(studio, dict(os.environ), str(studio.parent / "stand-in"))


def config_of(name, **more):
    values = {"content": {"image": "a.png"}, "style": {"images": "b.png"}, "output": {"folder": f"output/{name}"}}
    return configs.parse({**values, **more}, "")


def add(queue, *names, **options):
    for name in names:
        queue.add(name, config_of(name), **options)


def end(studio, name, status=0):
    """Let a run end."""
    (studio / name).mkdir(exist_ok=True)
    (studio / name / "end").write_text(f"{status}\n")


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def begun(queue, name):
    until(lambda: queue.current == name and (queue.folder / name / "begun").exists())


def state(queue, name):
    found = queue.status(name)
    return found and found.name


def test_one_run_at_a_time_in_the_order_of_the_line(queue, studio):
    add(queue, "a", "b", "c")
    begun(queue, "a")
    assert queue.waiting == ["b", "c"]
    assert [queue.status(name).place for name in "abc"] == [0, 1, 2]
    assert [state(queue, name) for name in "abc"] == ["running", "waiting", "waiting"]
    assert not (studio / "b").exists()
    end(studio, "a")
    begun(queue, "b")
    assert (state(queue, "a"), queue.waiting, queue.status("c").place) == ("done", ["c"], 1)
    end(studio, "b"), end(studio, "c")
    until(lambda: queue.current is None)
    assert [state(queue, name) for name in "abc"] == ["done"] * 3
    assert queue.latest == "c" and (studio / "a" / "job.status").read_text() == "0\n"


def test_the_config_is_written_for_the_run(queue, studio):
    queue.add("a", config_of("a", seed=7))
    begun(queue, "a")
    assert configs.read_file(studio / "a" / "job.yaml")["seed"] == 7
    script, *options = (studio / "a" / "calls").read_text().split()
    assert script.endswith("scripts/nstyle.py") and options == ["--config", str(studio / "a" / "job.yaml")]
    end(studio, "a")


def test_a_stopped_run_saves_its_state_and_continues(queue, studio):
    add(queue, "a", "b")
    begun(queue, "a")
    queue.stop("a")
    assert state(queue, "a") in ("stopping", "stopped")
    begun(queue, "b")
    assert state(queue, "a") == "stopped"
    queue.resume("a", config_of("a"))
    assert queue.status("a").place == 1
    end(studio, "a"), end(studio, "b")
    until(lambda: queue.current is None and not queue.waiting)
    assert state(queue, "a") == "done"
    assert [line.split()[3:] for line in (studio / "a" / "calls").read_text().splitlines()] == [[], ["--resume"]]


def test_a_run_is_told_to_stop_once(queue, studio):
    """A second signal would end it without saving."""
    add(queue, "a")
    begun(queue, "a")
    for _ in range(3):
        queue.stop("a")
    until(lambda: queue.current is None)
    assert (studio / "a" / "job.log").read_text() == "saved\n"
    assert state(queue, "a") == "stopped"


def test_a_run_that_is_stopped_while_it_loads_has_made_nothing(queue, studio):
    (studio / "a").mkdir()
    (studio / "a" / "loading").touch()
    add(queue, "a")
    begun(queue, "a")
    queue.stop("a")
    until(lambda: queue.current is None)
    assert state(queue, "a") == "left"
    (studio / "a" / "loading").unlink()
    end(studio, "a")
    queue.resume("a", config_of("a"))
    until(lambda: state(queue, "a") == "done")


@pytest.mark.parametrize("stop", [False, True])
def test_a_run_whose_steps_have_stopped_is_killed(queue, studio, monkeypatch, stop):
    """If it has been told to stop, it counts as stopped."""

    class Dog:
        def look(self, told=False):
            return "no step for 11 minutes" if told == stop and (studio / "a" / "begun").exists() else None

    monkeypatch.setattr(job_queue, "watchdog_of", lambda job: Dog())
    monkeypatch.setattr(job_queue, "TICK", 0.02)
    (studio.parent / "stand-in").write_text(f"#!/bin/bash\ntrap '' INT TERM\ntouch {studio}/a/begun\nexec sleep 60\n")
    add(queue, "a")
    if stop:
        begun(queue, "a")
        queue.stop("a")
    until(lambda: queue.current is None and queue.status("a") is not None and not queue.waiting)
    found = queue.status("a")
    if stop:
        assert found.name == "left"
    else:
        assert found.reason == f"killed by SIGKILL; log: {studio}/a/job.log; last output: no step for 11 minutes"


def test_a_waiting_run_is_taken_out_of_the_line(queue, studio):
    add(queue, "a", "b")
    begun(queue, "a")
    queue.stop("b")
    assert queue.waiting == [] and queue.status("b") is not None
    end(studio, "a")
    until(lambda: queue.current is None)
    assert not (studio / "b").exists() and state(queue, "b") == "left"


@pytest.mark.parametrize(
    ("status", "words"), [(2, "as told"), (3, "as told"), (1, "exit status 1: as told"), (9, "exit status 9")]
)
def test_a_run_that_fails_says_why_and_the_next_is_made(queue, studio, status, words):
    end(studio, "a", status), end(studio, "b")
    add(queue, "a", "b")
    until(lambda: state(queue, "b") == "done")
    assert state(queue, "a") == "failed" and words in queue.status("a").reason


def test_a_folder_that_cannot_be_made_is_a_failed_run(queue, studio):
    (studio / "a").write_text("a file")
    end(studio, "b")
    add(queue, "a", "b")
    until(lambda: state(queue, "b") == "done")
    assert state(queue, "a") == "failed" and "exists" in queue.status("a").reason


def test_a_run_may_start_from_the_picture_of_another(queue, studio):
    picture = random_picture(20, 30, seed=1)
    add(queue, "a")
    begun(queue, "a")
    add(queue, "b")
    (studio / "a" / "steps").mkdir()
    for step, found in (("000004", random_picture(20, 30, seed=2)), ("000008", picture)):
        images.write(studio / "a" / "steps" / f"{step}.jpg", found)
    add(queue, "c", start_from=studio / "a", first=True)
    assert queue.waiting == ["c", "b"]
    queue.stop("a")
    begun(queue, "c")
    start = images.read(studio / "c" / "start.png")
    assert (start == images.read(studio / "a" / "steps" / "000008.jpg")).all()
    end(studio, "b"), end(studio, "c")


def test_a_run_whose_start_is_gone_fails(queue, studio):
    add(queue, "c", start_from=studio / "a")
    until(lambda: state(queue, "c") == "failed")
    assert queue.status("c").reason == "the run to continue from no longer has a picture"


def test_the_line_has_an_end(queue, studio, monkeypatch):
    monkeypatch.setattr(job_queue, "MOST_WAITING", 2)
    add(queue, "a")
    begun(queue, "a")
    add(queue, "b", "c")
    with pytest.raises(UserError, match="2 runs are waiting already"):
        add(queue, "d")
    assert queue.status("d") is None
    with pytest.raises(UserError, match="already running or waiting"):
        queue.resume("b", config_of("b"))
    with pytest.raises(UserError, match="already running or waiting"):
        queue.resume("a", config_of("a"))


def test_the_end_of_the_server_saves_the_state_of_the_run(studio):
    queue = a_queue(studio)
    add(queue, "a", "b")
    begun(queue, "a")
    queue.close()
    assert (studio / "a" / "checkpoint.npz").exists()
    assert (state(queue, "a"), queue.current, queue.waiting) == ("stopped", None, [])


def test_the_next_server_finds_the_runs_of_the_last(studio):
    first = a_queue(studio)
    add(first, "a")
    begun(first, "a")
    first.close()
    with contextlib.closing(a_queue(studio)) as queue:
        assert queue.latest is None
        assert state(queue, "a") == "stopped"
        found, expected = (one.config("a").model_dump(exclude={"output"}) for one in (queue, first))
        assert found == expected
        end(studio, "a")
        queue.resume("a", queue.config("a"))
        until(lambda: state(queue, "a") == "done")
        assert queue.latest == "a"


def test_a_run_of_another_process_is_not_started_again(queue, studio):
    with contextlib.closing(a_queue(studio)) as other:
        add(other, "a")
        begun(other, "a")
        assert state(queue, "a") == "running"
        queue.resume("a", config_of("a"))
        until(lambda: state(queue, "a") == "failed")
        assert queue.status("a").reason == "another process is at work in the folder of this run"


def test_what_is_not_there_has_no_state(queue):
    assert queue.status("nothing") is None
    queue.stop("nothing")
    with pytest.raises(UserError, match="No such file"):
        queue.config("nothing")
