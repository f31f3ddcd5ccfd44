"""Runs that keep the photograph's colours or match the painting's: what the network sees, and what is written."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import TINY_RUN, fill_studio, random_parameters, to_numpy, two_scales
from PIL import Image
from skimage.color import rgb2yiq
from test_colors import covariance, mean
from test_run import assert_same_run

import models
from scripts.nstyle import main
from styletransfer import config as configs
from styletransfer.pictures import colors, images
from styletransfer.pictures.moments import moments
from styletransfer.session import curves, inputs
from styletransfer.session.display import Display
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve

GREY_LEVEL = 1 / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    fill_studio(folder)
    return folder


@pytest.fixture(autouse=True)
def in_the_studio(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)


def planned(color, *assignments, **keys):
    values = configs.override({**TINY_RUN, "color": color, **keys}, assignments)
    return resolve(configs.parse(values, "test"))


def result_of(plan, parameters=None):
    """The picture of a run in memory, its image in training, and the photograph at its size."""
    pictures = inputs.read_pictures(plan)
    pyramid = Pyramid(plan, pictures, parameters or inputs.load_parameters(plan))
    for _ in pyramid.records():
        pass
    last = plan.scales[-1]
    photograph = images.resize(images.read("photo.png"), last.height, last.width)
    image = to_numpy(pyramid.image)
    return Display(plan, pictures).picture(image), image, photograph


def assert_same_chroma(picture, photograph, tolerance):
    """That the chroma (I and Q) of two pictures is the same up to a tolerance in every channel of RGB."""
    found, expected = (rgb2yiq(np.asarray(each, dtype=np.float64))[..., 1:] for each in (picture, photograph))
    np.testing.assert_allclose(found, expected, atol=1.2 * tolerance + 1e-6)  # a row of the matrix sums to 1.2


# What the network sees.


def test_by_default_pictures_are_as_they_are():
    (pictures,) = inputs.read_pictures(planned("style"))
    np.testing.assert_array_equal(pictures.content, images.resize(images.read("photo.png"), 34, 48))
    assert pictures.photograph is None


def test_with_keep_the_network_sees_grey_pictures_of_the_photographs_luminance():
    plan = planned("keep", "style.images={painting.png: 2, other.png: 1}", "init={kind: image, image: other.png}")
    (pictures,) = inputs.read_pictures(plan)
    photograph = images.resize(images.read("photo.png"), 34, 48)
    seen = [pictures.content, pictures.start, *(style for _, style in pictures.styles)]
    assert len(seen) == 4 and all(np.ptp(each, axis=2).max() == 0 for each in seen)
    wanted = rgb2yiq(photograph)[..., 0]
    np.testing.assert_allclose(pictures.content[..., 0], wanted, atol=1e-6)
    start = images.resize(images.read("other.png"), 34, 48)
    np.testing.assert_allclose(pictures.start[..., 0], rgb2yiq(start)[..., 0], atol=1e-6)
    for _, style in pictures.styles:
        assert style.mean() == pytest.approx(wanted.mean(), abs=1e-5)
        assert style.std() == pytest.approx(wanted.std(), abs=1e-5)
    np.testing.assert_array_equal(pictures.photograph, photograph)


@pytest.mark.parametrize("size", ["style.size=30", "style.size=match"])
def test_with_match_every_painting_has_the_photographs_mean_and_covariance_at_every_scale(size):
    plan = planned("match", "style.images=[painting.png, other.png]", "scales=[40, 48]", size)
    scales = inputs.read_pictures(plan)
    assert len(scales) == 2
    for pictures, scale in zip(scales, plan.scales):
        for (_, style), shape in zip(pictures.styles, scale.styles):
            assert style.shape[:2] == shape
            np.testing.assert_allclose(mean(style), mean(pictures.content), atol=1e-5)
            np.testing.assert_allclose(covariance(style), covariance(pictures.content), atol=1e-6)
        assert pictures.photograph is None


def test_keep_is_the_run_of_the_grey_pictures(tmp_path):
    """With a grey painting that has the photograph's luminance already, grey pictures give the same losses."""
    photograph = Image.open("photo.png").convert("L")
    photograph.save(tmp_path / "photo.png")
    photograph.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "turned.png")
    plans = [
        planned(color, f"content.image={tmp_path / 'photo.png'}", f"style.images=[{tmp_path / 'turned.png'}]")
        for color in ("style", "keep")
    ]
    grey, kept = (
        [record.losses.total for record in Pyramid(plan, pictures, random_parameters("vgg_slim")).records()]
        for plan, pictures in ((plan, inputs.read_pictures(plan)) for plan in plans)
    )
    np.testing.assert_allclose(kept, grey, rtol=1e-3)


# The start.


def test_the_start_has_the_moments_of_the_paintings():
    plan = planned("style", "style.images={painting.png: 2, other.png: 1}", "scales=[40, 48]")
    first, last = inputs.read_pictures(plan)
    (two, painting), (one, other) = ((share, moments(style)) for share, style in first.styles)
    wanted = two * painting.mean + one * other.mean
    assert two == pytest.approx(2 / 3) and last.start is None
    np.testing.assert_allclose(mean(first.start), wanted, atol=1e-5)
    squares = two * (painting.covariance + np.outer(painting.mean, painting.mean))
    squares += one * (other.covariance + np.outer(other.mean, other.mean))
    np.testing.assert_allclose(covariance(first.start), squares - np.outer(wanted, wanted), atol=1e-5)
    assert np.corrcoef(first.start[..., 1].ravel(), first.content[..., 1].ravel())[0, 1] > 0.5


def test_without_a_painting_the_start_is_the_photograph():
    (pictures,) = inputs.read_pictures(planned("style", "style.weight=0"))
    np.testing.assert_array_equal(pictures.start, pictures.content)


def test_with_keep_or_match_the_start_has_the_photographs_colours_already():
    for color in ("keep", "match"):
        (pictures,) = inputs.read_pictures(planned(color))
        np.testing.assert_allclose(pictures.start, pictures.content, atol=1e-3)


# What is written.


@pytest.mark.parametrize("kind", ["noise", "uniform", "content", "matched", "blend", "{kind: image, image: other.png}"])
@pytest.mark.parametrize("denoise", [0, 0.1])
def test_with_keep_the_chroma_is_the_photographs_from_any_start(kind, denoise):
    init = kind if kind.startswith("{") else f"{{kind: {kind}}}"
    plan = planned("keep", f"init={init}", f"output.denoise={denoise}", "optimizer={name: adam, learning_rate: 30}")
    picture, _, photograph = result_of(plan)
    assert picture.min() >= -1e-9 and picture.max() <= 1 + 1e-9
    assert_same_chroma(picture, photograph, 1e-6)
    assert np.abs(colors.luminance(picture) - colors.luminance(photograph)).max() > 20 * GREY_LEVEL


def test_with_keep_the_luminance_is_that_of_the_trained_image_where_the_chroma_allows_it():
    picture, image, _ = result_of(planned("keep", "optimizer={name: adam, learning_rate: 10}"))
    trained = (image[0].transpose(1, 2, 0) + np.array([123.68, 116.779, 103.939])) / 255
    luminance = rgb2yiq(np.clip(trained, 0, 1))[..., 0]
    inside = (picture.min(axis=2) > 1e-6) & (picture.max(axis=2) < 1 - 1e-6)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(colors.luminance(picture)[inside], luminance[inside], atol=1e-5)


@pytest.mark.parametrize("model", models.names())
@pytest.mark.parametrize("color", ["keep", "match"])
def test_every_network_takes_them(model, color):
    plan = planned(color, f"model={model}", "size=67", "weights=null", "stop.max_iterations=2")
    picture, _, photograph = result_of(plan, random_parameters(model))
    assert picture.shape == photograph.shape and np.isfinite(picture).all()
    if color == "keep":
        assert_same_chroma(picture, photograph, 1e-6)


def command(folder, *changes):
    return two_scales(folder, "output.save_every=2", "init.kind=blend", *changes)


def test_every_picture_that_is_written_has_the_photographs_chroma(tmp_path):
    """Up to the rounding to 8 bits, and for the steps that of JPEG."""
    assert main(command(tmp_path / "run", "color=keep")) == 0
    photograph = images.read("photo.png")
    assert_same_chroma(images.read(tmp_path / "run/image.png"), images.resize(photograph, 45, 64), 0.5 * GREY_LEVEL)
    sizes = set()
    for path in (tmp_path / "run/steps").iterdir():
        picture = images.read(path)
        sizes.add(picture.shape[:2])
        assert_same_chroma(picture, images.resize(photograph, *picture.shape[:2]), 12 * GREY_LEVEL)
    assert sizes == {(34, 48), (45, 64)}


@pytest.mark.parametrize("color", ["keep", "match"])
def test_a_run_goes_on_as_if_nothing_had_been(tmp_path, color):
    settings = (f"color={color}", "output.save_every=0")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(command(whole, *settings)) == 0
    assert main(command(parts, *settings, "output.checkpoint_every=3", "stop.max_iterations=[4, 2]")) == 0
    (parts / "image.png").unlink()
    assert main(command(parts, "--resume", *settings)) == 0
    assert_same_run(whole, parts)


def test_it_does_not_go_on_with_other_colours(tmp_path, capsys):
    assert main(command(tmp_path / "run", "color=keep", "output.checkpoint_every=3")) == 0
    (tmp_path / "run/image.png").unlink()
    assert main(command(tmp_path / "run", "--resume", "color=match")) == 2
    assert "color differs from the run in" in capsys.readouterr().err


@pytest.mark.parametrize("edit", ["grey", "flat"])
@pytest.mark.parametrize("which", ["photo", "painting"])
@pytest.mark.parametrize("color", ["keep", "match"])
def test_pictures_without_colours(tmp_path, color, which, edit):
    made = {name: Image.open(f"{name}.png") for name in ("photo", "painting")}
    grey = made[which].convert("L")
    made[which] = grey if edit == "grey" else Image.new("L", grey.size, 90)
    for name, picture in made.items():
        picture.save(tmp_path / f"{name}.png")
    names = (f"content.image={tmp_path / 'photo.png'}", f"style.images=[{tmp_path / 'painting.png'}]")
    picture, image, _ = result_of(planned(color, *names))
    assert np.isfinite(image).all()
    if color == "keep":
        photograph = images.resize(images.read(tmp_path / "photo.png"), *picture.shape[:2])
        assert_same_chroma(picture, photograph, 1e-6)


# What is said of mistakes.


@pytest.mark.parametrize("color", ["keep", "match"])
def test_a_texture_has_no_colours_to_keep(tmp_path, capsys, color):
    arguments = ["--style", "painting.png", "--output", str(tmp_path / "run"), "--set", "content.weight=0"]
    assert main([*arguments, "--set", "init.kind=noise", "--set", f"color={color}"]) == 2
    assert f"content.image is missing: color: {color} takes its colours" in capsys.readouterr().err


def test_the_nearest_name_is_said(tmp_path, capsys):
    assert main(command(tmp_path / "run", "color=kep")) == 2
    assert "color: 'kep': Input should be 'style', 'keep' or 'match'; did you mean 'keep'?" in capsys.readouterr().err
