"""The training of a style: crops, gradients, learning, exact resumption, and mistakes."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from feedforward_helpers import random_style
from helpers import ENGINE, network_of, random_picture, relative_error, to_array, to_numpy

import models
from models import feedforward
from scripts.train_style import main
from styletransfer import config as configs
from styletransfer import weights
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.config.training import Stability
from styletransfer.feedforward import style_file
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.losses.objective import LossWeights
from styletransfer.losses.total_variation import Laplacian
from styletransfer.pictures import images, pixels
from styletransfer.session import curves
from styletransfer.session.recorders import CurveRecorder
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.training import photographs
from styletransfer.training.network import TrainableTransformer
from styletransfer.training.objective import BatchObjective
from styletransfer.training.photographs import Crops
from styletransfer.training.stability import StabilityLoss

CROP = 32
CONFIGS = sorted((PROJECT_FOLDER / "configs" / "train").glob("*.yaml"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs, a painting and a config, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(3):
        images.write(f"photos/{number}.jpg", random_picture(50 + 10 * number, 70, seed=number))
    images.write("painting.png", random_picture(60, 80, seed=9))
    write_config()
    return tmp_path


def write_config(**changes: Any) -> None:
    values = {
        "name": "tiny",
        "style": {"images": "painting.png", "size": 64},
        "photographs": {"sources": "photos", "crop": CROP, "batch": 2},
        "precision": "float32",
        "steps": 6,
        "output": {"folder": "out", "preview": "photos/0.jpg", "preview_size": 40, "save_every": 2},
    }
    Path("tiny.yaml").write_text(yaml.safe_dump({**values, **changes}))


def train(*arguments: str) -> int:
    return main(["--config", "tiny.yaml", *arguments])


def crops(count: int = 2, seed: int = 0) -> Crops:
    return Crops(photographs.files_of(["photos"]), CROP, count, seed, "rgb255")


def network() -> TrainableTransformer:
    return TrainableTransformer(ENGINE, models.load_transformer("small").SPEC, CROP, CROP, "float32")


def objective(source_of_crops: Crops, stability: Stability | None = None) -> BatchObjective:
    spec = models.load("vgg_slim").SPEC
    style = to_array(pixels.from_picture(images.read("painting.png"), "rgb255"))
    return BatchObjective(
        network(),
        network_of("vgg_slim", weights.load(spec), "avg"),
        [(1.0, style)],
        NORMALIZATIONS["balanced"],
        LossWeights(1.0, spec.content_layers, 5.0, spec.style_layers, 0.05),
        Laplacian(ENGINE),
        source_of_crops,
        stability=None if stability is None else StabilityLoss(ENGINE, network(), stability, seed=5),
    )


def initial_vector(seed: int = 0) -> Any:
    spec = models.load_transformer("small").SPEC
    initial = feedforward.initial_parameters(spec, np.random.default_rng(seed))
    return ENGINE.flat(to_array(initial[name]) for name in spec.parameters)


def test_batches_are_those_of_their_number(place: Path) -> None:
    one, other = crops(), crops()
    batches = [one.batch(number) for number in range(4)]
    assert all(batch.shape == (2, 3, CROP, CROP) for batch in batches)
    for number in (3, 0, 2):  # in any order
        np.testing.assert_array_equal(other.batch(number), batches[number])
    assert not np.array_equal(batches[0], batches[1])
    assert not np.array_equal(one.sample(0), batches[0])
    assert not np.array_equal(crops(seed=1).batch(0), batches[0])


def test_crops_are_parts_of_photographs(place: Path) -> None:
    """The photograph is a gradient from left to right; some crops are mirrored."""
    ramp = np.broadcast_to(np.linspace(0.1, 0.9, 90)[None, :, None], (60, 90, 3))
    images.write("ramp.png", ramp)
    found = Crops([Path("ramp.png")], CROP, 40, 0, "rgb255").batch(0)
    values = np.stack([pixels.to_picture(crop[None], "rgb255") for crop in found])
    slopes = np.diff(values[..., 0].mean(axis=1), axis=1).mean(axis=1) * 89 / 0.8
    assert {-1, 1} == set(np.sign(slopes))
    # For windows from the crop's side to the short one, a pixel of a crop is between 1 and 60 / 32 of the photograph's.
    assert np.abs(slopes).min() > 0.9 and np.abs(slopes).max() < 60 / 32 + 0.1
    assert values.min() >= 0.09 and values.max() <= 0.91


def test_small_photographs_are_enlarged(place: Path) -> None:
    images.write("small.png", random_picture(10, 20, seed=0))
    assert Crops([Path("small.png")], CROP, 2, 0, "rgb255").batch(0).shape == (2, 3, CROP, CROP)


@pytest.mark.parametrize("stability", [None, Stability(weight=3000, shift=6, noise=10)])
def test_the_gradient_is_that_of_the_losses(place: Path, stability: Stability | None) -> None:
    """By central differences along random directions, with the same batch."""
    asked, vector, generator = objective(crops(), stability), initial_vector(), np.random.default_rng(0)

    def evaluated(values: Any) -> Any:
        asked.next_batch = 3
        return asked(values)

    evaluation = evaluated(vector)
    assert evaluation.tv_gradient is None
    if stability is not None:  # it counts
        assert evaluation.losses.layers["stability", "output"] > 0.2 * evaluation.losses.total
    gradient = to_numpy(evaluation.gradient).astype(np.float64)
    for _ in range(3):
        direction = generator.standard_normal(gradient.shape) + 2 * gradient / np.abs(gradient).mean()
        direction /= np.linalg.norm(direction)
        step = 2e-3
        ahead, behind = (evaluated(vector + sign * step * to_array(direction)).losses.total for sign in (1, -1))
        assert (ahead - behind) / (2 * step) == pytest.approx(gradient @ direction, rel=0.03)


@pytest.mark.parametrize("stability", [None, Stability(weight=100, shift=0, noise=0)])
def test_the_losses_of_a_batch_are_the_mean_of_its_crops(place: Path, stability: Stability | None) -> None:
    source_of_crops = crops()
    asked, vector = objective(source_of_crops, stability), initial_vector()
    together = asked(vector)
    gradient = to_numpy(together.gradient)
    both = source_of_crops.batch(0)
    alone = []
    for crop in both[:, None]:
        source_of_crops.batch = lambda number, crop=crop: crop  # type: ignore[method-assign]
        evaluation = asked(vector)
        alone.append((evaluation.losses, to_numpy(evaluation.gradient)))
    assert together.losses.total == pytest.approx(np.mean([losses.total for losses, _ in alone]), rel=1e-5)
    assert relative_error(gradient, np.mean([each for _, each in alone], axis=0)) < 1e-5


def test_content_is_measured_in_units_of_the_photographs(place: Path) -> None:
    """An image without any features, on average, has a relative content loss of about 1."""
    source_of_crops = crops()
    asked = objective(source_of_crops)
    losses = [asked(initial_vector()).losses.content for _ in range(3)]
    assert 0.1 < np.mean(losses) < 3


def test_training_reduces_the_loss(place: Path) -> None:
    write_config(steps=40, optimizer={"learning_rate": 1e-3}, output={"folder": "out", "preview": "photos/0.jpg"})
    assert train() == 0
    totals = curves.read("out/curve.csv").column("total")
    assert len(totals) == 41
    assert np.mean(totals[-5:]) < 0.5 * totals[0]


def test_the_results_of_a_training(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert train() == 0
    assert capsys.readouterr().out == "out/style.npz\n"
    assert sorted(path.name for path in Path("out/steps").iterdir()) == [f"00000{step}.jpg" for step in (2, 4, 6)]
    style = style_file.read(Path("out/style.npz"))
    assert style.record["name"] == "tiny" and style.record["steps"] == 6
    assert list(style.record["paintings"]) == ["painting.png"] and len(style.record["paintings"]["painting.png"]) == 64
    assert style.record["photographs"]["number"] == 3
    preview = images.resize(images.read("photos/0.jpg"), *images.fit(50, 70, 40))
    expected = Stylizer(style, ENGINE, "float32")(preview)
    np.testing.assert_array_equal(images.to_bytes(images.read("out/image.png")), images.to_bytes(expected))
    again = configs.parse_training(configs.read_file("out/config.yaml"), "again")
    assert again.steps == 6 and again.style.layers


def same_results(one: Path, other: Path) -> None:
    for name in ("style.npz", "image.png", "steps/000006.jpg"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    curve, again = (curves.read(folder / "curve.csv") for folder in (one, other))
    assert curves.first_difference(curve, again, relative=0.0) is None
    with np.load(one / "checkpoint.npz") as first, np.load(other / "checkpoint.npz") as second:
        assert first.files == second.files
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("stability", [0, 50])
def test_a_training_resumes_byte_for_byte(place: Path, stability: int) -> None:
    """Six steps are three and three more."""
    write_config(stability={"weight": stability})
    assert train() == 0
    assert train("--output", "parts", "--set", "steps=3") == 0
    (place / "parts" / "image.png").unlink()  # as if it had not ended
    assert train("--output", "parts", "--resume") == 0
    same_results(place / "out", place / "parts")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_an_interrupted_training_resumes_byte_for_byte(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    assert train() == 0
    record = CurveRecorder.record

    def interrupt(recorder: CurveRecorder, what: Any) -> None:
        record(recorder, what)
        if what.step == 2:
            signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(CurveRecorder, "record", interrupt)
        assert train("--output", "parts") == 75
    assert capsys.readouterr().err.endswith("interrupted at step 2, state saved: run again with --resume\n")
    assert style_file.read(Path("parts/style.npz")).record["steps"] == 2
    assert train("--output", "parts", "--resume") == 0
    same_results(place / "out", place / "parts")


def test_a_training_that_diverges_ends_with_the_best(place: Path, capsys: pytest.CaptureFixture) -> None:
    write_config(optimizer={"learning_rate": 1e25}, steps=30)
    assert train() == 3
    assert Path("out/run.status").read_text() == "diverged\n" and "error: step" in capsys.readouterr().err
    style_file.read(Path("out/style.npz"))
    images.read("out/image.png")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("stepz=3", "unknown key 'stepz'; did you mean 'steps'?"),
        ("network=smal", "did you mean 'small'?"),
        ("style.images=null", "style.images is missing"),
        ("style.weight=0", "style.weight is 0"),
        ("style.images=absent.png", "picture absent.png: no such file"),
        ("style.layers={relu9_9: 1}", "vgg_slim has no layer 'relu9_9'"),
        ("photographs.sources=nowhere", "photographs.sources: nowhere: no such file or folder"),
        ("photographs.sources=out0", "photographs.sources: out0: no picture in this folder"),
        ("photographs.crop=8", "photographs.crop"),
        ("model=vgg19", "weights of vgg19 not found"),
        ("stability={weight: 1, shift: 32}", "stability.shift: 32 moves crops of 32 pixels out of sight"),
        ("start=absent.npz", "style absent.npz: no such file"),
        ("start=painting.png", "style painting.png: damaged, or not a style file"),
        ("name=a/b", "Input should be letters, digits, - and _"),
        ("output.preview=absent.jpg", "picture absent.jpg: no such file"),
        ("style.size=12", "style.images: picture painting.png gives 12 x 9 pixels, too small for the layer "),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    place: Path, capsys: pytest.CaptureFixture, assignment: str, words: str
) -> None:
    Path("out0").mkdir()
    assert train("--set", assignment) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
    assert not Path("out").exists()


def test_a_training_starts_from_a_style(place: Path, capsys: pytest.CaptureFixture) -> None:
    """Steps of length 0 leave the parameters as they were."""
    style_file.write(Path("first.npz"), random_style())
    write_config(start="first.npz", steps=2, optimizer={"learning_rate": 1e-30})
    assert train() == 0
    found, expected = style_file.read(Path("out/style.npz")), random_style()
    for name in expected.parameters:
        np.testing.assert_array_equal(found.parameters[name], expected.parameters[name])
    assert found.record["start"] == hashlib.sha256(Path("first.npz").read_bytes()).hexdigest()
    style_file.write(Path("first.npz"), random_style("residual"))
    assert train("--output", "other") == 2
    assert "start: first.npz is a style of the network residual" in capsys.readouterr().err
    assert train("--resume", "--force") == 2  # it is another file now, and of another network
    assert not Path("other").exists()


def test_what_must_not_change_is_checked(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert train("--set", "steps=2") == 0
    assert train() == 2 and "contains a finished picture" in capsys.readouterr().err
    for assignment, words in (("style.weight=3", "style.weight differs"), ("photographs.batch=1", "photographs.batch")):
        assert train("--resume", "--force", "--set", assignment) == 2
        assert words in capsys.readouterr().err
    images.write("photos/9.jpg", random_picture(50, 60, seed=7))
    assert train("--resume", "--force") == 2
    assert "photographs.sources: the file has changed since" in capsys.readouterr().err


def test_photographs_none_of_which_can_be_read(
    place: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    for path in Path("photos").iterdir():
        path.write_bytes(b"no picture")
    images.write("preview.png", random_picture(30, 40, seed=0))
    assert train("--set", "output.preview=preview.png") == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert [message.endswith("; this photograph is left out") for message in caplog.messages] == [True, True]
    assert error.startswith("error: photographs.sources: none of the photographs can be read; picture photos/")
    assert not Path("out").exists()


def test_a_photograph_that_cannot_be_read_is_left_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """There is one warning, and batches are still those of their number."""
    broken = Path("photos/1.jpg")
    broken.write_bytes(broken.read_bytes()[:900])
    assert train() == 0
    told = [message for message in caplog.messages if "photos/1.jpg" in message]
    assert len(told) == 1 and told[0].endswith("; this photograph is left out")
    knows, begins = crops(), crops()
    for number in range(8):
        knows.batch(number)
    np.testing.assert_array_equal(begins.batch(8), knows.batch(8))


@pytest.mark.parametrize("where", ["a recorder", "a step"])
def test_an_error_in_the_middle_of_a_training_saves_its_state(
    place: Path,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    write_config(steps=13)
    assert train() == 0
    with monkeypatch.context() as patched:
        if where == "a step":
            batch = Crops.batch

            def fails(found: Crops, number: int) -> Any:
                if number == 12:
                    raise UserError("the disk is gone")
                return batch(found, number)

            patched.setattr(Crops, "batch", fails)
        else:
            record = CurveRecorder.record

            def full(recorder: CurveRecorder, what: Any) -> None:
                record(recorder, what)
                if what.step == 11:
                    raise OSError(28, "the disk is gone")

            patched.setattr(CurveRecorder, "record", full)
        assert train("--output", "parts") == 2
    assert capsys.readouterr().err.endswith("error: the disk is gone\n")
    assert caplog.messages[-1] == "state of step 10 saved: run again with --resume"
    assert style_file.read(Path("parts/style.npz")).record["steps"] == 10
    assert train("--output", "parts", "--resume") == 0
    same_results(place / "out", place / "parts")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_trains(place: Path, path: Path) -> None:
    """Named like its file and its painting; shrunk to one step of a small crop."""
    first, _, command = path.read_text().splitlines()[:3]
    assert first.startswith("# ") and command == f"#   python scripts/train_style.py --config configs/train/{path.name}"
    small = ["steps=1", f"photographs.crop={CROP}", "style.size=64", "output.preview_size=40"]
    arguments = [part for assignment in small for part in ("--set", assignment)]
    assert main(["--config", str(path), "--output", "out", *arguments]) == 0
    record = style_file.read(Path("out/style.npz")).record
    assert record["name"] == path.stem and list(record["paintings"]) == [f"{path.stem}.jpg"]
    assert record["licence"] == "Apache-2.0"
