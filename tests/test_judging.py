"""Pictures judged by every available judge, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import random_parameters, random_picture
from processes import PROJECT, python

from styletransfer import weights
from styletransfer.pictures import images
from styletransfer.studies import eyes, judging

TEACHER = PROJECT.parent / "shared" / "teacher" / "compressed_SqueezeNet.net"
PICTURES = PROJECT.parent / "shared" / "images"


def test_a_verdict_has_the_distances_of_each_judge(tmp_path: Path) -> None:
    both = [eyes.vgg19(random_parameters("vgg19")), eyes.squeezenet(random_parameters("squeezenet"))]
    photograph, painting, picture = (
        np.rint(random_picture(*shape, seed) * 255) / 255 for seed, shape in enumerate([(60, 80), (80, 70), (60, 80)])
    )
    files = [str(tmp_path / f"{name}.png") for name in ("photo", "painting", "picture")]
    for file, values in zip(files, (photograph, painting, picture)):
        images.write(file, values)
    content, style, made = files
    (verdict,) = judging.verdicts(content, [style], [made], 80, [], both, None)
    assert (verdict.style, verdict.steps, list(verdict.by)) == (style, 0, ["VGG-19", "SqueezeNet"])
    for eye in both:
        said = verdict.by[eye.name]
        assert said.style_layers == pytest.approx(eye.style_distances(picture, painting), rel=1e-4)
        assert said.style == pytest.approx(eye.style_distance(picture, painting), rel=1e-4)
        assert said.untouched == pytest.approx(eye.style_distance(photograph, painting), rel=1e-4)
        assert said.content == pytest.approx(eye.content_distance(picture, photograph), rel=1e-4)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    weights.save(tmp_path / "squeezenet.params", random_parameters("squeezenet"))
    images.write(tmp_path / "photo.png", random_picture(60, 80, 0))
    images.write(tmp_path / "style.png", random_picture(70, 70, 1))
    files = {"--content": "photo.png", "--style": "style.png", "--squeezenet": "squeezenet.params"}
    paths = [part for option, file in files.items() for part in (option, str(tmp_path / file))]
    return ["scripts/judge.py", *paths, "--size", "80"]


def test_the_command_makes_pictures_and_judges_them(tmp_path: Path, command: list[str]) -> None:
    made = python(*command, "--set", "stop.max_iterations=3", "--output", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1].startswith("style.png")
    assert images.read(tmp_path / "out" / "style.png").shape == (60, 80, 3)


def test_the_command_reports_both_judges_in_every_layer(tmp_path: Path, command: list[str]) -> None:
    weights.save(tmp_path / "vgg19.params", random_parameters("vgg19"))
    more = ["--picture", tmp_path / "photo.png", "--vgg19", tmp_path / "vgg19.params", "--layers"]
    judged = python(*command, *more)
    assert judged.returncode == 0 and judged.stderr == "", judged.stderr
    titles, _, row, *layers = judged.stdout.splitlines()
    assert titles.split() == ["VGG-19", "SqueezeNet"]
    style, untouched, content, *squeezenet = row.split()[1:]
    assert (
        untouched == f"({style})" and float(content) == 0 and len(squeezenet) == 3 + 2
    )  # distances, steps and seconds
    assert any(line.split()[3:] == [f"relu{block}_1" for block in range(1, 6)] for line in layers)
    assert any(line.split()[3:] == ["relu_conv1", "fire2", "fire4", "fire5", "fire7", "fire9"] for line in layers)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--picture", "a", "b"], "expected one picture for each style (1), found 2"),
        (["--vgg19", "a", "b", "c"], "one or two files"),
        (["--vgg19", "absent.params"], "absent.params"),
        (["--size", "20", "--picture", "input/coffee.jpg"], "at least"),
    ],
)
def test_errors_are_one_line(command: list[str], more: list[str], words: str) -> None:
    wrong = python(*command, *more)
    assert wrong.returncode == 2
    *_, error = wrong.stderr.splitlines()
    assert error.startswith("error: ") and words in error
    assert "Traceback" not in wrong.stderr


@pytest.mark.skipif(
    not (TEACHER.exists() and PICTURES.exists()), reason="the real pictures and SqueezeNet are not here"
)
def test_pictures_of_the_bundled_network_are_closer_to_the_style_than_the_photograph() -> None:
    assignments = ["stop.max_iterations=40"]
    photograph, painting = str(PICTURES / "IMG_4343.jpg"), str(PICTURES / "starry_night.jpg")
    (verdict,) = judging.verdicts(photograph, [painting], None, 192, assignments, [eyes.load_squeezenet(TEACHER)], None)
    distances = verdict.by["SqueezeNet"]
    assert distances.style < 0.6 * distances.untouched
    assert distances.content < 1.5
