"""The training of the bundled network at a small scale: crops, targets, losses, learning, resumption."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import finite_differences, random_picture, relative_error, to_mx
from PIL import Image
from reference import torch_collaborative

from models import model_vgg19, model_vgg_slim
from styletransfer import weights
from styletransfer.network.executor import Network, tapped
from styletransfer.pictures import images, pixels
from styletransfer.studies import vgg19_parts
from styletransfer.studies.distillation import crops, student, teacher, training


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    return [Image.fromarray(images.to_bytes(random_picture(90, 120, seed + number))) for number in range(count)]


def test_crops_are_reproducible_and_stay_in_range() -> None:
    def batch(seed: int) -> np.ndarray:
        groups = [crops.Group(1.0, pictures(3)), crops.Group(0.5, pictures(2, 9), varied=False), crops.Group(1.0, [])]
        return crops.Crops(groups, 48, np.random.default_rng(seed)).batch(8)

    assert batch(1).shape == (8, 3, 48, 48)
    assert batch(1).min() >= 0 and batch(1).max() <= 255
    np.testing.assert_array_equal(batch(1), batch(1))
    assert not np.array_equal(batch(1), batch(2))


def write(path: Path, parameters: dict[str, np.ndarray]) -> Path:
    """Parameters in the published layout: ``conv1_1.weight``, ``conv41_aux.bias``."""
    names = {name: f"{name.rpartition('_')[0]}.{name.rpartition('_')[2]}" for name in parameters}
    np.savez(path, **{names[name]: values for name, values in parameters.items()})
    return path


@pytest.fixture
def settings(tmp_path: Path) -> training.Settings:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, picture in enumerate(pictures(27)):
        picture.save(photos / f"{number:02d}.png")
    return training.Settings(
        photos=photos,
        paintings=[photos / "01.png"],
        leave_out=["02.png"],
        vgg19=write(tmp_path / "exact.npz", weights.random(vgg19_parts.exact_spec(), 0)),
        vgg19_16x=torch_collaborative.write(tmp_path / "compressed.pth", torch_collaborative.made_up()),
        work=tmp_path / "work",
        steps=4,
        batch=2,
        crop=64,
        learning_rate=1e-3,
        gram_weight=0.5,
        seed=0,
        made=0,
        made_every=1000,
        revive_at=[],
    )


def test_every_layer_of_the_teacher_has_the_size_of_its_projection() -> None:
    shapes = dict(zip(teacher.LAYERS, teacher.symbol().infer_shape(data=(2, 3, 64, 96))[1]))
    for target in student.TARGETS:
        _, height, width = model_vgg_slim.SPEC.output_shape(target.projection.of, 64, 96)
        assert shapes[target.layer][2:] == (height, width)
        assert target.projection.channels <= shapes[target.layer][1]
    assert [target.projection for target in student.TARGETS if target.weight == 1] == list(model_vgg_slim.PROJECTIONS)


def test_the_exact_layers_of_the_teacher_match_vgg19(settings: training.Settings) -> None:
    see = teacher.Teacher(settings.vgg19, settings.vgg19_16x, (1, 3, 48, 48))
    batch = np.random.default_rng(0).normal(0, 50, (1, 3, 48, 48)).astype(np.float32)
    parameters = vgg19_parts.load_exact(settings.vgg19)
    style, _ = model_vgg19.get_symbol(teacher.EXACT_LAYERS, [], "max")
    arguments = {name: to_mx(parameters[name]) for name in style.list_arguments() if name != "data"}
    expected = style.bind(training.load_mxnet().cpu(), {**arguments, "data": to_mx(batch)}).forward()
    for layer, values in zip(teacher.EXACT_LAYERS, expected):
        assert relative_error(see(batch)[layer].asnumpy(), values.asnumpy()) < 1e-5, layer


def test_principal_components_keep_distances_and_have_mean_squares_that_sum_to_1() -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(12, 4)) @ generator.normal(size=(4, 12))  # of rank 4
    features = np.einsum("ij,bjhw->bihw", mixing, generator.random((2, 12, 10, 10)))
    rows = features.transpose(1, 0, 2, 3).reshape(12, -1)
    basis = student.Basis.of(rows @ rows.T / rows.shape[1], 4)
    found = basis.components(to_mx(features)).asnumpy()
    assert found.shape == (2, 4, 10, 10)
    assert np.square(found).mean(axis=(0, 2, 3)).sum() == pytest.approx(1, rel=1e-4)
    scale = np.linalg.norm(basis.rows[0])
    first, second = found[0].reshape(4, -1) / scale, features[0].reshape(12, -1)
    # Gram matrices of the components differ as much as those of the features.
    gram = np.linalg.norm(first @ first.T), np.linalg.norm(second @ second.T)
    assert gram[0] == pytest.approx(gram[1], rel=1e-4)


def test_head_gradients_match_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    shapes = {target.projection.name: (2, 3, 4, 5) for target in student.TARGETS}
    wanted = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    start = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    targets = {name: to_mx(values) for name, values in wanted.items()}
    _, heads = student.losses_and_heads({name: to_mx(values) for name, values in start.items()}, targets, 0.7)

    def exact(estimate: np.ndarray, target: np.ndarray) -> tuple[float, float]:
        features = np.square(estimate - target).sum(axis=1).mean()
        distances = []
        for one, other in zip(estimate.reshape(2, 3, -1), target.reshape(2, 3, -1)):
            grams = one @ one.T, other @ other.T
            distances.append(np.square(grams[0] - grams[1]).sum() / np.square(grams[1]).sum())
        return float(features), float(np.mean(distances))

    found, _ = student.losses_and_heads({name: to_mx(values) for name, values in start.items()}, targets, 0.7)
    for target, head in zip(student.TARGETS, heads):
        name = target.projection.name
        assert found[name] == pytest.approx(exact(start[name], wanted[name]), rel=1e-4)

        def total(values: np.ndarray, name: str = name, weight: float = target.weight) -> float:
            features, gram = exact(values, wanted[name])
            return weight * (features + 0.7 * gram)

        expected = finite_differences(total, start[name], 1e-5)
        assert relative_error(head.asnumpy(), expected) < 1e-4, name


def test_a_student_learns(settings: training.Settings) -> None:
    teachers, learner = training.Teachers(settings), training.Student(settings)
    source = crops.Crops([crops.Group(1.0, pictures(2))], settings.crop, np.random.default_rng(0))
    teachers.learn_bases(source, 3, settings.batch)
    batch = source.batch(settings.batch)
    totals = []
    for step in range(12):
        losses = learner.losses(batch, teachers(batch), train=True)
        assert list(losses) == [target.projection.name for target in student.TARGETS]
        totals.append(sum(features for features, _ in losses.values()))
        learner.update(step + 1, 3e-3)
    assert totals[-1] < 0.8 * totals[0]


def test_dead_filters_are_reinitialized(settings: training.Settings) -> None:
    learner = training.Student(settings)
    for name, value in (("conv2_1_weight", 0.0), ("conv2_1_bias", -1.0)):
        learner.arrays[name][3:5] = value
    batch = np.stack([np.asarray(picture, np.float32)[:64, :64].transpose(2, 0, 1) for picture in pictures(4)])
    assert learner.revive(batch, np.random.default_rng(0)) >= 2
    assert (learner.arrays["conv2_1_weight"].asnumpy()[3:5] != 0).all()
    assert (learner.arrays["conv2_1_bias"].asnumpy()[3:5] == 0).all()


def test_a_resumed_training_gives_the_same_result(
    settings: training.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY", 2)
    monkeypatch.setattr(training, "_BASIS_BATCHES", 2)
    training.run(settings)
    whole = weights.load(model_vgg_slim.SPEC, settings.work / "vgg_slim.params")
    assert len((settings.work / "curve.csv").read_text().splitlines()) == 3

    class Killed(Exception):
        pass

    def kill_at_three(learner: training.Student, step: int, rate: float) -> None:
        if step == 4 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            raise Killed
        update(learner, step, rate)

    update = training.Student.update
    monkeypatch.setattr(training.Student, "update", kill_at_three)
    again = dataclasses.replace(settings, work=tmp_path / "again")
    with pytest.raises(Killed):
        training.run(again)
    training.run(again)
    resumed = weights.load(model_vgg_slim.SPEC, again.work / "vgg_slim.params")
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values)


def test_the_saved_weights_compute_what_was_learned(settings: training.Settings) -> None:
    learner = training.Student(settings)
    generator = np.random.default_rng(0)
    for name, array in learner.arrays.items():
        if name.endswith("_bias"):
            array[:] = generator.normal(0, 0.1, array.shape)
    parameters = learner.parameters()
    assert list(parameters) == list(model_vgg_slim.SPEC.parameters)
    batch = np.stack([np.asarray(picture, np.float32)[:64, :64].transpose(2, 0, 1) for picture in pictures(2)])
    learner.losses(batch, {name: to_mx(np.zeros(shape)) for name, shape in shapes_of(learner).items()}, train=False)
    learned = dict(zip((target.projection.name for target in student.TARGETS), learner.executor.outputs))
    names, symbol = tapped("vgg_slim", list(model_vgg_slim.SPEC.style_layers), [], "max")
    network = Network(names, symbol, parameters, (3, 64, 64), training.load_mxnet().cpu(), trainable=False)
    for number, crop in enumerate(batch):
        network.image[:] = pixels.from_picture(crop.transpose(1, 2, 0) / 255, "rgb255")
        network.forward()
        for name, features in network.features.items():
            assert relative_error(features.asnumpy()[0], learned[name].asnumpy()[number]) < 1e-5, name


def shapes_of(learner: training.Student) -> dict[str, tuple[int, ...]]:
    """The shapes of the student's estimates, by the names of their projections."""
    return {target.projection.name: output.shape for target, output in zip(student.TARGETS, learner.executor.outputs)}
