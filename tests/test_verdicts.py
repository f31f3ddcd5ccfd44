"""Pictures judged by every available judge, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import random_parameters, random_picture
from processes import PROJECT, python
from true_vgg19 import published_vgg19, true_vgg19

from styletransfer import weights
from styletransfer.judging import flaws, judges, verdicts
from styletransfer.pictures import colors, images
from styletransfer.support.errors import UserError

TEACHER = PROJECT.parent / "shared" / "teacher" / "compressed_SqueezeNet.net"
PICTURES = PROJECT.parent / "shared" / "images"


def test_a_verdict_has_the_distances_of_each_judge(tmp_path: Path) -> None:
    both = [judges.vgg19(true_vgg19()), judges.squeezenet(random_parameters("squeezenet"))]
    photograph, painting, picture = (
        np.rint(random_picture(*shape, seed) * 255) / 255 for seed, shape in enumerate([(60, 80), (80, 70), (60, 80)])
    )
    files = [str(tmp_path / f"{name}.png") for name in ("photo", "painting", "picture")]
    for file, values in zip(files, (photograph, painting, picture)):
        images.write(file, values)
    content, style, made = files
    case = verdicts.Case(content, style, made)
    (verdict,) = verdicts.judge_cases([case], 80, [], both, None)
    assert (verdict.case, verdict.steps, list(verdict.by)) == (case, 0, ["VGG-19", "SqueezeNet"])
    assert verdict.flaws.clipped == np.mean((picture == 0) | (picture == 1))
    assert verdict.flaws.clipped_of_painting == np.mean((painting == 0) | (painting == 1))
    assert verdict.flaws.chroma_noise == pytest.approx(flaws.chroma_noise(picture) / flaws.chroma_noise(painting))
    for judge in both:
        said = verdict.by[judge.name]
        assert said.style_layers == pytest.approx(judge.style_distances(picture, painting), rel=1e-4)
        assert said.untouched_layers == pytest.approx(judge.style_distances(photograph, painting), rel=1e-4)
        assert said.style == pytest.approx(np.mean(list(said.style_layers.values())))
        assert said.untouched == pytest.approx(np.mean(list(said.untouched_layers.values())))
        assert said.content == pytest.approx(judge.content_distance(picture, photograph), rel=1e-4)


def test_a_list_of_one_is_used_for_all_pictures() -> None:
    made = verdicts.cases(["photo.jpg"], ["a.jpg", "b.jpg"], None)
    assert [(case.content, case.style, case.picture, case.name) for case in made] == [
        ("photo.jpg", "a.jpg", None, "a.jpg"),
        ("photo.jpg", "b.jpg", None, "b.jpg"),
    ]
    given = verdicts.cases(["photo.jpg"], ["a.jpg"], ["out/1.png", "out/2.png", "out/3.png"])
    assert [(case.style, case.name) for case in given] == [("a.jpg", "1.png"), ("a.jpg", "2.png"), ("a.jpg", "3.png")]
    with pytest.raises(UserError, match="--style: expected 1 or 3 files"):
        verdicts.cases(["photo.jpg"], ["a.jpg", "b.jpg"], ["1.png", "2.png", "3.png"])


def test_chroma_noise_is_the_fine_part_of_the_chroma() -> None:
    """White noise keeps 1 - 2 k(0) + sum k^2 of its variance when its blur with the kernel k is subtracted."""
    noise = np.random.default_rng(0).normal(0, 0.05, (200, 300))
    assert flaws.chroma_noise(0.5 + colors.grey(noise)) == pytest.approx(0, abs=1e-6)
    coloured = np.full((200, 300, 3), 0.5)
    coloured[..., 0] += noise  # so R - Y' has .701 of it, B - Y' -.299
    weights_1d = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    kernel = np.outer(weights_1d, weights_1d) / weights_1d.sum() ** 2
    kept = 1 - 2 * kernel[4, 4] + np.sum(kernel**2)
    expected = 0.05 * np.sqrt(kept * (0.701**2 + 0.299**2) / 2)
    assert flaws.chroma_noise(coloured) == pytest.approx(expected, rel=0.02)
    y, x = np.mgrid[:200, :300]
    assert flaws.chroma_noise(np.stack([x / 300, y / 200, 1 - x / 300], axis=2)) < 1e-3  # a gradient is none


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
    plot = tmp_path / "plot.png"
    pictures = [tmp_path / "photo.png", tmp_path / "style.png"]
    more = ["--pictures", *pictures, "--vgg19", published_vgg19(), "--layers", "--plot", plot]
    judged = python(*command, *more)
    assert judged.returncode == 0 and judged.stderr == "", judged.stderr
    titles, _, row, other, *layers = judged.stdout.splitlines()
    assert titles.split() == ["VGG-19", "SqueezeNet", "clipped", "chroma"]
    style, untouched, content, *further = row.split()[1:]
    # SqueezeNet's distances; clipped, the painting's, chroma noise; steps and seconds
    assert untouched == f"({style})" and float(content) == 0 and len(further) == 3 + 3 + 2
    assert other.split()[0] == "style.png"
    assert min(images.read(plot).shape[:2]) > 400
    assert any(line.split()[3:] == [f"relu{block}_1" for block in range(1, 6)] for line in layers)
    assert any(line.split()[3:] == ["relu_conv1", "fire2", "fire4", "fire5", "fire7", "fire9"] for line in layers)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--pictures", "a", "b", "--style", "c", "d", "e"], "--pictures: expected 1 or 3 files"),
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
    case = verdicts.Case(photograph, painting, None)
    (verdict,) = verdicts.judge_cases([case], 192, assignments, [judges.load_squeezenet(TEACHER)], None)
    distances = verdict.by["SqueezeNet"]
    assert distances.style < 0.6 * distances.untouched
    assert distances.content < 1.5
