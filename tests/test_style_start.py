"""Runs that start from the photograph in a trained style."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import yaml
from feedforward_helpers import random_style
from helpers import ENGINE, TINY_RUN, random_picture, to_numpy, two_scales
from PIL import Image
from processes import output_of
from skimage.color import rgb2yiq
from test_architecture import WITHOUT_ENGINES
from test_run import assert_same_run

from scripts.nstyle import main
from styletransfer import config as configs
from styletransfer import transfer
from styletransfer.engines import Choice, choose
from styletransfer.feedforward import style_file, stylize
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.pictures import images
from styletransfer.session import forecast, inputs, memory, style_start
from styletransfer.session.picture import PictureTask
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import peak_memory, resolve
from styletransfer.session.task import checksum
from styletransfer.support.errors import UserError

NETWORKS = ("small", "residual")
START = "init={kind: style, name: small.npz}"


pytestmark = pytest.mark.usefixtures("in_the_studio")


@pytest.fixture(autouse=True, scope="module")
def folder(studio):
    """The studio, with the styles of two random networks."""
    for network in NETWORKS:
        style_file.write(studio / f"{network}.npz", random_style(network))
    return studio


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """The folder of the bundled styles, with one: night."""
    monkeypatch.setattr(style_file, "FOLDER", tmp_path / "styles")
    (tmp_path / "styles").mkdir()
    style_file.write(tmp_path / "styles" / "night.npz", random_style())
    return tmp_path / "styles"


def planned(*assignments):
    return resolve(configs.parse(configs.override(TINY_RUN, assignments), "test"))


def expected(network, height, width, memory=None):
    """The photograph in a style, made without a run."""
    photograph = images.resize(images.read("photo.png"), height, width)
    style = style_file.read(style_file.find(f"{network}.npz"))
    return Stylizer(style, ENGINE, "float32", memory)(photograph)


def command(folder, *changes):
    return two_scales(folder, "output.save_every=0", START, *changes)


# What a run starts from.


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", ["null", "[40, 61]"])
def test_the_start_is_the_output_of_the_network_for_the_resized_photograph(network, shape):
    plan = planned(f"init={{kind: style, name: {network}.npz}}", f"shape={shape}")
    (pictures,) = inputs.read_pictures(plan)
    np.testing.assert_array_equal(pictures.start, expected(network, *pictures.content.shape[:2]))
    assert np.abs(pictures.start - pictures.content).mean() > 0.02


def test_the_optimisation_starts_there_at_the_first_scale():
    plan = planned(START, "scales=[40, 48]")
    first, last = inputs.read_pictures(plan)
    start = expected("small", *first.content.shape[:2])
    assert max(start.shape) == 40
    np.testing.assert_array_equal(first.start, start)
    np.testing.assert_array_equal(last.start, images.resize(start, *last.content.shape[:2]))
    image = to_numpy(Pyramid(plan, [first, last], inputs.load_parameters(plan)).image)[0].transpose(1, 2, 0)
    np.testing.assert_allclose(image, 255 * start - [123.68, 116.779, 103.939], atol=1e-3)


def test_other_starts_need_no_style():
    assert planned().trained_style is None and style_start.file_of(configs.parse(TINY_RUN, "test").init) is None


def test_with_keep_the_start_is_the_luminance_of_the_photograph_in_the_style():
    (pictures,) = inputs.read_pictures(planned(START, "color=keep"))
    start = expected("small", *pictures.content.shape[:2])
    assert np.ptp(pictures.start, axis=2).max() == 0
    np.testing.assert_allclose(pictures.start[..., 0], rgb2yiq(start)[..., 0], atol=1e-6)
    assert np.ptp(start, axis=2).max() > 0.1  # the network has seen colours


def test_a_run_without_steps_is_the_picture_in_the_style(tmp_path):
    assert main(command(tmp_path / "run", "stop.max_iterations=0", "scales=1", "precision=float32")) == 0
    made = images.read(tmp_path / "run/image.png")
    np.testing.assert_allclose(made, expected("small", *made.shape[:2]), atol=0.51 / 255)


def test_a_photograph_in_memory():
    options = {**TINY_RUN, "stop": {"max_iterations": 0}, "init": {"kind": "style", "name": "small.npz"}}
    made = transfer(Image.open("photo.png"), config=options, progress=False).image
    np.testing.assert_array_equal(np.asarray(made), images.to_bytes(expected("small", made.height, made.width)))


# Its files.


def test_a_bundled_style_is_found_by_its_name(bundled):
    plan = planned("init={kind: style, name: night}")
    assert plan.trained_style.record["name"] == "random"
    files = PictureTask(configs.parse(configs.override(TINY_RUN, ["init={kind: style, name: night}"]), "test")).files()
    assert files["init.name"] == bundled / "night.npz"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nigt", "style nigt: there is no such style; did you mean 'night'?"),
        ("absent.npz", "style absent.npz: no such file"),
        ("photo.png", "style photo.png: damaged, or not a style file"),
        ("x" * 300, "File name too long"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_style_that_cannot_be_used_is_told_in_a_line(bundled, tmp_path, capsys, name, words, options):
    assert main(command(tmp_path / "run", f"init={{kind: style, name: {name}}}", *options)) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_the_config_of_a_picture_makes_it_again(tmp_path):
    assert main(command(tmp_path / "a", START)) == 0
    saved = yaml.safe_load((tmp_path / "a/config.yaml").read_text())
    assert saved["init"]["name"] == "small.npz"
    assert saved["provenance"]["inputs"]["init.name"] == checksum(style_file.find("small.npz"))
    assert main(["--config", str(tmp_path / "a/image.png"), "--output", str(tmp_path / "b")]) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_the_style_is_read_without_an_engine(folder):
    """The page's environment has none."""
    values = {
        **TINY_RUN,
        "content": {"image": str(folder / "photo.png")},
        "style": {"images": str(folder / "painting.png")},
        "init": {"kind": "style", "name": str(folder / "small.npz")},
    }
    code = (
        "from styletransfer import config\nfrom styletransfer.session import style_start\n"
        "from styletransfer.session.resolve import peak_memory\n"
        f"parsed = config.parse({values!r}, 'test')\n"
        "print(style_start.read(parsed.init).spec.name, peak_memory(parsed) > 0)"
    )
    assert output_of(WITHOUT_ENGINES + code) == "small True"


# Resuming.


@pytest.mark.parametrize(("scales", "stop"), [("64", "2"), ("48, 64", "4, 2")])
def test_a_run_goes_on_as_if_nothing_had_been(tmp_path, scales, stop):
    settings = (f"scales=[{scales}]", "output.checkpoint_every=2")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(command(whole, *settings)) == 0
    assert main(command(parts, *settings, f"stop.max_iterations=[{stop}]")) == 0
    (parts / "image.png").unlink()
    assert main(command(parts, *settings, "--resume")) == 0
    assert_same_run(whole, parts)


def test_a_replaced_style_is_rejected_by_name(folder, tmp_path, monkeypatch, capsys):
    assert main(command(tmp_path / "run", "output.checkpoint_every=2")) == 0
    (tmp_path / "run/image.png").unlink()
    other = shutil.copytree(folder, tmp_path / "other")
    monkeypatch.chdir(other)
    style = random_style()
    parameters = {name: values + 1 for name, values in style.parameters.items()}
    style_file.write(other / "small.npz", style_file.Style(style.spec, parameters, style.record))
    assert main(command(tmp_path / "run", "--resume")) == 2
    assert "error: --resume: init.name: the file has changed since" in capsys.readouterr().err


# Memory.


def test_the_estimate_has_room_for_the_style():
    for network in NETWORKS:
        plan = planned(f"init={{kind: style, name: {network}.npz}}", "size=900", "optimizer.name=lbfgs")
        (scale,) = plan.scales
        least = stylize.least_memory(plan.trained_style.spec, scale.height, scale.width)
        assert memory.for_pictures(scale.memory, plan.choice.memory_factors) >= least


@pytest.mark.parametrize("network", NETWORKS)
def test_within_a_limit_the_picture_is_made_in_strips(network, monkeypatch):
    """The limit is one that the run in tiles just meets."""
    monkeypatch.setattr(stylize, "_FEWEST", 1000)
    factors = dataclasses.replace(choose(precision="float32").memory_factors, fixed=0)
    monkeypatch.setattr(Choice, "memory_factors", factors)
    start = f"init={{kind: style, name: {network}.npz}}"
    settings = (start, "size=400", "style.size=64", "style.layers={relu1_1: 1}", "content.layers={relu1_1: 1}")
    least = peak_memory(configs.parse(configs.override(TINY_RUN, settings), "test"), smallest=True)
    plan = planned(*settings, f"memory={least // 10**6 + 1}MB")
    (scale,) = plan.scales
    assert scale.tile is not None and scale.memory <= plan.memory
    (pictures,) = inputs.read_pictures(plan)
    np.testing.assert_allclose(pictures.start, expected(network, scale.height, scale.width), atol=1e-4)


def test_a_limit_below_what_the_style_needs_is_told_with_a_size_that_fits():
    with pytest.raises(UserError, match="may be used; expected size: ") as told:
        planned(START, "size=6000", "memory=1GB", "optimizer.history=1")
    assert "\n" not in str(told.value)


def test_the_plan_is_described():
    plan = planned(START, "scales=[40, 48]")
    assert list(forecast.lines(plan, inputs.load_parameters(plan)))[-1].startswith("time: about")


def test_a_larger_photograph_is_reduced_first(tmp_path):
    images.write(tmp_path / "large.png", random_picture(300, 420, seed=4))
    (pictures,) = inputs.read_pictures(planned(START, f"content.image={tmp_path / 'large.png'}"))
    assert pictures.start.shape == pictures.content.shape == (34, 48, 3)
