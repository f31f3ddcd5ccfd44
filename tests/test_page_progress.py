"""The progress of a run, from hand-written curves: steps, time left, estimates."""

from __future__ import annotations

import dataclasses

import pytest
from helpers import random_picture

from styletransfer import config as configs
from styletransfer.page import progress
from styletransfer.pictures import images
from styletransfer.session.curves import Curve

SIZE, STEPS = 64, 5


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Two scales, of 32 and 64 pixels, of 5 steps each."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        images.write(tmp_path / name, random_picture(SIZE, SIZE, 1))
    values = {"content": {"image": "a.png"}, "style": {"images": "b.png"}, "output": {"folder": "run"}}
    return configs.parse({**values, "size": SIZE, "scales": 2, "stop": {"max_iterations": STEPS}}, "")


def curve_of(*rows):
    """A curve of (step, scale, seconds)."""
    return Curve(("step", "scale", "seconds"), tuple(rows))


def write(folder, *rows):
    folder.mkdir(exist_ok=True)
    lines = ["step,scale,seconds,total", *(",".join(map(str, (*row, 1.0))) for row in rows)]
    (folder / progress.CURVE).write_text("\n".join(lines) + "\n")


def test_a_run_that_has_made_nothing(config, tmp_path):
    assert progress.read(tmp_path / "run", config) == progress.Progress(None, None, 0, 2 * STEPS, None)


def test_the_steps_of_a_run_are_told_from_its_curve(config, tmp_path):
    write(tmp_path / "run", (0, 0, 1.0), (1, 0, 3.0), (2, 0, 5.0))
    now = progress.read(tmp_path / "run", config)
    assert (now.step, now.steps) == (2, 2 * STEPS)
    # Two seconds for a step; three are left at this scale, and five of four times as many pixels.
    assert now.seconds_left == pytest.approx(2.0 * (3 + 5 * 4))


def test_a_curve_that_is_just_being_written_or_damaged_is_none(config, tmp_path):
    (tmp_path / "run").mkdir()
    for text in ("", "step,scale,seconds\n", "step,scale\nx,y\n"):
        (tmp_path / "run" / progress.CURVE).write_text(text)
        assert progress.read(tmp_path / "run", config).step == 0


def test_the_pictures_are_gone(config, tmp_path):
    (tmp_path / "a.png").unlink()
    write(tmp_path / "run", (0, 0, 1.0), (1, 0, 3.0))
    now = progress.read(tmp_path / "run", config)
    assert (now.step, now.steps, now.seconds_left) == (1, 0, None)


def test_the_time_left_is_that_of_the_recent_steps():
    slow = [(step, 0, 10.0 * step) for step in range(11)]
    fast = [(10 + step, 0, 100.0 + step) for step in range(1, 11)]
    assert progress.seconds_left(curve_of(*slow, *fast), [(30, 100)]) == pytest.approx(10.0)


def test_the_time_left_is_told_from_the_present_scale():
    rows = [(step, 0, 0.1 * step) for step in range(6)] + [(6, 1, 2.0), (7, 1, 4.0), (8, 1, 6.0)]
    assert progress.seconds_left(curve_of(*rows), [(5, 100), (5, 400)]) == pytest.approx(2.0 * 3)


def test_one_step_tells_no_time():
    assert progress.seconds_left(curve_of((0, 0, 1.0)), [(5, 100)]) is None
    assert progress.seconds_left(curve_of((0, 0, 1.0), (1, 1, 2.0)), [(5, 100), (5, 400)]) is None


def test_a_scale_that_the_config_does_not_have_tells_no_time():
    assert progress.seconds_left(curve_of((0, 2, 1.0), (1, 2, 2.0)), [(5, 100), (5, 400)]) is None


def test_the_time_of_a_finished_run_estimates_another(config, tmp_path):
    work = STEPS * (32 * 32 + 64 * 64)
    write(tmp_path / "run", (0, 0, 1.0), (2 * STEPS, 1, 20.0))
    found = progress.seconds_of_a_pixel(tmp_path / "run", config)
    assert found == pytest.approx(20.0 / work)
    memory, seconds = progress.estimate(config, found)
    assert seconds == pytest.approx(20.0)
    assert memory is None or memory > 0
    assert progress.estimate(config, None)[1] is None


def test_an_unfinished_run_estimates_none(config, tmp_path):
    write(tmp_path / "run", (0, 0, 1.0), (3, 0, 20.0))
    assert progress.seconds_of_a_pixel(tmp_path / "run", config) is None
    assert progress.seconds_of_a_pixel(tmp_path / "none", config) is None


def test_progress_cannot_be_changed(config, tmp_path):
    with pytest.raises(dataclasses.FrozenInstanceError):
        progress.read(tmp_path / "run", config).step = 3
