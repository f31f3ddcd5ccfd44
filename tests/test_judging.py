"""The judge: distances of pictures, by SqueezeNet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import random_parameters, random_picture
from processes import PROJECT

from models import model_squeezenet
from styletransfer import images, judging, weights

TEACHER = PROJECT.parent / "shared" / "teacher" / "compressed_SqueezeNet.net"
PICTURES = PROJECT.parent / "shared" / "images"


@pytest.fixture(scope="module")
def judge() -> judging.Judge:
    return judging.Judge(random_parameters("squeezenet"))


def test_a_picture_is_at_no_distance_from_itself(judge: judging.Judge) -> None:
    picture = random_picture(60, 80, 0)
    assert judge.style_distance(picture, picture) == 0
    assert judge.content_distance(picture, picture) == 0


def test_the_distances_are_those_of_the_formulas(judge: judging.Judge) -> None:
    picture, other = random_picture(60, 80, 0), random_picture(60, 80, 1)
    found, wanted = judge.features(picture), judge.features(other)
    expected = []
    for layer in judging.STYLE_LAYERS:
        ours, theirs = (np.einsum("ik,jk->ij", f[layer], f[layer]) / f[layer].size for f in (found, wanted))
        expected.append(((ours - theirs) ** 2).sum() / (theirs**2).sum())
    assert judge.style_distance(picture, other) == pytest.approx(np.mean(expected), rel=1e-9)
    content = ((found["fire5"] - wanted["fire5"]) ** 2).sum() / (wanted["fire5"] ** 2).sum()
    assert judge.content_distance(picture, other) == pytest.approx(content, rel=1e-9)


def test_the_command_judges_pictures_and_makes_them(tmp_path: Path) -> None:
    file = tmp_path / "squeezenet.params"
    weights.save(file, weights.random(model_squeezenet.SPEC, 0))
    images.write(tmp_path / "photo.png", random_picture(60, 80, 0))
    images.write(tmp_path / "style.png", random_picture(70, 70, 1))
    command = [
        sys.executable,
        "scripts/judge.py",
        "--content",
        tmp_path / "photo.png",
        "--style",
        tmp_path / "style.png",
    ]
    command += ["--size", "80", "--judge", file, "--set", "stop.max_iterations=3", "--output", tmp_path / "out"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "style.png" in done.stdout
    assert images.read(tmp_path / "out" / "style.png").shape == (60, 80, 3)
    wrong = subprocess.run([*command, "--picture", "a", "b"], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1


@pytest.mark.skipif(
    not (TEACHER.exists() and PICTURES.exists()), reason="the real pictures and SqueezeNet are not here"
)
def test_the_bundled_network_brings_pictures_closer_than_the_photograph_is(tmp_path: Path) -> None:
    assignments = ["stop.max_iterations=40"]
    (verdict,) = judging.verdicts(
        str(PICTURES / "IMG_4343.jpg"), [str(PICTURES / "starry_night.jpg")], None, 192, assignments, str(TEACHER), None
    )
    assert verdict.style_distance < 0.6 * verdict.untouched
    assert verdict.content_distance < 1.5
