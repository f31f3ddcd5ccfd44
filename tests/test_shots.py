"""Shots of videos: cuts are found, and a video in a painting's style that is resumed within a shot is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_videos import film, scene

from scripts.stylize import main
from styletransfer.feedforward import shots
from styletransfer.feedforward.paintings import PaintingStylizer
from styletransfer.pictures import images

CUT = 5


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a painting and a video of two shots; the second becomes brighter, not at once."""
    monkeypatch.chdir(tmp_path)
    night = [np.rint(scene(index) * (0.5 + 0.06 * index)).astype(np.uint8) for index in range(4)]
    film("clip.mp4", [scene(index) for index in range(CUT)] + [255 - frame for frame in night])
    images.write("paint.png", np.random.default_rng(0).random((20, 20, 3)).astype(np.float32))
    return tmp_path


def command(*arguments: str) -> int:
    return main(["clip.mp4", "--style", "paint.png", "--precision", "float32", *arguments])


def test_a_cut_is_found_and_slow_changes_are_none(place: Path) -> None:
    assert shots.starts(Path("clip.mp4")) == [0, CUT]
    film("fade.mp4", [np.full((26, 34, 3), 20 * index, np.uint8) for index in range(10)])
    assert shots.starts(Path("fade.mp4")) == [0]


@pytest.mark.parametrize("after", [1, CUT - 1, CUT, CUT + 1])
def test_a_video_that_is_resumed_within_a_shot_is_the_same(
    place: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    assert command("--output", "whole.mp4") == 0
    begun, call = [], PaintingStylizer.__call__

    def interrupted(self: PaintingStylizer, picture: np.ndarray) -> np.ndarray:
        if len(begun) == after:
            raise KeyboardInterrupt
        begun.append(None)
        return call(self, picture)

    with monkeypatch.context() as patch:
        patch.setattr(PaintingStylizer, "__call__", interrupted)
        assert command() != 0
    assert Path(".clip_paint.mp4.parts").is_dir()
    assert command("--resume") == 0
    assert Path("clip_paint.mp4").read_bytes() == Path("whole.mp4").read_bytes()
