"""Visualization of filters: receptive fields, the strongest patches, gradients, the sheet and the command."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import ENGINE, network_of, random_parameters, random_picture, relative_error, to_array, to_numpy
from numpy.typing import NDArray
from processes import PROJECT, python

import models
from models.spec import ReceptiveField
from styletransfer import weights
from styletransfer.judging import visualization
from styletransfer.judging.visualization import Filter, Window, displayed, peaks, strongest
from styletransfer.pictures import images, pixels
from styletransfer.weights import parameters_for

SCRIPT = PROJECT / "scripts" / "visualize.py"
SIZES = {"vgg_slim": (171, 186), "squeezenet": (190, 205)}
FAINT = 3e-6  # what rounding may change, relative to the largest activation
both_models = pytest.mark.parametrize("model", sorted(SIZES))


def features_of(model: str, layers: tuple[str, ...], height: int, width: int) -> Callable[[NDArray], dict]:
    """A function from pictures of one size to the features of layers, each (channels, h, w)."""
    spec = models.load(model).SPEC
    bound = network_of(model).bind(layers, (3, height, width), trainable=False)

    def features(picture: NDArray) -> dict[str, NDArray]:
        bound.forward(to_array(pixels.from_picture(picture, spec.pixels)))
        return {layer: to_numpy(bound.features(layer))[0] for layer in layers}

    return features


@both_models
def test_receptive_fields_are_what_the_activations_depend_on(model):
    """Noise everywhere outside changes nothing; noise on each of the four border lines inside changes something."""
    spec = models.load(model).SPEC
    for layer in spec.layer_names:
        field = spec.receptive_field(layer)
        height, width = field.size + 3 * field.stride + 1, field.size + 4 * field.stride
        features = features_of(model, (layer,), height, width)
        picture, noise = random_picture(height, width, 0), np.random.default_rng(1).random((height, width, 3))
        values = features(picture)[layer]
        row, column = (length // 2 for length in values.shape[1:])
        before = values[:, row, column]
        window = Window.of_value(field, row, column)
        assert window == window.clipped(height, width), "the picture is too small for this test"
        outside = noise.copy()
        window.crop(outside)[:] = window.crop(picture)
        assert np.abs(features(outside)[layer][:, row, column] - before).max() < FAINT * before.max()
        for line in (
            np.s_[window.top, window.left : window.right],
            np.s_[window.bottom - 1, window.left : window.right],
            np.s_[window.top : window.bottom, window.left],
            np.s_[window.top : window.bottom, window.right - 1],
        ):
            inside = picture.copy()
            inside[line] = noise[line]
            assert np.abs(features(inside)[layer][:, row, column] - before).max() > FAINT * before.max(), (layer, line)


@both_models
def test_receptive_fields_at_the_border(model):
    """The first and the last value of every layer depend on nothing outside their fields, clipped at the border."""
    spec = models.load(model).SPEC
    height, width = SIZES[model]
    features = features_of(model, spec.layer_names, height, width)
    picture, noise = random_picture(height, width, 0), np.random.default_rng(1).random((height, width, 3))
    before = features(picture)
    for layer in ("pool1", spec.layer_names[5], spec.layer_names[-1]):
        for row, column in ((0, 0), tuple(length - 1 for length in before[layer].shape[1:])):
            window = Window.of_value(spec.receptive_field(layer), row, column).clipped(height, width)
            outside = noise.copy()
            window.crop(outside)[:] = window.crop(picture)
            found, expected = features(outside)[layer][:, row, column], before[layer][:, row, column]
            assert np.abs(found - expected).max() < FAINT * expected.max()


def test_known_receptive_fields():
    vgg19, squeezenet = (models.load(name).SPEC for name in ("vgg19", "squeezenet"))
    assert vgg19.receptive_field("relu1_1") == ReceptiveField(size=3, stride=1, offset=1)
    assert vgg19.receptive_field("pool1") == ReceptiveField(size=6, stride=2, offset=2)
    assert vgg19.receptive_field("pool5").size == 268
    assert squeezenet.receptive_field("relu_conv1") == ReceptiveField(size=7, stride=2, offset=0)
    assert squeezenet.receptive_field("fire2") == ReceptiveField(size=19, stride=4, offset=4)
    with pytest.raises(KeyError):
        vgg19.receptive_field("conv1_1")


def overlap(first: Window, second: Window) -> bool:
    rows = min(first.bottom, second.bottom) - max(first.top, second.top)
    columns = min(first.right, second.right) - max(first.left, second.left)
    return rows > 0 and columns > 0


@pytest.mark.parametrize("field", [ReceptiveField(3, 1, 1), ReceptiveField(10, 4, 3), ReceptiveField(2, 2, 0)])
def test_peaks_match_a_naive_search(field):
    activations = np.maximum(np.random.default_rng(0).normal(size=(15, 20)), 0)
    expected: list[tuple[int, int]] = []
    for flat in np.argsort(-activations, axis=None, kind="stable"):
        here = tuple(map(int, np.unravel_index(flat, activations.shape)))
        if activations[here] > 0 and not any(
            overlap(Window.of_value(field, *here), Window.of_value(field, *there)) for there in expected
        ):
            expected.append(here)
    assert len(expected) > 5
    assert peaks(activations, field, 1000) == expected
    assert peaks(activations, field, 4) == expected[:4]
    assert peaks(np.zeros((5, 5)), field, 4) == []


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures of 72 x 96."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{name}.png" for name in ("one", "two", "three")]
    for seed, path in enumerate(paths):
        images.write(path, random_picture(72, 96, seed))
    return paths


@pytest.mark.parametrize(("model", "layer"), [("vgg_slim", "relu2_2"), ("squeezenet", "fire2")])
def test_the_strongest_patches_match_a_naive_search(files, model, layer):
    spec, channel, field = models.load(model).SPEC, 7, models.load(model).SPEC.receptive_field(layer)
    features = features_of(model, (layer,), 72, 96)
    values = [features(images.read(file))[layer][channel] for file in files]
    expected = []
    for file, found in zip(files, values):
        mine: list[tuple[int, int]] = []
        for flat in np.argsort(-found, axis=None, kind="stable"):
            here = tuple(map(int, np.unravel_index(flat, found.shape)))
            if len(mine) < 2 and not any(
                overlap(Window.of_value(field, *here), Window.of_value(field, *there)) for there in mine
            ):
                mine.append(here)
                expected.append((found[here], file.name, Window.of_value(field, *here)))
    expected.sort(key=lambda patch: -patch[0])
    patches = strongest(spec, layer, channel, random_parameters(model), files, 96, 5)
    assert [(patch.picture, patch.window) for patch in patches] == [patch[1:] for patch in expected[:5]]
    np.testing.assert_allclose([patch.activation for patch in patches], [p[0] for p in expected[:5]], rtol=1e-4)
    assert patches[0].activation == pytest.approx(max(found.max() for found in values), rel=1e-4)
    for number, patch in enumerate(patches):
        picture = images.read(files[[file.name for file in files].index(patch.picture)])
        np.testing.assert_array_equal(patch.pixels, patch.window.clipped(72, 96).crop(picture))
        assert patch.gradient.shape == patch.pixels.shape
        for other in patches[:number]:
            assert other.picture != patch.picture or not overlap(other.window, patch.window)


def test_few_pictures_contribute_more_patches_each(files):
    spec = models.load("vgg_slim").SPEC
    arguments = (spec, "relu1_2", 3, random_parameters("vgg_slim"))
    assert len(strongest(*arguments, files[:1], 96, 5)) == 5
    assert len(strongest(*arguments, files, 80, 9)) == 9
    chosen = [patch.picture for patch in strongest(*arguments, files, 96, 4)]
    assert max(map(chosen.count, chosen)) <= 2


@pytest.mark.parametrize(("model", "layer"), [("vgg_slim", "relu2_1"), ("squeezenet", "relu_conv1")])
def test_the_gradient_matches_finite_differences(model, layer):
    spec = models.load(model).SPEC
    picture = np.clip(random_picture(40, 48, 0), 0.1, 0.9)
    parameters = parameters_for(spec, random_parameters(model), "rgb255")
    unit = Filter(ENGINE, spec, layer, 5, parameters, picture)
    features = features_of(model, (layer,), 40, 48)
    for row, column in peaks(unit.activations, spec.receptive_field(layer), 3)[1:]:
        gradient = unit.gradient(row, column)
        window = Window.of_value(spec.receptive_field(layer), row, column).clipped(40, 48)
        outside = gradient.copy()
        window.crop(outside)[:] = 0
        assert (outside == 0).all()
        assert (window.crop(gradient) != 0).mean() > 0.5
        pixels_tried = np.random.default_rng(0).integers(
            (window.top, window.left, 0), (window.bottom, window.right, 3), (12, 3)
        )
        found, expected = [], []
        for pixel in map(tuple, pixels_tried):
            values = []
            for step in (0.1, -0.1):  # grey levels of 255
                moved = picture.copy()
                moved[pixel] += step / 255
                values.append(features(moved)[layer][5, row, column].astype(float))
            expected.append((values[0] - values[1]) / 0.2)
            found.append(gradient[pixel])
        assert relative_error(found, expected) < 0.03


def test_a_planted_pattern_is_found(tmp_path):
    """A filter equal to a pattern finds where the pattern was planted, and its gradient shows the pattern."""
    generator = np.random.default_rng(0)
    pattern = generator.choice([-1.0, 1.0], (3, 3, 3))  # rows, columns, RGB
    parameters = dict(random_parameters("vgg_slim"))
    parameters["conv1_1_weight"] = parameters["conv1_1_weight"].copy()
    parameters["conv1_1_weight"][4] = pattern.transpose(2, 0, 1)
    parameters["conv1_1_bias"] = np.zeros_like(parameters["conv1_1_bias"])
    files = [tmp_path / "without.png", tmp_path / "with.png"]
    for file in files:
        picture = 0.5 + generator.uniform(-0.1, 0.1, (40, 50, 3))
        if file.stem == "with":
            picture[20:23, 31:34] = 0.5 + 0.4 * pattern
        images.write(file, picture)
    first, second = strongest(models.load("vgg_slim").SPEC, "relu1_1", 4, parameters, files, 50, 2)
    assert (first.picture, first.window) == ("with.png", Window(20, 31, 23, 34))
    assert first.activation > 2 * second.activation
    np.testing.assert_allclose(displayed(first.gradient), 0.5 + 0.5 * pattern, atol=1e-6)


def test_a_gradient_is_shown_around_grey():
    shown = displayed(np.array([[[-2.0, 0.0, 1.0]]]))
    np.testing.assert_allclose(shown, [[[0.0, 0.5, 0.75]]])
    np.testing.assert_array_equal(displayed(np.zeros((2, 2, 3))), 0.5)


def test_the_sheet_shows_patch_and_gradient_clipped_at_the_border():
    corner = visualization.Patch("a $name.png", 12.5, Window(-1, -1, 2, 2), np.zeros((2, 2, 3)), np.ones((2, 2, 3)))
    sheet = visualization.sheet([corner] * 4, "a title")
    assert sheet.ndim == 3 and sheet.min() == 0 and sheet.max() == 1
    black = (sheet == 0).all(axis=-1)
    assert black.sum() > 4 * 120 * 120  # four patches of 2 x 2 pixels, each 60 times enlarged
    pale = (np.abs(sheet - 0.94) < 0.01).all(axis=-1)
    assert pale.sum() >= 8 * (180 * 180 - 120 * 120)  # what is outside the picture


def main_of_the_script() -> Callable[[list[str]], int]:
    """The command's main function, in this process."""
    return runpy.run_path(str(SCRIPT))["main"]


def test_the_command(tmp_path, files):
    weights_file = tmp_path / "random.params"
    weights.save(weights_file, random_parameters("squeezenet"))
    output = tmp_path / "new" / "sheet.png"
    options = ("--weights", weights_file, "--output", output, "--size", 96, "--patches", 4)
    done = python(SCRIPT, "squeezenet", "fire3", 11, *options, "--pictures", *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 4 patches")
    assert min(images.read(output).shape[:2]) > 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg_slin", "relu3_1", 0), "did you mean 'vgg_slim'?"),
        (("vgg_slim", "relu31", 0), "did you mean 'relu3_1'?"),
        (("vgg_slim", "relu3_1", 64), "expected 0 to 63"),
        (("vgg_slim", "relu3_1", -1), "expected 0 to 63"),
        (("vgg_slim", "relu3_1", 0, "--size", 0), "expected at least 1"),
        (("vgg_slim", "relu3_1", 0, "--patches", 0), "expected at least 1"),
        (("vgg_slim", "relu3_1", 0, "--weights", "absent.params"), "absent.params"),
        (("vgg_slim", "relu5_1", 0, "--size", 17), "needs at least 16 per side"),
        (("vgg_slim", "relu3_1", 0, "--output", "sheet.txt"), "ends in .png or .jpg"),
    ],
    ids=["model", "layer", "channel", "negative channel", "size", "patches", "weights", "small", "ending"],
)
def test_errors_are_one_line(tmp_path, files, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main_of_the_script()([*map(str, arguments), "--pictures", *map(str, files)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: ") and complaint.count("\n") == 1 and message in complaint
    assert not list(tmp_path.iterdir())


def test_a_folder_stands_for_the_pictures_in_it(tmp_path, files, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(visualization, "strongest", lambda *arguments: seen.extend(arguments[4]) or [])
    assert main_of_the_script()(["vgg_slim", "relu3_1", "0", "--pictures", str(files[0].parent)]) == 2
    assert {*seen} >= {*files}


def test_missing_pictures_and_dead_filters(tmp_path, files, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main = main_of_the_script()
    assert main(["vgg_slim", "relu3_1", "0", "--pictures", str(files[0]), "absent.jpg"]) == 2
    assert capsys.readouterr().err == "error: picture absent.jpg: no such file\n"
    dead = dict(random_parameters("vgg_slim"))
    dead["conv1_1_bias"] = np.full_like(dead["conv1_1_bias"], -1e6)
    monkeypatch.setattr(weights, "load", lambda *_: dead)
    assert main(["vgg_slim", "relu1_1", "0", "--pictures", str(files[0])]) == 2
    assert capsys.readouterr().err.startswith("error: nothing in the pictures activates channel 0 of vgg_slim relu1_1")
    assert not list(tmp_path.iterdir())
