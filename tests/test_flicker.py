"""Flicker along a known motion: the pan, and styles that flicker by a known amount."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feedforward_helpers import random_style
from helpers import random_picture

from scripts.flicker import main
from styletransfer.feedforward import style_file
from styletransfer.judging import flicker as study
from styletransfer.pictures import images


def test_frames_are_parts_of_the_photograph() -> None:
    photograph = random_picture(80, 100, seed=0)
    frames = list(study.pan(photograph, 6, noise=0.0))
    assert len(frames) == 6 and frames[0][1] == (0, 0)
    places = np.cumsum([step for _, step in frames], axis=0)
    places -= places.min(axis=0)
    for (frame, _), (top, left) in zip(frames, places):
        height, width = frame.shape[:2]
        np.testing.assert_array_equal(frame, photograph[top : top + height, left : left + width].astype(np.float32))
    assert frame.shape[0] + places[:, 0].max() == 80 and frame.shape[1] + places[:, 1].max() == 100


def test_what_moves_with_the_scene_does_not_flicker() -> None:
    before, after = study.flicker(random_picture(90, 120, seed=1), lambda frame: 1 - frame**2, noise=0.0)
    assert before == 0 and after < 1e-4


def test_noise_flickers_by_its_mean_absolute_difference() -> None:
    """Which is 2 / sqrt(pi) standard deviations between two normal numbers; `stylise` halves it."""
    before, after = study.flicker(np.full((150, 200, 3), 0.5, np.float32), lambda frame: frame / 2, noise=5.0)
    assert before == pytest.approx(5 * 2 / np.sqrt(np.pi), rel=0.01)
    assert after == pytest.approx(before / 2, rel=1e-3)


def test_what_stays_in_the_picture_flickers() -> None:
    """Stripes of 4 pixels that do not move with the scene, after steps of 2, 3, 1 and 2 columns."""

    def stylise(frame: np.ndarray) -> np.ndarray:
        stripes = np.arange(frame.shape[1]) % 4 < 2
        return np.broadcast_to(stripes[None, :, None], frame.shape).astype(np.float32)

    _, after = study.flicker(random_picture(90, 124, seed=2), stylise, frames=5, noise=0.0)
    assert after == pytest.approx(255 * np.mean([1, 0.5, 0.5, 1]), rel=0.02)


def test_the_command_prints_a_row_for_each_style_and_photograph(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    style_file.write(Path("random.npz"), random_style())
    images.write("photo.png", random_picture(80, 96, seed=3))
    assert main(["random.npz", "--photographs", "photo.png", "--size", "96", "--frames", "3"]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["style", "photograph", "frames", "style", "ratio"]
    name, photograph, *numbers = row.split()
    assert (name, photograph) == ("random", "photo") and all(float(number) > 0 for number in numbers)
