"""The command that makes a picture: its options as a config, pictures by name, and where the result goes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import TINY_RUN, fill_studio
from PIL import Image

from styletransfer.cli import main, transfer
from styletransfer.config import Config, presets
from styletransfer.optimization.loop import Record
from styletransfer.page import choices, samples
from styletransfer.page.choices import scales_for
from styletransfer.session import session

DEFAULTS = Config.model_fields


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function from arguments to the config of the picture, which is not made."""
    monkeypatch.chdir(tmp_path)
    made: list[Config] = []

    def run(task: Any, *_: Any) -> Path:
        made.append(task.config)
        return tmp_path / "image.png"

    monkeypatch.setattr(session, "run", run)
    monkeypatch.setattr(session, "run_to_file", run)

    def of(*arguments: str) -> Config:
        assert transfer.main(["coffee", "night", *arguments]) == 0
        return made[-1]

    return of


def error_of(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    try:
        status: Any = transfer.main(list(arguments), "nstyle")
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--style-weight", "30"], "style.weight", 30),
        (["--content-weight", "0.5"], "content.weight", 0.5),
        (["--steps", "7"], "stop.max_iterations", 7),
        (["--colors", "keep"], "color", "keep"),
        (["--seed", "3"], "seed", 3),
        (["--device", "cpu"], "device", "cpu"),
        (["--size", "300"], "size", 300),
        (["--size", "300", "--stroke-size", "50"], "style.size", 150),
        (["--set", "size=300", "--stroke-size", "200"], "style.size", 600),
        (["--set", "shape=[80, 40]", "--stroke-size", "200"], "style.size", 160),
        (["--size", "300", "--set", "size=200"], "size", 200),
        (["--style-weight", "30", "--preset", "gentle"], "style.weight", 30),
        (["--preset", "own-colours"], "color", "keep"),
        (["--preset", "Large Strokes", "--size", "100"], "style.size", 200),
        (["--preset", "large-strokes", "--stroke-size", "100", "--size", "90"], "style.size", 90),
        (["-o", "out.JPEG"], "output.format", "jpg"),
        (["--output", "here"], "output.folder", "here"),
    ],
)
def test_an_option_sets_its_key(config: Any, arguments: list[str], key: str, value: Any) -> None:
    found: Any = config(*arguments)
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


def test_options_may_stand_between_the_pictures(config: Any) -> None:
    assert transfer.main(["coffee", "--size", "300", "night"]) == 0
    assert config("--size", "300").content.image == "input/coffee.jpg"


def test_large_pictures_have_more_scales_as_on_the_page(config: Any) -> None:
    assert config("--size", "2048").scales == scales_for(2048) > DEFAULTS["scales"].default
    assert config("--size", "2048", "--set", "scales=1").scales == 1
    assert config("--config", "gatys", "--size", "2048").scales == config("--config", "gatys").scales


def test_the_project_s_files_have_short_names_unless_there_are_files(config: Any, tmp_path: Path) -> None:
    assert list(config().style.images) == ["input/night.jpg"]
    assert config("--config", "gatys").model == "vgg19"
    (tmp_path / "night").touch()
    assert list(config().style.images) == ["night"]


@pytest.mark.parametrize("preset", presets.read(), ids=lambda preset: preset.name)
def test_presets_are_those_of_the_page(config: Any, preset: presets.Preset) -> None:
    (shown,) = [other for other in samples.presets() if other.name == preset.name]
    chosen = shown.applied(choices.from_config({}))
    found = config("--preset", preset.name)
    assert (found.style.weight, found.color) == (chosen.style_weight, chosen.color)
    assert found.style.size in (512 * chosen.stroke_size // 100, None)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-content_image", "a.jpg"], "-content_image is an option of neural-style, which is called --content here; "),
        (["--style_weight=3"], "--style_weight is an option of neural-style, which is called --style-weight here; "),
        (["a.jpg", "b.jpg", "-gpu", "0"], "-gpu is an option of neural-style, which is called --device, such as cuda"),
        (["a.jpg"], "a.jpg: expected two pictures, a photograph and a painting; for several, --content PICTURE"),
        (["a.jpg", "b.jpg", "--style", "c.jpg"], "a.jpg b.jpg: expected two pictures"),
        (["a.jpg", "b.jpg", "--resume"], "--resume continues the run in a folder; name it with --output FOLDER"),
        (["a.jpg", "b.jpg", "-o", "c.gif"], "-o c.gif: expected a name that ends with .png, .jpg, .webp, .tiff"),
        (["coffee", "nigth"], "nigth: no such file; did you mean 'night'?"),
        (["--content", "a", "b", "--style", "night", "-o", "c.png"], "several photographs: name a folder for the pict"),
        (["coffee", "night", "--preset", "gentel"], "--preset gentel: there is no such preset; did you mean 'gentle'?"),
        (["--size", "0"], "argument --size: '0' is not a whole number from 1 to 20000; "),
    ],
)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert error_of(capsys, *arguments).startswith(line)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two pictures and the config of a run of a moment, in which commands run."""
    monkeypatch.chdir(tmp_path)
    fill_studio(tmp_path)
    settings = {"model": "vgg_slim"} | {
        key: value for key, value in TINY_RUN.items() if key not in ("content", "style")
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_two_pictures_make_a_file_and_nothing_else(studio: Path, capsys: pytest.CaptureFixture) -> None:
    before = names(studio)
    assert main(["photo.png", "painting.png", "--config", "tiny.yaml"]) == 0
    assert capsys.readouterr().out == "photo_painting.png\n"
    assert names(studio) - before == {"photo_painting.png"}
    assert error_of(capsys, "photo.png", "painting.png", "--config", "tiny.yaml").startswith(
        "photo_painting.png exists already; "
    )
    assert main(["photo.png", "painting.png", "--config", "tiny.yaml", "-o", "new/a.jpg"]) == 0
    with Image.open(studio / "new" / "a.jpg") as picture:
        assert picture.format == "JPEG" and max(picture.size) == 48
    assert names(studio / "new") == {"a.jpg"}


def test_a_picture_is_never_written_over_a_photograph(studio: Path, capsys: pytest.CaptureFixture) -> None:
    before = (studio / "photo.png").read_bytes()
    line = error_of(capsys, "photo.png", "painting.png", "--config", "tiny.yaml", "-o", "photo.png", "--force")
    assert line.startswith("photo.png is read by this command (content.image) and would be overwritten")
    assert (studio / "photo.png").read_bytes() == before


def test_with_a_folder_the_file_is_the_picture_in_it(studio: Path) -> None:
    arguments = ("photo.png", "painting.png", "--config", "tiny.yaml", "--output", "run")
    assert transfer.main([*arguments, "-o", "a.png"]) == 0
    assert (studio / "a.png").read_bytes() == (studio / "run" / "image.png").read_bytes()
    assert transfer.main([*arguments, "-o", "b.png", "--set", "stop.max_iterations=4", "--resume", "--force"]) == 0
    assert (studio / "b.png").read_bytes() != (studio / "a.png").read_bytes()


class InterruptsAtOnce:
    def record(self, record: Record) -> None:
        signal.raise_signal(signal.SIGINT)

    def close(self) -> None:
        pass


def test_an_interrupted_run_without_a_folder_leaves_nothing(
    studio: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(studio)
    monkeypatch.setattr(session, "progress", lambda *_: InterruptsAtOnce())
    assert transfer.main(["photo.png", "painting.png", "--config", "tiny.yaml"]) == 75
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted at step 0; nothing was written")
    assert names(studio) == before
