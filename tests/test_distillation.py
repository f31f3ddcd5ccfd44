"""The training of the bundled network at a small scale: crops, teacher, student, transfers, learning, resumption."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import features_of, network_of, random_picture, relative_error
from PIL import Image

from models import model_vgg19, model_vgg_slim
from styletransfer import weights
from styletransfer.pictures import images, pixels

torch = pytest.importorskip("torch")

from research.distillation import crops, training
from research.distillation.student import Student
from research.distillation.teacher import TARGETS, Teacher, distances
from research.distillation.transfers import Transfers

SIDE = 64


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    return [Image.fromarray(images.to_bytes(random_picture(90, 120, seed + number))) for number in range(count)]


def entered(picture: np.ndarray) -> np.ndarray:
    return pixels.from_picture(picture, model_vgg_slim.SPEC.pixels)


IMAGE = entered(random_picture(SIDE, SIDE, 5))


def seen(spec, layers, parameters) -> dict[str, np.ndarray]:
    """The features of layers of a network of the engine, of `IMAGE`."""
    return features_of(network_of(spec.name, parameters), layers, IMAGE)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> training.Settings:
    folder = tmp_path_factory.mktemp("distillation")
    (folder / "photos").mkdir()
    for number, picture in enumerate(pictures(27)):
        picture.save(folder / "photos" / f"{number:02d}.png")
    weights.save(folder / "vgg19.params", weights.random(model_vgg19.SPEC, 0))
    weights.save(folder / "start.params", weights.random(model_vgg_slim.SPEC, 1))
    return training.Settings(
        photos=folder / "photos",
        paintings=[folder / "photos" / "01.png"],
        leave_out=["02.png"],
        vgg19=folder / "vgg19.params",
        start=folder / "start.params",
        work=folder / "work",
        steps=4,
        learning_rate=1e-3,
        gram_weight=0.5,
        seed=0,
        made=0,
        made_every=2,
        transfers=2,
        threads=1,
    )


@pytest.fixture(scope="module")
def teacher(settings) -> Teacher:
    found = Teacher(settings.vgg19)
    found.learn_bases(torch.from_numpy(entered(random_picture(SIDE, SIDE, seed))) for seed in range(3))
    return found


def test_crops_are_reproducible_and_stay_in_range() -> None:
    def batch(seed: int) -> np.ndarray:
        groups = [crops.Group(1.0, pictures(3)), crops.Group(0.5, pictures(2, 9), varied=False), crops.Group(1.0, [])]
        return crops.Crops(groups, np.random.default_rng(seed)).batch(8, 48)

    assert batch(1).shape == (8, 3, 48, 48)
    assert batch(1).min() >= 0 and batch(1).max() <= 255
    np.testing.assert_array_equal(batch(1), batch(1))
    assert not np.array_equal(batch(1), batch(2))


def test_the_teacher_is_vgg19(settings, teacher) -> None:
    """Up to the rounding of bfloat16."""
    found = teacher.features(torch.from_numpy(IMAGE))
    expected = seen(
        model_vgg19.SPEC, [target.layer for target in TARGETS], weights.load(model_vgg19.SPEC, settings.vgg19)
    )
    for layer, values in expected.items():
        assert relative_error(found[layer].float().numpy(), values) < 0.02, layer


def test_the_targets_are_principal_components_of_unit_energy(teacher) -> None:
    for target in TARGETS:
        products = (teacher.bases[target.projection.name] @ teacher.bases[target.projection.name].T).numpy()
        np.testing.assert_allclose(products, products[0, 0] * np.eye(len(products)), atol=1e-4 * products[0, 0])
    batches = [torch.from_numpy(entered(random_picture(SIDE, SIDE, seed))) for seed in range(3)]
    squares = [
        {name: values.square().sum(1).mean().item() for name, values in teacher(batch).items()} for batch in batches
    ]
    for name in squares[0]:
        assert np.mean([square[name] for square in squares]) == pytest.approx(1.0, rel=0.03), name


def test_the_student_starts_as_the_given_network_and_is_saved_as_it_is(settings) -> None:
    start = weights.load(model_vgg_slim.SPEC, settings.start)
    student = Student(start, 0)
    image = torch.from_numpy(IMAGE)
    relus = ["relu1_1", "relu3_4", "relu5_1"]
    expected = seen(model_vgg_slim.SPEC, relus, start)
    with torch.no_grad():
        found = student.relus(image)
    for layer in relus:
        assert relative_error(100 * found[layer].numpy(), expected[layer]) < 1e-4
    student.normalize([image])
    student.fit_projections([image], Ones())
    saved = student.parameters_of_spec()
    names = [projection.name for projection in model_vgg_slim.PROJECTIONS]
    with torch.no_grad():
        estimates = student(image)
    for name, values in seen(model_vgg_slim.SPEC, names, saved).items():
        np.testing.assert_allclose(values, 1.0, atol=0.02)  # what the projections were fitted to
        np.testing.assert_allclose(estimates[name].float().numpy(), 1.0, atol=0.05)


class Ones:
    """A teacher whose targets are 1 everywhere."""

    def __call__(self, image):
        sides = {block: SIDE // 2 ** (block - 1) for block in range(1, 6)}
        return {
            target.projection.name: torch.ones(
                len(image), target.projection.channels, *[sides[int(target.projection.name[4])]] * 2
            )
            for target in TARGETS
        }


def test_a_start_with_fewer_filters_is_widened() -> None:
    narrow = weights.random(model_vgg_slim.SPEC, 1)
    narrow["conv5_1_weight"], narrow["conv5_1_bias"] = narrow["conv5_1_weight"][:100], narrow["conv5_1_bias"][:100]
    with torch.no_grad():
        found = Student(narrow, 0).relus(torch.from_numpy(IMAGE))["relu5_1"].numpy()
    expected = seen(model_vgg_slim.SPEC, ["relu5_1"], weights.random(model_vgg_slim.SPEC, 1))["relu5_1"]
    assert found.shape == expected.shape
    assert relative_error(100 * found[:, :100], expected[:, :100]) < 1e-4
    assert found[:, 100:].std() > 0


def test_distances_by_hand() -> None:
    generator = np.random.default_rng(0)
    shapes = {target.projection.name: (2, target.projection.channels, 3, 4) for target in TARGETS}
    estimates, targets = (
        {name: torch.from_numpy(generator.standard_normal(shape).astype(np.float32)) for name, shape in shapes.items()}
        for _ in range(2)
    )
    for name, (error, gram) in distances(estimates, targets).items():
        errors, grams = [], []
        for estimate, wanted in zip(estimates[name].double().numpy(), targets[name].double().numpy()):
            e, t = (values.reshape(len(values), -1) for values in (estimate, wanted))
            errors.append(np.sum((e - t) ** 2) / (np.sum(t**2) + 0.05 * e.shape[1]))
            e, t = e @ e.T / e.shape[1], t @ t.T / t.shape[1]
            grams.append(np.sum((e - t) ** 2) / (np.sum(t**2) + 0.005))
        assert error.item() == pytest.approx(np.mean(errors), rel=1e-4)
        assert gram.item() == pytest.approx(np.mean(grams), rel=1e-4)


def test_transfers_in_progress_stay_displayable_and_change(monkeypatch, settings) -> None:
    monkeypatch.setattr("research.distillation.transfers._SIDES", ((1.0, SIDE),))
    student = Student(weights.load(model_vgg_slim.SPEC, settings.start), 0)
    source = crops.Crops([crops.Group(1.0, pictures(3))], np.random.default_rng(0))
    transfers = Transfers(source, source, 1, np.random.default_rng(0))
    first, second = transfers.advance(student).numpy(), transfers.advance(student).numpy()
    low, high = pixels.displayable_range(model_vgg_slim.SPEC.pixels)
    assert (second >= low).all() and (second <= high).all()
    assert np.abs(second - first).mean() > 0.5


def test_training_learns_and_resumes(monkeypatch, settings) -> None:
    """A run that is stopped and resumed goes on; its estimates improve on held-out photographs."""
    monkeypatch.setattr(training, "_SIZES", ((1.0, 1, SIDE),))
    monkeypatch.setattr("research.distillation.transfers._SIDES", ((1.0, SIDE),))
    for name, value in {"_BASIS_BATCHES": 2, "_FIT_BATCHES": 2, "_SAMPLED": 2, "_SAVE_EVERY": 2}.items():
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr(training, "_HELD_OUT_SHAPE", (1, 1, SIDE))
    training.run(dataclasses.replace(settings, steps=2))
    training.run(dataclasses.replace(settings, steps=4))
    with (settings.work / "curve.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    saved = weights.load(model_vgg_slim.SPEC, settings.work / "vgg_slim.params")
    assert set(saved) == set(model_vgg_slim.SPEC.parameters)
    assert Path(settings.work / "checkpoint.pt").exists()
