"""The choices of the page: to a config and back, nothing changed that was not chosen."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from feedforward_helpers import random_style
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from processes import PROJECT

import models
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.feedforward import style_file
from styletransfer.page import choices, samples
from styletransfer.page.choices import RANGES, Choices
from styletransfer.support.errors import UserError
from styletransfer.sweeps import sweep_file

USUAL = choices.from_config({})
CHOSEN = dataclasses.replace(USUAL, content="photo.png", styles={"a.png": 1.0})
CONFIGS = sorted((PROJECT / "configs").glob("*.yaml"))


def settings(config):
    """A config without what depends on the folder."""
    return config.model_dump(mode="json", exclude={"output", "provenance"})


def test_the_defaults_are_those_of_the_schema():
    fields = Config.model_fields
    assert USUAL.size == fields["size"].default
    assert USUAL.style_weight == fields["style"].default.weight
    assert USUAL.smoothness == fields["tv"].default.weight
    assert USUAL.steps == fields["stop"].default.max_iterations
    assert USUAL.stroke_size == 100 and USUAL.content is None and USUAL.styles == {}
    expected = configs.parse({"content": {"image": "photo.png"}, "style": {"images": "a.png"}}, "")
    assert settings(choices.to_config(CHOSEN, "output/a")) == settings(expected)


def test_the_defaults_lie_on_the_sliders():
    for name, (least, most, step) in RANGES.items():
        value = getattr(USUAL, name)
        assert least <= value <= most
        assert (value - least) / step == pytest.approx(round((value - least) / step))
        assert (most - least) / step == pytest.approx(round((most - least) / step))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_that_is_opened_stays_as_it_is(path):
    """It may be the file of the project, or what a run of it saves."""
    values = configs.read_file(path)
    config = configs.parse(values, "")
    saved = yaml.safe_load(configs.dump(config, {"mxnet": "1.9.1"}))
    for given_values in (values, saved):
        assert settings(choices.to_config(choices.from_config(given_values), "output/a")) == settings(config)


@given(
    style_weight=st.integers(1, 100),
    stroke_size=st.integers(5, 20),
    size=st.integers(96, 2048),
    steps=st.integers(10, 300),
    smoothness=st.integers(0, 50),
    strength=st.integers(0, 20),
)
def test_what_is_chosen_comes_back(style_weight, stroke_size, size, steps, smoothness, strength):
    chosen = dataclasses.replace(
        CHOSEN,
        style_weight=5.0 * style_weight,
        stroke_size=10 * stroke_size,
        size=size,
        steps=steps,
        smoothness=smoothness / 100,
        strength=strength / 20,
    )
    config = choices.to_config(chosen, "output/a")
    back = choices.from_config(config.model_dump(mode="json"))
    assert dataclasses.replace(back, base={}) == dataclasses.replace(chosen, base={})
    assert config.output.folder == "output/a"


def test_only_what_was_changed_is_changed():
    base = configs.read_file(PROJECT / "configs" / "starry_mxnet.yaml")
    opened = choices.from_config(base)
    changed = choices.to_config(dataclasses.replace(opened, style_weight=20.0), "output/a")
    expected = configs.parse(configs.override(base, ["style.weight=20"]), "")
    assert settings(changed) == settings(expected)


@pytest.mark.parametrize(("size", "scales"), [(96, 1), (512, 1), (700, 1), (1024, 2), (2048, 3)])
def test_a_larger_picture_gets_more_scales(size, scales):
    config = choices.to_config(dataclasses.replace(CHOSEN, size=size, stroke_size=150), "output/a")
    assert (config.size, config.scales, config.style.size) == (size, scales, round(1.5 * size))


def test_a_shape_and_lists_give_way_to_another_size():
    base = {"shape": [300, 400], "scales": [200, 400], "stop": {"max_iterations": [70, 50]}}
    opened = dataclasses.replace(choices.from_config(base), content="photo.png", styles={"a.png": 1.0})
    assert (opened.size, opened.steps) == (400, 70)
    kept = choices.to_config(opened, "output/a")
    assert (kept.shape, kept.scales, kept.stop.max_iterations) == ((300, 400), [200, 400], [70, 50])
    larger = choices.to_config(dataclasses.replace(opened, size=1024), "output/a")
    assert (larger.shape, larger.size, larger.scales, larger.stop.max_iterations) == (None, 1024, 2, 70)


@pytest.mark.parametrize(("edge", "scales"), [(512, 1), (400, 1), (256, 1), (128, 1), (600, 1)])
def test_going_on_starts_from_the_picture_at_its_size(edge, scales):
    config = choices.to_config(CHOSEN, "output/b", picture_edge=edge)
    assert (config.init.kind, config.init.image, config.scales) == ("image", "output/b/start.png", scales)
    larger = choices.to_config(dataclasses.replace(CHOSEN, size=1024), "output/b", picture_edge=512)
    assert (larger.scales, larger.long_edges) == (2, [512, 1024])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"content": None}, "choose a photograph"),
        ({"styles": {}}, "choose a painting"),
        ({"size": 4000}, "size: 4000 is out of range, expected 96 to 2048"),
        ({"steps": 0}, "steps: 0 is out of range"),
        ({"strength": 1.5}, "strength: 1.5 is out of range, expected 0 to 1"),
        ({"style_weight": -1.0}, "style weight: -1 is out of range"),
        ({"style_weight": float("nan")}, "style weight: nan is out of range"),
        ({"content": "a\0b"}, "these settings"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(UserError, match=words):
        choices.to_config(dataclasses.replace(CHOSEN, **change), "output/a")


def test_colours_are_chosen_from_those_of_the_schema():
    for color in choices.colors():
        assert choices.to_config(dataclasses.replace(CHOSEN, color=color), "output/a").color == color
    with pytest.raises(UserError, match="colours: 'blue': expected one of: style"):
        choices.to_config(dataclasses.replace(CHOSEN, color="blue"), "output/a")


def test_a_run_may_be_larger_than_the_sliders_allow():
    base = {"size": 4000, "scales": 5}
    opened = dataclasses.replace(choices.from_config(base), content="photo.png", styles={"a.png": 1.0})
    assert choices.to_config(opened, "output/a").size == 4000


def test_keys_that_the_page_does_not_show_are_told():
    assert choices.others({}) == []
    assert choices.others(choices.to_config(CHOSEN, "output/a").model_dump(mode="json")) == []
    told = choices.others(configs.read_file(PROJECT / "configs" / "coursera_vgg19.yaml"))
    assert "model: vgg19" in told and "optimizer.name: adam" in told
    assert not any(line.startswith(("size", "style.weight", "output")) for line in told)


def test_a_painting_that_is_chosen_takes_the_place_of_regions():
    opened = choices.from_config(configs.read_file(PROJECT / "configs" / "regions.yaml"))
    assert choices.to_config(opened, "output/a").regions
    config = choices.to_config(dataclasses.replace(opened, styles={"a.png": 1.0}), "output/a")
    assert config.regions is None and config.style.images == {"a.png": 1.0}


def test_presets_are_shown_as_what_they_make():
    """The sweep that makes their pictures has the same settings, in the same order."""
    presets = samples.presets()
    jobs = sweep_file.read_sweep(PROJECT / "configs" / "sweeps" / "presets.yaml").jobs
    assert len({preset.name for preset in presets}) == len(presets) == len(jobs)
    for preset, job in zip(presets, jobs):
        with Image.open(preset.picture) as picture:
            assert max(picture.size) == job.config.size == 320
        assert preset.picture.stat().st_size <= 30_000
        before = dataclasses.replace(CHOSEN, size=320, strength=0.3)
        chosen = preset.applied(before)
        for name in ("content", "styles", "size"):
            assert getattr(chosen, name) == getattr(before, name)
        assert chosen.stroke_size == preset.stroke_size
        assert preset.applied(dataclasses.replace(before, trained="night")).trained == "night"
        config = choices.to_config(chosen, "output/a")
        made = job.config
        for key in ("weight", "size"):
            assert getattr(config.style, key) == getattr(made.style, key)
        assert config.color == made.color and config.model == made.model and config.init == made.init


def test_a_preset_whose_network_has_no_weights_says_how_to_get_them(monkeypatch, tmp_path):
    (preset,) = [preset for preset in samples.presets() if preset.name == "VGG-19"]
    monkeypatch.setattr("models.spec.WEIGHTS_FOLDER", tmp_path)
    assert "fetch.py vgg19" in preset.unavailable
    (tmp_path / models.load("vgg19").SPEC.weights_file).touch()
    assert preset.unavailable is None
    assert samples.presets()[0].unavailable is None  # the bundled network


def test_the_samples_are_there():
    for files in (samples.PHOTOGRAPHS, samples.PAINTINGS):
        assert len(samples.paths(files)) == len(files) == 4


def test_choices_are_empty_to_begin_with():
    assert Choices().content is None and Choices().styles == {}


def init(chosen, **options):
    return choices.to_config(chosen, "output/a", **options).init


def test_a_run_starts_from_the_instant_picture():
    assert init(CHOSEN) == Config.model_fields["init"].default
    assert (init(CHOSEN).kind, init(CHOSEN).strength) == ("instant", USUAL.strength)
    weak = init(dataclasses.replace(CHOSEN, strength=0.2))
    assert (weak.kind, weak.strength) == ("instant", 0.2)
    trained = dataclasses.replace(CHOSEN, trained="night")
    assert (init(trained).kind, init(trained).name) == ("style", "night")
    further = init(trained, picture_edge=512)
    assert (further.kind, further.name) == ("image", None)


def test_a_trained_style_comes_back_and_goes():
    config = choices.to_config(dataclasses.replace(CHOSEN, trained="night"), "output/a")
    opened = choices.from_config(config.model_dump(mode="json"))
    assert opened.trained == "night" and init(opened) == config.init
    assert init(dataclasses.replace(opened, trained=None)) == init(CHOSEN)


@pytest.mark.parametrize("change", [{"content": "other.png"}, {"styles": {"b.png": 1.0}}, {"strength": 0.2}])
def test_a_run_that_continued_from_a_picture_does_not_with_other_pictures(change):
    opened = choices.from_config(choices.to_config(CHOSEN, "output/a", picture_edge=512).model_dump(mode="json"))
    assert init(opened).kind == "image"
    assert init(dataclasses.replace(opened, **change)).kind == "instant"


def test_a_file_is_the_same_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = choices.from_config({"content": {"image": "a.png"}, "regions": None, "style": {"images": {"b.png": 2}}})
    absolute = dataclasses.replace(opened, content=str(tmp_path / "a.png"), styles={str(tmp_path / "b.png"): 2.0})
    assert settings(choices.to_config(absolute, "output/a")) == settings(choices.to_config(opened, "output/a"))


def test_what_an_instant_picture_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = dataclasses.replace(CHOSEN, size=1024, stroke_size=150, color="keep", strength=0.4)
    assert choices.to_instant_request(chosen) == {
        "content": str(tmp_path / "photo.png"), "styles": {str(tmp_path / "a.png"): 1.0}, "trained": None, "size": 512,
        "stroke_size": 150, "color": "keep", "strength": 0.4,
    }  # fmt: skip
    assert choices.to_instant_request(dataclasses.replace(chosen, size=200, trained="night"))["size"] == 200
    for missing, words in (
        ({"content": None}, "choose a photograph first"),
        ({"styles": {}}, "choose a painting first"),
    ):
        with pytest.raises(UserError, match=words):
            choices.to_instant_request(dataclasses.replace(chosen, **missing))


def test_an_opened_run_keeps_its_start():
    base = {"init": {"kind": "noise", "deviation": 7}}
    opened = dataclasses.replace(choices.from_config(base), content="photo.png", styles={"a.png": 1.0})
    assert choices.to_config(opened, "output/a").init.deviation == 7


def test_trained_styles_are_the_bundled_ones_with_their_paintings(tmp_path, monkeypatch):
    monkeypatch.setattr(style_file, "FOLDER", tmp_path)
    assert samples.trained_styles() == []
    style = random_style()
    style_file.write(tmp_path / "dark.npz", style)
    unknown = {**style.record, "paintings": {"unknown.jpg": "0" * 64}}
    style_file.write(tmp_path / "strange.npz", style_file.Style(style.spec, style.parameters, unknown))
    (found,) = samples.trained_styles()
    assert (found.name, found.painting) == ("dark", PROJECT / "input" / "night.jpg")
