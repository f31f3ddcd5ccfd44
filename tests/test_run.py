"""Complete runs, tiny but real: the output folder, resuming after an interruption, and every way to end."""

from __future__ import annotations

import fcntl
import hashlib
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from helpers import ENGINE, random_parameters, random_picture
from PIL import Image
from processes import NSTYLE

import models
from models import spec
from scripts.nstyle import main
from styletransfer import weights
from styletransfer.config import OptimizerSettings, loading
from styletransfer.pictures import images
from styletransfer.session import binding, checkpoints, curves, inputs, picture_sizes, picture_sources
from styletransfer.weights import sources

STEPS = 30
LAYERS = [("content", "proj4_1"), *(("style", f"proj{block}_1") for block in range(1, 6))]
COLUMNS = ["step", "scale", "total", "content", "style", "tv", *LAYERS]
COLUMNS += ["relative_change", "gradient_norm", "learning_rate", "seconds"]
PLOT = curves.plot


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with a photograph, paintings and the weights of a random network."""
    folder = tmp_path_factory.mktemp("studio")
    weights.save(folder / "random.params", random_parameters("vgg_slim"))
    images.write(folder / "photo.png", random_picture(40, 56, seed=1))
    images.write(folder / "photo.jpg", random_picture(40, 56, seed=1))
    images.write(folder / "painting.jpg", random_picture(50, 44, seed=2))
    images.write(folder / "other.png", random_picture(48, 64, seed=3))
    Image.open(folder / "other.png").convert("L").save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:900])
    (folder / "garbage.params").write_bytes(b"no weights" * 99)
    return folder


@pytest.fixture(autouse=True)
def in_the_studio(studio, monkeypatch):
    """Work in the studio, without curve.png, which would take most of the time; `finished` has one."""
    monkeypatch.chdir(studio)
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)


def command(folder, *changes, content="photo.png", style="painting.jpg"):
    """The arguments of a tiny run; `changes` are ``key=value`` or options."""
    arguments = ["--output", str(folder)]
    arguments += ["--content", content] if content else []
    for name in filter(None, [style] if isinstance(style, str) or style is None else style):
        arguments += ["--style", name]
    tiny = (
        "size=48",
        "scales=1",
        "model=vgg_slim",
        "weights=random.params",
        "init.kind=matched",
        "optimizer.name=sgd",
        "optimizer.learning_rate=1",
        "style.weight=60",
        "stop.max_iterations=4",
        "output.save_every=2",
    )
    for change in (*tiny, *changes):
        arguments += [change] if change.startswith("--") else ["--set", change]
    return arguments


def make(folder, *changes, **options):
    """Make a picture and return its output folder."""
    assert main(command(folder, *changes, **options)) == 0
    return folder


def curve_of(folder):
    return curves.read(folder / "curve.csv")


def assert_same_run(first, second):
    """Check that two runs have the same numbers, except for seconds, and pixels; the configs in them may differ."""
    assert curves.first_difference(curve_of(first), curve_of(second), relative=0.0) is None
    np.testing.assert_array_equal(*(np.asarray(Image.open(folder / "image.png")) for folder in (first, second)))


def contents(folder):
    """Every file in a folder with its contents and time."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(studio, tmp_path_factory):
    """The output folder of a run of several steps; not to be modified."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(studio)
        return make(tmp_path_factory.mktemp("finished") / "run", f"stop.max_iterations={STEPS}", "output.save_every=7")


# The output folder.


def test_the_output_folder_has_all_files(finished):
    pictures = [f"steps/{step:06d}.jpg" for step in range(7, STEPS + 1, 7)]
    found = sorted(str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file())
    assert found == sorted(
        ["image.png", "curve.csv", "curve.png", "config.yaml", "run.status", "checkpoint.npz", *pictures]
    )
    assert (finished / "run.status").read_text() == "done\n"
    for name, kind in (("image.png", "PNG"), ("curve.png", "PNG"), (pictures[0], "JPEG")):
        with Image.open(finished / name) as picture:
            assert picture.format == kind and (name == "curve.png" or picture.size == (48, 34))


def test_the_curve_has_all_columns_and_steps(finished):
    curve = curve_of(finished)
    assert list(curve.columns) == COLUMNS
    assert (finished / "curve.csv").read_text().splitlines()[0] == (
        "step,scale,total,content,style,tv,content.proj4_1,style.proj1_1,style.proj2_1,style.proj3_1,style.proj4_1,"
        "style.proj5_1,relative_change,gradient_norm,learning_rate,seconds"
    )
    assert curve.column("step") == list(range(STEPS + 1))
    assert set(curve.column("scale")) == {0}
    first = dict(zip(curve.columns, curve.rows[0]))
    assert np.isnan(first["relative_change"]) and np.isnan(first["learning_rate"])
    assert curve.column("learning_rate")[1:] == [1.0] * STEPS
    assert curve.column("seconds") == sorted(curve.column("seconds"))
    for row in curve.rows:
        values = dict(zip(curve.columns, row))
        assert values["total"] == values["content"] + values["style"] + values["tv"]
        for group in ("content", "style"):
            layers = [values[column] for column in LAYERS if column[0] == group]
            assert values[group] == pytest.approx(sum(layers), rel=1e-12)


def test_the_losses_decrease(finished):
    total = curve_of(finished).column("total")
    assert total[-1] < 0.7 * total[0]


def test_the_curve_starts_at_the_initial_image(tmp_path):
    """At the content picture, the content loss is rounding in bfloat16, and the TV is the unit."""
    folder = make(tmp_path / "run", "init.kind=content", "stop.max_iterations=0")
    first = dict(zip(COLUMNS, curve_of(folder).rows[0]))
    assert first["content"] < 1e-4 and first["tv"] == pytest.approx(0.05, rel=1e-5)


def test_the_saved_config_has_the_provenance(finished):
    provenance = yaml.safe_load((finished / "config.yaml").read_text())["provenance"]
    assert provenance[ENGINE.name] == ENGINE.version() and provenance["numpy"] == np.__version__
    assert provenance["weights"]["file"] == "random.params" and re.fullmatch(
        "[0-9a-f]{64}", provenance["weights"]["sha256"]
    )
    assert provenance["inputs"] == {
        key: hashlib.sha256(Path(name).read_bytes()).hexdigest()
        for key, name in {"content.image": "photo.png", "style.images painting.jpg": "painting.jpg"}.items()
    }


def test_the_saved_config_reproduces_the_run(finished, tmp_path):
    assert main(["--config", str(finished / "config.yaml"), "--output", str(tmp_path / "again")]) == 0
    assert_same_run(finished, tmp_path / "again")
    before, after = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (finished, tmp_path / "again"))
    assert before.pop("output") != after.pop("output")
    assert before == after


def test_the_path_of_the_picture_is_printed(tmp_path, capsys):
    make(tmp_path / "run")
    assert capsys.readouterr().out == f"{tmp_path / 'run' / 'image.png'}\n"


def test_intermediate_pictures_can_be_switched_off(tmp_path):
    make(tmp_path / "run", "output.save_every=0", "output.checkpoint_every=2")
    assert not (tmp_path / "run" / "steps").exists()
    assert (tmp_path / "run" / "checkpoint.npz").exists()


def test_noise_is_removed_only_from_saved_pictures(tmp_path):
    plain, clean = make(tmp_path / "plain"), make(tmp_path / "clean", "output.denoise=0.1")
    assert curves.first_difference(curve_of(plain), curve_of(clean), relative=0.0) is None
    for name in ("image.png", "steps/000004.jpg"):
        rough, smooth = (np.abs(np.diff(images.read(folder / name), axis=1)).mean() for folder in (plain, clean))
        assert smooth < 0.7 * rough


# Formats, configs in pictures, and EXIF.


@pytest.mark.parametrize(("name", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF")])
def test_the_result_may_have_another_format(tmp_path, capsys, name, kind):
    folder = make(tmp_path / "run", f"output.format={name}", "output.save_every=0")
    assert capsys.readouterr().out == f"{folder / 'image'}.{name}\n"
    assert [path.name for path in folder.glob("image.*")] == [f"image.{name}"]
    with Image.open(folder / f"image.{name}") as picture:
        assert picture.format == kind and picture.size == (48, 34)
    assert main(command(folder)) == 2
    assert "contains a finished picture" in capsys.readouterr().err
    make(folder, "--force")
    assert [path.name for path in folder.glob("image.*")] == ["image.png"]


def test_a_finished_run_goes_on_from_its_last_step_in_another_format_too(tmp_path):
    settings = ("output.format=tiff", "output.save_every=0", "optimizer={name: adam, learning_rate: 3, average: 0.8}")
    whole = make(tmp_path / "whole", "stop.max_iterations=12", *settings)
    parts = make(tmp_path / "parts", "stop.max_iterations=7", *settings)
    assert np.load(parts / "checkpoint.npz")["step"] == 7
    make(parts, "--resume", "--force", "stop.max_iterations=12", *settings)
    assert curves.first_difference(curve_of(parts), curve_of(whole), relative=0.0) is None
    assert (parts / "image.tiff").read_bytes() == (whole / "image.tiff").read_bytes()


def test_the_picture_runs_again_as_its_own_config(finished, tmp_path):
    assert main(["--config", str(finished / "image.png"), "--output", str(tmp_path / "again")]) == 0
    assert_same_run(finished, tmp_path / "again")


def test_the_photographs_exif_is_only_copied_where_asked_for(tmp_path):
    exif = Image.Exif()
    exif[0x10F], exif[0x112] = "maker", 6
    with Image.open("photo.png") as picture:
        picture.save(tmp_path / "photo.png", exif=exif)
    settings = (f"content.image={tmp_path / 'photo.png'}", "output.save_every=0")
    for kept, expected in (("false", {}), ("true", {0x10F: "maker"})):
        folder = make(tmp_path / kept, f"output.keep_metadata={kept}", *settings)
        with Image.open(folder / "image.png") as picture:
            assert dict(picture.getexif()) == expected and picture.size == (34, 48)  # turned


# Overwriting.


def test_a_finished_folder_is_overwritten_only_with_force(tmp_path, capsys):
    folder = make(tmp_path / "run", "stop.max_iterations=5")
    (folder / "notes.txt").write_text("mine")
    (folder / "steps" / "mine.jpg").write_text("mine")
    before = contents(folder)
    assert main(command(folder, "seed=1")) == 2
    assert "contains a finished picture" in capsys.readouterr().err
    assert contents(folder) == before
    make(folder, "--force", "output.save_every=3")
    assert len(curve_of(folder).rows) == 5
    assert sorted(path.name for path in (folder / "steps").iterdir()) == ["000003.jpg", "mine.jpg"]
    assert (folder / "notes.txt").read_text() == "mine"


def unfinished(folder, *changes):
    """A run that ended between two checkpoints, as after a power failure; the checkpoint is of step STEPS // 2."""
    make(folder, f"stop.max_iterations={STEPS // 2 + 3}", f"output.checkpoint_every={STEPS // 2}", *changes)
    (folder / "checkpoint.previous.npz").replace(folder / "checkpoint.npz")
    (folder / "image.png").unlink()
    return folder


def test_an_unfinished_folder_is_overwritten_only_with_force(tmp_path, capsys):
    folder = unfinished(tmp_path / "run")
    before = contents(folder)
    assert main(command(folder)) == 2
    assert "contains an unfinished run; add --resume to continue it, or --force" in capsys.readouterr().err
    assert contents(folder) == before
    make(folder, "--force")
    assert np.load(folder / "checkpoint.npz")["step"] == 4 and len(curve_of(folder).rows) == 5


# Resuming.


def test_a_run_resumed_from_its_checkpoint_equals_an_uninterrupted_one(finished, tmp_path):
    folder = unfinished(tmp_path / "run", "output.save_every=7")
    make(folder, "--resume", f"stop.max_iterations={STEPS}", "output.save_every=7")
    assert_same_run(folder, finished)
    assert (folder / "image.png").read_bytes() == (finished / "image.png").read_bytes()
    for picture in (finished / "steps").iterdir():
        assert (folder / "steps" / picture.name).read_bytes() == picture.read_bytes()
    assert yaml.safe_load((folder / "config.yaml").read_text())["stop"]["max_iterations"] == STEPS
    seconds = curve_of(folder).column("seconds")
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("name", get_args(OptimizerSettings.model_fields["name"].annotation))
def test_every_optimizer_resumes_exactly(tmp_path, name):
    settings = (f"optimizer.name={name}", "init.kind=noise", "optimizer.evaluations=4")
    whole = make(tmp_path / "whole", "stop.max_iterations=12", *settings)
    parts = make(tmp_path / "parts", "stop.max_iterations=7", *settings)
    assert np.load(parts / "checkpoint.npz")["step"] == 7
    make(parts, "--resume", "--force", "stop.max_iterations=12", *settings)
    assert_same_run(parts, whole)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("style.weight=3", "style.weight"),
        ("seed=1", "seed"),
        ("optimizer.schedule={step: 3}", "optimizer.schedule"),
        ("style.layers={relu1_1: 1}", "style.layers.proj1_1"),
        ("content.image=other.png", "content.image"),
        ("style.images=[other.png]", "style.images.painting.jpg"),
    ],
)
def test_a_run_cannot_be_resumed_with_other_settings(tmp_path_factory, studio, capsys, change, key):
    folder = tmp_path_factory.getbasetemp() / "goes_on"
    if not folder.exists():
        unfinished(folder)
    before = contents(folder)
    assert main(command(folder, "--resume", change)) == 2
    assert f"--resume: {key} differs from the run in {folder}" in capsys.readouterr().err
    assert contents(folder) == before


def test_resuming_requires_a_checkpoint(tmp_path, capsys):
    assert main(command(tmp_path / "run", "--resume")) == 2
    assert capsys.readouterr().err == f"error: --resume: there is no checkpoint in {tmp_path / 'run'}\n"
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_resumed_by_accident(tmp_path, capsys):
    folder = make(tmp_path / "run", "output.checkpoint_every=2")
    before = contents(folder)
    assert main(command(folder, "--resume")) == 2
    assert "contains a finished picture" in capsys.readouterr().err
    assert contents(folder) == before
    make(folder, "--resume", "--force", "stop.max_iterations=6")
    assert len(curve_of(folder).rows) == 7


@pytest.mark.parametrize("result", ["image.png", "steps/000002.jpg", "link.png"])
def test_a_result_of_an_earlier_run_is_not_removed_if_it_is_an_input(tmp_path, capsys, result):
    folder = make(tmp_path / "run")
    (tmp_path / "run" / "link.png").symlink_to(folder / "image.png")
    before = contents(folder)
    picture = f"init={{kind: image, image: '{folder / result}'}}"
    for changes in ([picture], [f"content.image={folder / result}"], [f"style.images=['{folder / result}']"]):
        assert main(command(folder, "--force", *changes)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        name = "image.png" if result == "link.png" else result
        assert line.startswith(f"error: {folder / name} is read by this command (")
        assert contents(folder) == before
    make(tmp_path / "other", picture)


def test_input_files_are_hashed_in_chunks(tmp_path, monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} is read as a whole")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        make(tmp_path / "run")


def test_a_missing_picture_that_can_be_fetched_has_a_hint(tmp_path, monkeypatch, capsys):
    for module, name in ((loading, "PROJECT_FOLDER"), (picture_sources, "PROJECT_FOLDER"), (sources, "PROJECT_FOLDER")):
        monkeypatch.setattr(module, name, tmp_path)
    for options in ({"content": "input/IMG_4343.jpg"}, {"style": str(tmp_path / "input" / "IMG_4343.jpg")}):
        assert main(command(tmp_path / "run", **options)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("input/IMG_4343.jpg: no such file; run `python scripts/fetch.py images`")
    assert not (tmp_path / "run").exists()


def half(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [half, flipped, lambda content: b"", lambda content: b"PK\3\4" + content[50:]])
def test_a_damaged_checkpoint_is_rejected(tmp_path, capsys, damage):
    folder = unfinished(tmp_path / "run")
    path = folder / "checkpoint.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert main(command(folder, "--resume")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --resume: cannot read {path}: ")


def test_a_file_that_is_not_a_checkpoint_is_rejected(tmp_path, capsys):
    folder = unfinished(tmp_path / "run")
    for save in (np.save, np.savez):
        with open(folder / "checkpoint.npz", "wb") as stream:
            save(stream, np.arange(3))
        assert main(command(folder, "--resume")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: --resume: cannot read {folder / 'checkpoint.npz'}: ")


@pytest.mark.parametrize("damage", [None, "step,total\n0,1.0\n", "nonsense"])
def test_a_run_cannot_be_resumed_without_its_curve(tmp_path, capsys, damage):
    folder = unfinished(tmp_path / "run")
    (folder / "curve.csv").unlink() if damage is None else (folder / "curve.csv").write_text(damage)
    assert main(command(folder, "--resume")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "curve" in line
    if damage is None:
        missing = folder / "curve.csv"
        assert line == f"error: --resume: {missing} is missing; start over with --force"


def test_a_run_cannot_be_resumed_with_another_photograph(tmp_path, capsys):
    Image.open("photo.png").save(tmp_path / "photo.png")
    folder = unfinished(tmp_path / "run", f"content.image={tmp_path / 'photo.png'}")
    Image.open("photo.png").rotate(90, expand=True).save(tmp_path / "photo.png")
    assert main(command(folder, "--resume", f"content.image={tmp_path / 'photo.png'}")) == 2
    assert "--resume: content.image: the file has changed since" in capsys.readouterr().err


def test_a_checkpoint_is_saved_with_its_curve(tmp_path, monkeypatch):
    """Files that are written at the end of a run are missing after a power failure."""
    saved = []
    monkeypatch.setattr(checkpoints, "save", lambda folder, *arguments: saved.append(curve_of(folder).column("step")))
    make(tmp_path / "run", "output.checkpoint_every=3", "output.save_every=0")
    assert saved == [[0, 1, 2, 3], [0, 1, 2, 3, 4]]


# Interruptions.


def interrupted(folder, number, *changes):
    """Start a long run, send it a signal once it makes steps, and return its exit status and output."""
    arguments = command(folder, "stop.max_iterations=3000", "output.checkpoint_every=0", *changes)
    with subprocess.Popen([sys.executable, str(NSTYLE), *arguments], stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if line.startswith("step 50 of"):
                process.send_signal(number)
        return process.wait(60), lines


@pytest.mark.parametrize(
    ("number", "optimizer"),
    [(signal.SIGINT, "sgd"), (signal.SIGTERM, "sgd"), (signal.SIGINT, "lbfgs"), (signal.SIGINT, "lbfgsb")],
)
def test_an_interrupted_run_resumes_exactly(tmp_path, number, optimizer):
    folder, chosen = tmp_path / "run", f"optimizer.name={optimizer}"
    status, lines = interrupted(folder, number, chosen)
    assert status == 75 and not any("Traceback" in line for line in lines), lines
    last = re.fullmatch(r"interrupted at step (\d+), state saved: run again with --resume", lines[-1])
    assert last and int(last[1]) >= 50
    assert (folder / "checkpoint.npz").exists() and not (folder / "image.png").exists()
    assert len(curve_of(folder).rows) == int(last[1]) + 1
    steps = f"stop.max_iterations={int(last[1]) + 5}"
    assert_same_run(make(folder, "--resume", steps, chosen), make(tmp_path / "whole", steps, chosen))


# Kinds of runs.


def start_of(folder, *changes, **options):
    """The initial image of a run, as a picture."""
    return images.read(make(folder, "stop.max_iterations=0", *changes, **options) / "image.png")


def test_it_starts_from_the_content_picture(tmp_path):
    expected = images.resize(images.read("photo.png"), 34, 48)
    np.testing.assert_allclose(start_of(tmp_path / "run", "init.kind=content"), expected, atol=0.51 / 255)


def test_it_starts_from_a_picture(tmp_path):
    expected = images.resize(images.read("other.png"), 34, 48)
    found = start_of(tmp_path / "run", "init={kind: image, image: other.png}")
    np.testing.assert_allclose(found, expected, atol=0.51 / 255)


def test_it_starts_from_noise_around_the_mean_colour(tmp_path):
    found = start_of(tmp_path / "run", "init={kind: noise, deviation: 10}")
    np.testing.assert_allclose(found.mean((0, 1)) * 255, [123.68, 116.779, 103.939], atol=1)
    np.testing.assert_allclose(found.std((0, 1)) * 255, 10, atol=1)


def test_it_starts_from_uniform_noise(tmp_path):
    found = start_of(tmp_path / "run", "init={kind: uniform, low: 10, high: 30}")
    distance = found * 255 - [123.68, 116.779, 103.939]
    assert 9 < distance.min() < 11 and 29 < distance.max() < 31


def test_it_starts_from_a_blend_of_noise_and_content(tmp_path):
    content = start_of(tmp_path / "content", "init.kind=content")
    noise = start_of(tmp_path / "noise", "init={kind: uniform, low: -9, high: 9}")
    blend = start_of(tmp_path / "blend", "init={kind: blend, low: -9, high: 9, noise_share: 0.25}")
    np.testing.assert_allclose(blend, 0.25 * noise + 0.75 * content, atol=1.1 / 255)


@pytest.mark.parametrize("kind", ["noise", "uniform", "blend"])
def test_noise_comes_from_the_seed(tmp_path, kind):
    pictures = [
        start_of(tmp_path / f"{number}", f"init.kind={kind}", f"seed={seed}") for number, seed in enumerate((1, 1, 2))
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


def test_two_runs_are_the_same(tmp_path):
    assert_same_run(*(make(tmp_path / name, "init.kind=noise", "seed=3") for name in "ab"))


@pytest.mark.parametrize("kind", ["noise", "uniform"])
def test_a_texture_needs_no_photograph(tmp_path, kind):
    folder = make(tmp_path / "run", "content.weight=0", f"init.kind={kind}", content=None)
    curve = curve_of(folder)
    assert [column for column in curve.columns if isinstance(column, tuple)] == LAYERS[1:]
    assert set(curve.column("content")) == {0} and curve.column("style")[-1] < curve.column("style")[0]
    assert images.read(folder / "image.png").shape == (48, 42, 3)  # the proportions of the painting


def test_a_photograph_is_reconstructed_without_a_style(tmp_path):
    folder = make(tmp_path / "run", "style.weight=0", "init.kind=noise", style=None)
    curve = curve_of(folder)
    assert [column for column in curve.columns if isinstance(column, tuple)] == LAYERS[:1]
    assert set(curve.column("style")) == {0} and curve.column("content")[-1] < curve.column("content")[0]


def test_styles_are_blended_by_their_weights(tmp_path):
    """Only the ratios of weights matter, and a style with almost no weight has no effect."""
    alone = make(tmp_path / "alone")
    nearly = make(tmp_path / "nearly", "style.images={painting.jpg: 1, other.png: 1e-9}", style=None)
    assert curves.first_difference(curve_of(alone), curve_of(nearly), relative=1e-4, absolute=1e-6) is None
    both = make(tmp_path / "both", style=["painting.jpg", "other.png"])
    doubled = make(tmp_path / "doubled", "style.images={painting.jpg: 2, other.png: 2}", style=None)
    assert_same_run(both, doubled)
    assert curves.first_difference(curve_of(alone), curve_of(both), relative=1e-2)


@pytest.mark.parametrize(
    "changes",
    [
        ["style.size=match"],
        ["style.size=40"],
        ["tv.kind=none"],
        ["tv.kind=squared"],
        ["pooling=avg"],
        ["normalization=mxnet", "optimizer.learning_rate=1e-9"],
        ["pixels=torchvision", "optimizer.learning_rate=1e-4"],
    ],
)
def test_other_settings(tmp_path, changes):
    total = curve_of(make(tmp_path / "run", *changes)).column("total")
    assert len(total) == 5 and total[-1] < total[0]


def test_a_jpeg_in_the_style_of_a_grey_png(tmp_path):
    make(tmp_path / "run", content="photo.jpg", style="grey.png")


def test_it_stops_when_the_relative_change_is_small(tmp_path):
    changes = curve_of(make(tmp_path / "run", "stop={max_iterations: 20, relative_change: 0.5}")).column(
        "relative_change"
    )
    assert len(changes) == 2 and changes[1] < 0.5


def test_the_command_line_overrides_the_config_file(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "size: 20\ncontent: {weight: 5}\nstyle: {images: nowhere.jpg}\noutput: {denoise: 0.5}\n"
    )
    arguments = ["--config", str(tmp_path / "c.yaml"), *command(tmp_path / "run", "style.layers={relu2_1: 1}")]
    assert main(arguments) == 0
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (saved["size"], saved["content"]["weight"], saved["output"]["denoise"]) == (48, 5.0, 0.5)
    assert saved["style"]["images"] == {"painting.jpg": 1.0} and saved["style"]["layers"] == {"relu2_1": 1.0}


# Failures.


def test_divergence_is_one_line_and_saves_a_picture(tmp_path):
    """In a separate process, to see the whole output; piped, so that progress is plain lines."""
    arguments = command(
        tmp_path / "run", "optimizer.learning_rate=1e9", "optimizer.bounds=none", "stop.max_iterations=30"
    )
    done = subprocess.run([sys.executable, str(NSTYLE), *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and done.stdout == ""
    first, _, plan, *progress, last = done.stderr.splitlines()
    assert first == f"VGG-slim, into {tmp_path / 'run'}" and plan.startswith("48 x 34 pixels: 30 steps at most")
    back = [line for line in progress if "; rolled back to step 0 with steps 0.5 times as long (" in line]
    steps = [line for line in progress if re.match(r"step \d+ of 30: total \S+, content \S+, style ", line)]
    assert len(back) == 5 and back[-1].endswith("(5 of 5)") and sorted(back + steps) == sorted(progress)
    assert re.fullmatch(
        r"error: step \d+: the loss or its gradient is not finite; 5 rollbacks with smaller steps did not help; "
        r"try a smaller optimizer\.learning_rate",
        last,
    )
    curve = curve_of(tmp_path / "run")
    assert curve.column("step") == list(range(7))  # the initial image, the rollbacks, and the step that ended the run
    assert not any(total < 100 * curve.column("total")[0] for total in curve.column("total")[1:])
    start = make(tmp_path / "start", "stop.max_iterations=0")  # no better image was found
    np.testing.assert_array_equal(images.read(tmp_path / "run" / "image.png"), images.read(start / "image.png"))


@pytest.mark.parametrize("every", [0, 1])
def test_a_non_finite_start_is_in_the_curve(tmp_path, monkeypatch, every):
    monkeypatch.setattr(curves, "plot", PLOT)
    folder = tmp_path / "run"
    assert main(command(folder, "style.weight=1e30", f"output.checkpoint_every={every}")) == 3
    assert curve_of(folder).column("step") == [0] and not np.isfinite(curve_of(folder).column("gradient_norm")).any()
    assert not (folder / "checkpoint.npz").exists()  # it cannot be resumed from
    assert (folder / "curve.png").exists() and (folder / "image.png").exists()


def test_the_picture_of_a_diverged_run_is_written_last(tmp_path, monkeypatch):
    folder, write, found = tmp_path / "run", images.write, []

    def written(path, picture, *more):
        if path == folder / "image.png":
            found.append((curve_of(folder).column("step")[-1], (folder / "run.status").read_text()))
        write(path, picture, *more)

    monkeypatch.setattr(images, "write", written)
    assert main(command(folder, "optimizer.learning_rate=1e9", "optimizer.bounds=none", "stop.max_iterations=30")) == 3
    assert found == [(6, "diverged\n")]


TOO_LARGE = ("optimizer.learning_rate=30", "optimizer.bounds=none", "stop.max_iterations=30")


@pytest.fixture(scope="module")
def recovered(studio, tmp_path_factory):
    """The output folder of a run that diverged a few times and recovered; not to be modified."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(studio)
        return make(tmp_path_factory.mktemp("recovered") / "run", *TOO_LARGE)


def test_a_learning_rate_that_is_too_large_is_reduced(recovered):
    curve = curve_of(recovered)
    assert curve.column("step") == list(range(31))
    total, rates = curve.column("total"), curve.column("learning_rate")[1:]
    assert not np.isfinite(total).all() and total[-1] < 0.7 * total[0]
    assert sorted(set(rates), reverse=True) == [30 * 0.5**tries for tries in range(len(set(rates)))]
    assert 1 < len(set(rates)) <= 6 and rates == sorted(rates, reverse=True)


def test_the_curve_of_a_run_with_rollbacks_is_plotted(recovered, tmp_path):
    PLOT(tmp_path / "curve.png", {"": curve_of(recovered)})
    assert (tmp_path / "curve.png").stat().st_size > 0


@pytest.mark.parametrize("done", [2, 3, 4, 11, 20])
def test_a_run_with_rollbacks_resumes_exactly(recovered, tmp_path, done):
    short = (*TOO_LARGE[:2], f"stop.max_iterations={done + 1}", f"output.checkpoint_every={done}")
    folder = make(tmp_path / "run", *short)
    make(folder, "--resume", "--force", *TOO_LARGE)
    assert_same_run(folder, recovered)


@pytest.mark.parametrize(
    "settings",
    [
        "{name: sgd, learning_rate: 1000, clip_norm: 2000, bounds: none}",
        "{name: adam, learning_rate: 1.0e20, bounds: none}",
        "{name: lbfgsb, first_step: 1.0e15, bounds: none}",
    ],
)
def test_a_run_that_cannot_recover_is_one_line(tmp_path, capsys, settings):
    """All optimisers except accept_reject, whose image stays displayable, and lbfgs, which shortens its first step."""
    folder = tmp_path / "run"
    assert main(command(folder, f"optimizer={settings}", "stop.max_iterations=90")) == 3
    (line,) = (line for line in capsys.readouterr().err.splitlines() if not line.startswith(("step ", "VGG", "48 x")))
    assert line.startswith("error: step ") and "did not help; try a smaller optimizer." in line
    assert images.read(folder / "image.png").shape == (34, 48, 3)


TOO_SMALL = "gives 15 x 10 pixels, too small for the layer proj5_1 of vgg_slim, which needs 16 on each side"
MISTAKES = {
    "content missing": ({"content": "nowhere.jpg"}, "picture nowhere.jpg: no such file"),
    "style missing": ({"style": "nowhere.jpg"}, "picture nowhere.jpg: no such file"),
    "content broken": ({"content": "broken.jpg"}, "picture broken.jpg: cannot be read: "),
    "content not a picture": ({"content": "garbage.params"}, "picture garbage.params: not a picture"),
    "no content": ({"content": None}, "the command line: content.image is missing"),
    "no style": ({"style": None}, "the command line: style.images is missing"),
    "both weights 0": (["style.weight=0", "content.weight=0"], "style.weight are both 0"),
    "unknown key": (["stlye.weight=3"], "the command line: unknown key 'stlye'; did you mean 'style'?"),
    "unknown layer": (["style.layers={relu1_9: 1}"], "vgg_slim has no layer 'relu1_9'; did you mean 'relu1_"),
    "unknown model": (["model=vgg20"], "did you mean 'vgg1"),
    "unknown config": (["--config=nowhere.yaml"], "config nowhere.yaml: No such file or directory"),
    "no value": (["seed"], "--set seed: expected KEY=VALUE"),
    "too small": (["size=15"], f"size: 15 {TOO_SMALL}"),
    "style too small": (["style.size=15"], "style picture painting.jpg gives 13 x 15 pixels, too small for the layer"),
    "no weights": (["weights=nowhere.params"], "weights of vgg_slim not found at nowhere.params"),
    "weights garbage": (["weights=garbage.params"], "weights garbage.params: "),
    "weights of another": (["model=vgg19"], "weights random.params: "),
    "start missing": (["init={kind: image, image: nowhere.png}"], "picture nowhere.png: no such file"),
    "not finite": (["style.weight=.nan"], "style.weight: nan: Input should be a finite number"),
}  # fmt: skip


def mistaken(folder, mistake):
    return command(folder, *mistake) if isinstance(mistake, list) else command(folder, **mistake)


@pytest.mark.parametrize(("mistake", "words"), MISTAKES.values(), ids=MISTAKES)
def test_an_error_is_one_line_and_nothing_is_written(tmp_path, capsys, mistake, words):
    folder = tmp_path / "run"
    assert main(mistaken(folder, mistake)) == 2
    output, said = capsys.readouterr()
    assert output == "" and said.startswith("error: ") and said.count("\n") == 1 and words in said
    assert not folder.exists()


@pytest.mark.parametrize("mistake", [mistake for mistake, _ in MISTAKES.values()], ids=MISTAKES)
def test_an_error_leaves_a_finished_folder_untouched_even_with_force(finished, capsys, mistake):
    before = contents(finished)
    assert main([*mistaken(finished, mistake), "--force"]) == 2
    assert contents(finished) == before


def test_a_missing_gpu_is_one_line(tmp_path, capsys):
    assert main(command(tmp_path / "run", "device=gpu:99")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: device: gpu:99 not found") and not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", models.names())
def test_missing_weights_have_a_hint(tmp_path, monkeypatch, capsys, model):
    monkeypatch.setattr(spec, "WEIGHTS_FOLDER", tmp_path)
    assert main(command(tmp_path / "run", f"model={model}", "weights=null")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"weights of {model} not found" in line and line.endswith(models.load(model).SPEC.how_to_get)
    assert not (tmp_path / "run").exists()


def test_an_output_folder_that_is_a_file_is_rejected(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for folder, words in (("file", "is a file; name a folder"), ("file/below", "cannot be written: Not a directory")):
        assert main(command(tmp_path / folder)) == 2
        assert capsys.readouterr().err == f"error: output.folder: {tmp_path / folder} {words}\n"
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_write_permission_is_rejected(tmp_path, capsys):
    (tmp_path / "run").mkdir(0o500)
    assert main(command(tmp_path / "run")) == 2
    assert capsys.readouterr().err.endswith("cannot be written: Permission denied\n")


def test_an_error_in_an_override_names_file_and_override(tmp_path, capsys):
    (tmp_path / "c.yaml").write_text("size: 20\n")
    assert main(["--config", str(tmp_path / "c.yaml"), "--set", "siez=3"]) == 2
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path / 'c.yaml'} with --set: unknown key 'siez'; did you mean 'size'?\n"
    )


def test_an_error_is_the_only_output(tmp_path):
    """In a separate process, to see all of standard error."""
    arguments = command(tmp_path / "run", content="no\nwhere.jpg")
    done = subprocess.run([sys.executable, str(NSTYLE), *arguments], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: picture no where.jpg: no such file\n"


# Progress.


def test_a_terminal_shows_a_bar_with_loss_and_remaining_time(tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    arguments = command(tmp_path / "run", f"stop.max_iterations={STEPS}")
    process = subprocess.Popen([sys.executable, str(NSTYLE), *arguments], stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += (more := os.read(ours, 4096))
        except OSError:  # raised by Linux when the other side is closed
            break
        if not more:
            break
    os.close(ours)
    assert process.communicate(timeout=60)[0].decode() == f"{tmp_path / 'run' / 'image.png'}\n"
    assert process.returncode == 0
    text = said.decode()
    assert re.search(rf"100%\|█+\| {STEPS}/{STEPS} \[\d\d:\d\d<\d\d:\d\d, .*loss [\d.e+-]+\]", text)
    assert not re.search(r"step \d+ of", text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
@pytest.mark.parametrize(
    ("module", "phase"),
    [(picture_sizes, "read_sizes"), (inputs, "read_pictures"), (inputs, "load_parameters")],
    ids=["read_sizes", "read_pictures", "load_parameters"],
)
def test_a_signal_while_a_run_starts_ends_it(tmp_path, monkeypatch, capsys, module, phase, number):
    unchanged = getattr(module, phase)

    def interrupted(*arguments):
        os.kill(os.getpid(), number)
        return unchanged(*arguments)

    monkeypatch.setattr(module, phase, interrupted)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    assert main(command(tmp_path / "run")) == 75
    *_, line = capsys.readouterr().err.splitlines()
    assert line == "interrupted before the first step, nothing was written: run the same command again"
    assert not (tmp_path / "run").exists()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)] == before


def test_a_signal_while_a_run_resumes_keeps_its_state(finished, tmp_path, monkeypatch):
    folder, load = unfinished(tmp_path / "run", "output.save_every=7"), inputs.load_parameters
    before = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(inputs, "load_parameters", lambda plan: os.kill(os.getpid(), signal.SIGTERM) or load(plan))
        assert main(command(folder, "--resume")) == 75
    assert contents(folder) == before
    assert_same_run(make(folder, "--resume", f"stop.max_iterations={STEPS}", "output.save_every=7"), finished)


def test_a_signal_before_the_first_step_saves_the_start(tmp_path, monkeypatch, capsys):
    plain = make(tmp_path / "plain")
    bind = binding.bind

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return bind(*arguments)

    monkeypatch.setattr(binding, "bind", interrupted)
    assert main(command(tmp_path / "run")) == 75
    assert "interrupted at step 0, state saved" in capsys.readouterr().err
    monkeypatch.setattr(binding, "bind", bind)
    assert main(command(tmp_path / "run", "--resume")) == 0
    assert curves.first_difference(curve_of(plain), curve_of(tmp_path / "run"), relative=0.0) is None
