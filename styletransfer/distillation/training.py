"""The training of the bundled network: Adam on the prediction errors, with checkpoints and a curve."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import model_squeezenet, model_vgg_slim
from models.runtime import load_mxnet
from styletransfer import pixels, weights
from styletransfer.distillation import crops, made, student
from styletransfer.files import written_whole
from styletransfer.network import Network, tapped

LOGGER = logging.getLogger(__name__)
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_REPORT_EVERY, _SAVE_EVERY = 100, 500
INPUT_SCALE = np.float32(64.0)  # the student learns on values / 64, so that its first layer starts at the right scale
_HELD_OUT_EVERY = 25  # photographs
_DEAD_BELOW = 1e-3  # share of positions at which a filter must fire to count as alive
_SAMPLED = 80  # crops on which that is found out
_MADE_KEPT = 240  # made pictures that are learned from, the newest


@dataclass(frozen=True)
class Settings:
    """What `scripts/distill.py` takes; see there."""

    photos: Path
    paintings: list[Path]
    leave_out: list[str]
    teacher: Path | None
    work: Path
    steps: int
    batch: int
    crop: int
    learning_rate: float
    seed: int
    made: int
    made_every: int
    revive_at: list[int]


class Teacher:
    """SqueezeNet's layers of crops, standardised; see :func:`student.teacher_symbol`."""

    def __init__(self, settings: Settings) -> None:
        mx = load_mxnet()
        spec = model_squeezenet.SPEC
        path = settings.teacher
        parameters = (
            weights.load_deep_compression(spec, path) if path and path.suffix == ".net" else weights.load(spec, path)
        )
        side = settings.crop + student.LEAD + student.TRAIL
        self.executor = student.teacher_symbol(settings.crop).simple_bind(
            mx.cpu(), data=(settings.batch, 3, side, side), grad_req="null"
        )
        for name, array in self.executor.arg_dict.items():
            if name in parameters:
                array[:] = parameters[name]
        self.set_standard(
            {name: np.full(array.shape, name.endswith("var"), np.float32) for name, array in self._standard()}
        )

    def _standard(self) -> list[tuple[str, Any]]:
        return list(self.executor.aux_dict.items())

    def standard(self) -> dict[str, NDArray]:
        return {name: array.asnumpy() for name, array in self._standard()}

    def set_standard(self, standard: Mapping[str, NDArray]) -> None:
        for name, array in self._standard():
            array[:] = standard[name]

    def __call__(self, batch: NDArray) -> list[Any]:
        """The targets of every scale as NDArrays, valid until the next call."""
        self.executor.arg_dict["data"][:] = _enter(batch, "caffe")
        return self.executor.forward(is_train=False)

    def learn_standard(self, source: crops.Crops, batches: int, size: int) -> None:
        """Find mean and scale of every channel.

        The scale of a channel is the geometric mean of its own deviation and its layer's: Gram matrices are led by the
        channels that vary most, so these should be predicted best, yet none be forgotten.
        """
        outputs = [[value.asnumpy().astype(np.float64) for value in self(source.batch(size))] for _ in range(batches)]
        standard = {}
        for scale, values in zip(student.SCALES, zip(*outputs)):
            mean = np.mean([value.mean(axis=(0, 2, 3)) for value in values], axis=0)
            square = np.mean([np.square(value).mean(axis=(0, 2, 3)) for value in values], axis=0)
            layers = np.split(np.maximum(square - mean**2, 0), np.cumsum(scale.channels())[:-1])
            squared_scale = [np.sqrt(layer * layer.mean()) + 1e-2 * layer.mean() for layer in layers]
            standard[f"standard{scale.stride}_moving_mean"] = mean
            standard[f"standard{scale.stride}_moving_var"] = np.concatenate(squared_scale)
        self.set_standard(standard)


def _enter(batch: NDArray, space: str) -> NDArray[np.float32]:
    """Crops (n, 3, h, w), RGB 0..255, in a pixel space."""
    return np.concatenate([pixels.from_picture(crop.transpose(1, 2, 0) / 255.0, space) for crop in batch])


class Student:
    """The student with its adapters and Adam's state."""

    def __init__(self, settings: Settings) -> None:
        mx = load_mxnet()
        symbol = student.student_symbol(model_vgg_slim.BLOCKS)
        trained = [name for name in symbol.list_arguments() if name != "data" and not name.startswith("target")]
        self.executor = symbol.simple_bind(
            mx.cpu(),
            grad_req={name: "write" if name in trained else "null" for name in symbol.list_arguments()},
            data=(settings.batch, 3, settings.crop, settings.crop),
        )
        self.arrays = {name: self.executor.arg_dict[name] for name in trained}
        generator = np.random.default_rng(settings.seed)
        for name, array in self.arrays.items():
            fan_in = np.prod(array.shape[1:])
            gain = 1.0 if name.startswith("adapter") else 2.0
            array[:] = generator.standard_normal(array.shape) * np.sqrt(gain / fan_in) if array.ndim > 1 else 0.0
        self.moments = {
            name: (mx.nd.zeros(array.shape), mx.nd.zeros(array.shape)) for name, array in self.arrays.items()
        }

    def predict(self, batch: NDArray, targets: Sequence[Any], train: bool) -> list[Any]:
        """Predict the targets for crops (n, 3, crop, crop), RGB 0..255; with `train` also find the gradient."""
        self.executor.arg_dict["data"][:] = _enter(batch, "rgb255") / INPUT_SCALE
        for scale, target in zip(student.SCALES, targets):
            target.copyto(self.executor.arg_dict[f"target{scale.stride}"])
        outputs = self.executor.forward(is_train=train)
        if train:
            self.executor.backward()
        return outputs

    def update(self, step: int, rate: float) -> None:
        """One step of Adam (Kingma and Ba 2014) with the bias correction in the rate; `step` counts from 1."""
        mx = load_mxnet()
        rate *= math.sqrt(1 - _BETA2**step) / (1 - _BETA1**step)
        for name, array in self.arrays.items():
            mean, variance = self.moments[name]
            gradient = self.executor.grad_dict[name]
            mx.nd.adam_update(
                array, gradient, mean, variance, out=array, lr=rate, beta1=_BETA1, beta2=_BETA2, epsilon=_EPSILON
            )

    def revive(self, crops: NDArray, generator: np.random.Generator) -> int:
        """Start filters anew that hardly ever fire; returns how many.

        Such a filter gets no gradient and would stay as it is. It takes random weights of the size of the living ones
        of its layer, and its readers listen to it a little.

        Parameters
        ----------
        crops : (n, 3, h, w), RGB 0..255
            What a filter must fire on somewhere.
        """
        spec = model_vgg_slim.SPEC
        relus = [layer for layer in spec.layer_names if layer.startswith("relu")]
        names, symbol = tapped(spec.name, relus, [], spec.pooling)
        height, width = crops.shape[2:]
        network = Network(names, symbol, self.parameters(), (3, height, width), load_mxnet().cpu(), trainable=False)
        activity = {layer: np.zeros(value.shape[1]) for layer, value in network.features.items()}
        for crop in crops:
            network.image[:] = _enter(crop[None], spec.pixels)
            network.forward()
            for layer, value in network.features.items():
                activity[layer] += (value.asnumpy() > 0).mean(axis=(0, 2, 3)) / len(crops)
        revived = 0
        for layer, active in activity.items():
            dead = active < _DEAD_BELOW
            if not dead.any():
                continue
            revived += int(dead.sum())
            convolution = layer.replace("relu", "conv")
            fresh = {name: self.arrays[name].asnumpy() for name in (f"{convolution}_weight", f"{convolution}_bias")}
            weight, bias = fresh.values()
            noise = generator.standard_normal(weight[dead].shape)
            weight[dead] = noise * np.sqrt(np.square(weight[~dead]).mean())
            bias[dead] = 0.0
            for name, values in fresh.items():
                self.arrays[name][:] = values
                for moment in self.moments[name]:  # those of the living, so that the first step is none too long
                    values = moment.asnumpy()
                    values[dead] = 0.0 if moment is self.moments[name][0] else values[~dead].mean()
                    moment[:] = values
            adapter = f"adapter_{layer}_weight"
            if adapter in self.arrays:
                values = self.arrays[adapter].asnumpy()
                values[:, dead] *= 0.1
                self.arrays[adapter][:] = values
        return revived

    def parameters(self) -> weights.Parameters:
        """The student's weights for rgb255 images, without the adapters."""
        found = {name: self.arrays[name].asnumpy() for name in model_vgg_slim.SPEC.parameters}
        found["conv1_1_weight"] = found["conv1_1_weight"] / INPUT_SCALE
        return found

    def state(self) -> dict[str, NDArray]:
        arrays = {}
        for name, array in self.arrays.items():
            arrays["value." + name] = array.asnumpy()
            arrays["mean." + name], arrays["variance." + name] = (moment.asnumpy() for moment in self.moments[name])
        return arrays

    def restore(self, arrays: Mapping[str, NDArray]) -> None:
        for name, array in self.arrays.items():
            array[:] = arrays["value." + name]
            for moment, kind in zip(self.moments[name], ("mean.", "variance.")):
                moment[:] = arrays[kind + name]


class Pictures:
    """What is learned from, and what is held out to examine on."""

    def __init__(self, settings: Settings, generator: np.random.Generator) -> None:
        self._folder = settings.work / "made"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._generator = generator
        photos = crops.load(crops.picture_files([settings.photos], settings.leave_out))
        self._photos = [photo for number, photo in enumerate(photos) if number % _HELD_OUT_EVERY]
        self._paintings = crops.load(crops.picture_files(settings.paintings, settings.leave_out))
        self._made = crops.Group(0.4, crops.load(crops.picture_files([self._folder]))[-_MADE_KEPT:], varied=False)
        side = settings.crop + student.LEAD + student.TRAIL
        groups = [crops.Group(0.4, self._photos), crops.Group(0.2, self._paintings), self._made]
        self.source = crops.Crops(groups, side, generator)
        held_out = crops.Group(1.0, photos[::_HELD_OUT_EVERY], varied=False)
        examiner = crops.Crops([held_out], side, np.random.default_rng(1))
        self.examination = [examiner.batch(settings.batch) for _ in range(10)]
        LOGGER.info(
            "%d photographs, %d held out, %d paintings, %d made",
            len(self._photos), len(held_out.pictures), len(self._paintings), len(self._made.pictures),
        )  # fmt: skip

    def make(self, parameters: weights.Parameters, step: int, count: int) -> None:
        """Make pictures with the student to learn from, unless those of this step are there."""
        if (self._folder / f"{step:06d}_000.png").exists():
            return
        styles = [*self._paintings, *self._photos[::4]]
        for number, picture in enumerate(made.make(parameters, self._photos, styles, count, self._generator)):
            picture.save(self._folder / f"{step:06d}_{number:03d}.png")
            self._made.pictures.append(picture)
        del self._made.pictures[:-_MADE_KEPT]
        LOGGER.info("%d made pictures to learn from", len(self._made.pictures))


def run(settings: Settings) -> None:
    """Train, or go on with, a student; write its weights and curve to the work folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    generator = np.random.default_rng(settings.seed)
    pictures = Pictures(settings, generator)
    teacher, pupil, step = Teacher(settings), Student(settings), 0
    checkpoint = settings.work / "checkpoint.npz"
    if checkpoint.exists():
        with np.load(checkpoint) as saved:
            step = int(saved["step"])
            generator.bit_generator.state = json.loads(str(saved["generator"]))
            pupil.restore(saved)
            teacher.set_standard(saved)
    else:
        teacher.learn_standard(pictures.source, 25, settings.batch)

    def save() -> None:
        with written_whole(checkpoint) as stream:
            state = {**pupil.state(), **teacher.standard()}
            np.savez(stream, step=step, generator=json.dumps(generator.bit_generator.state), **state)
        weights.save(settings.work / "vgg_slim.params", pupil.parameters())

    started, first = time.monotonic(), step
    while step < settings.steps:
        if settings.made and step and step % settings.made_every == 0:
            pictures.make(pupil.parameters(), step, settings.made)
        if step in settings.revive_at:
            sample = np.concatenate([pictures.source.batch(settings.batch) for _ in range(_SAMPLED // settings.batch)])
            LOGGER.info("%d filters start anew", pupil.revive(sample, generator))
        batch = pictures.source.batch(settings.batch)
        targets = teacher(batch)
        predictions = pupil.predict(_inner(batch, settings.crop), targets, train=True)
        pupil.update(step + 1, settings.learning_rate * _schedule(step / settings.steps))
        step += 1
        if step % _REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / (step - first)
            LOGGER.info("step %d  %.3f s a step  %s", step, seconds, _readable(_errors(predictions, targets)))
        if step % _SAVE_EVERY == 0 or step == settings.steps:
            save()
            found = _examine(teacher, pupil, pictures.examination, settings.crop)
            _record(settings.work / "curve.csv", step, found)
            LOGGER.info("held out: %s", _readable(found))


def _errors(predictions: Sequence[Any], targets: Sequence[Any]) -> dict[str, float]:
    return student.errors([p.asnumpy() for p in predictions], [t.asnumpy() for t in targets])


def _readable(errors: dict[str, float]) -> str:
    return "  ".join(f"{name} {error:.3f}" for name, error in errors.items())


def _schedule(progress: float) -> float:
    """The share of the learning rate: a short rise, then a cosine down to nearly 0."""
    return min(1.0, progress / 0.01 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 0.002


def _inner(batch: NDArray, crop: int) -> NDArray:
    """The student's part of the teacher's crops."""
    return batch[:, :, student.LEAD : student.LEAD + crop, student.LEAD : student.LEAD + crop]


def _examine(teacher: Teacher, pupil: Student, batches: list[NDArray], crop: int) -> dict[str, float]:
    """The mean errors on pictures that are not learned from."""
    found = []
    for batch in batches:
        targets = teacher(batch)
        found.append(_errors(pupil.predict(_inner(batch, crop), targets, train=False), targets))
    return {name: float(np.mean([errors[name] for errors in found])) for name in found[0]}


def _record(path: Path, step: int, errors: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", *errors])
        writer.writerow([step, *(f"{error:.6f}" for error in errors.values())])
