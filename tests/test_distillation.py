"""The training of the bundled network, small: crops, alignment of teacher and student, learning, resumption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import random_picture, relative_error
from PIL import Image

from models import model_squeezenet, model_vgg_slim
from models.spec import ModelSpec
from styletransfer import images, weights
from styletransfer.distillation import crops, student, training


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    return [Image.fromarray(images.to_bytes(random_picture(90, 120, seed + number))) for number in range(count)]


def centre_and_stride(spec: ModelSpec, layer: str) -> tuple[float, int]:
    """Where in the image the first value of a tap lies, in pixels, and the distance to the next."""
    centre, stride = 0.0, 1
    for tap in spec.taps:
        centre += stride * ((tap.kernel - 1) / 2 - tap.pad)
        stride *= tap.stride
        if tap.name == layer:
            return centre, stride
    raise KeyError(layer)


@pytest.mark.parametrize("scale", student.SCALES, ids=lambda scale: f"stride {scale.stride}")
def test_teacher_and_student_look_at_the_same_place(scale: student.Scale) -> None:
    for teacher_layer in scale.teacher_layers:
        for student_layer in scale.student_layers:
            theirs, stride = centre_and_stride(model_squeezenet.SPEC, teacher_layer)
            ours, same = centre_and_stride(model_vgg_slim.SPEC, student_layer)
            assert stride == same == scale.stride
            assert abs(theirs + scale.skipped * stride - student.LEAD - ours) <= 2.5


def test_crops_repeat_from_their_seed_and_stay_in_range() -> None:
    def batch(seed: int) -> np.ndarray:
        groups = [crops.Group(1.0, pictures(3)), crops.Group(0.5, pictures(2, 9), varied=False), crops.Group(1.0, [])]
        return crops.Crops(groups, 48, np.random.default_rng(seed)).batch(8)

    assert batch(1).shape == (8, 3, 48, 48)
    assert batch(1).min() >= 0 and batch(1).max() <= 255
    np.testing.assert_array_equal(batch(1), batch(1))
    assert not np.array_equal(batch(1), batch(2))


@pytest.fixture
def settings(tmp_path: Path) -> training.Settings:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, picture in enumerate(pictures(27)):
        picture.save(photos / f"{number:02d}.png")
    teacher = tmp_path / "teacher.params"
    weights.save(teacher, weights.random(model_squeezenet.SPEC, 0))
    return training.Settings(
        photos=photos,
        paintings=[photos / "01.png"],
        leave_out=["02.png"],
        teacher=teacher,
        work=tmp_path / "work",
        steps=4,
        batch=2,
        crop=64,
        learning_rate=1e-3,
        seed=0,
        made=0,
        made_every=1000,
        revive_at=[],
    )


def test_predictions_have_the_shape_of_their_targets_and_get_better(settings: training.Settings) -> None:
    teacher, pupil = training.Teacher(settings), training.Student(settings)
    side = settings.crop + student.LEAD + student.TRAIL
    source = crops.Crops([crops.Group(1.0, pictures(2))], side, np.random.default_rng(0))
    batch = source.batch(settings.batch)
    teacher.learn_standard(source, 3, settings.batch)
    inner = batch[:, :, student.LEAD : student.LEAD + settings.crop, student.LEAD : student.LEAD + settings.crop]
    errors = []
    for step in range(12):
        targets = teacher(batch)
        predictions = pupil.predict(inner, targets, train=True)
        repeated = [target for scale, target in zip(student.SCALES, targets) for _ in scale.student_layers]
        assert [prediction.shape for prediction in predictions] == [target.shape for target in repeated]
        found = student.errors([p.asnumpy() for p in predictions], [t.asnumpy() for t in targets])
        errors.append(np.mean(list(found.values())))
        pupil.update(step + 1, 3e-3)
    assert errors[-1] < 0.8 * errors[0]


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(
    settings: training.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SAVE_EVERY", 2)
    training.run(settings)
    whole = weights.load(model_vgg_slim.SPEC, settings.work / "vgg_slim.params")
    assert len((settings.work / "curve.csv").read_text().splitlines()) == 3

    class Killed(Exception):
        pass

    def kill_at_three(pupil: training.Student, step: int, rate: float) -> None:
        if step == 4 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            raise Killed
        update(pupil, step, rate)

    update = training.Student.update
    monkeypatch.setattr(training.Student, "update", kill_at_three)
    again = training.Settings(**{**vars(settings), "work": tmp_path / "again"})
    with pytest.raises(Killed):
        training.run(again)
    training.run(again)
    resumed = weights.load(model_vgg_slim.SPEC, again.work / "vgg_slim.params")
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values)


def test_what_the_student_is_saved_as_does_what_it_learned(settings: training.Settings) -> None:
    pupil = training.Student(settings)
    parameters = pupil.parameters()
    assert list(parameters) == list(model_vgg_slim.SPEC.parameters)
    learned = pupil.arrays["conv1_1_weight"].asnumpy()
    assert relative_error(parameters["conv1_1_weight"] * training.INPUT_SCALE, learned) < 1e-6
