"""The training of the bundled network: Adam on the prediction errors, with checkpoints and a curve."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import model_vgg19_16x, model_vgg_slim, vgg
from models.runtime import Array, load_mxnet
from styletransfer import weights
from styletransfer.network.executor import Network, tapped
from styletransfer.pictures import pixels
from styletransfer.studies.distillation import crops, made, student, teacher
from styletransfer.support.files import atomic_write

LOGGER = logging.getLogger(__name__)
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_REPORT_EVERY, _SAVE_EVERY = 100, 500
INPUT_SCALE = np.float32(64.0)  # the student is trained on values / 64, which suit its initial weights
FEATURE_SCALE = np.float32(100.0)  # its ReLUs are saved with values about as large as VGG-19's; in training they are 1
_HELD_OUT_EVERY = 25  # photographs
_DEAD_BELOW = 1e-3  # share of positions at which a filter must be active to count as alive
_BASIS_BATCHES = 60  # batches of crops from which the principal components are computed
_FIT_EVERY, _FIT_BATCHES, _RIDGE = 500, 40, 1e-6  # steps, batches, share of the mean square
_SAMPLED = 80  # crops used to measure activity and magnitude
_MADE_KEPT = 240  # the newest made pictures, which are trained on


@dataclass(frozen=True)
class Settings:
    """The options of `scripts/distill.py`; see there."""

    photos: Path
    paintings: list[Path]
    leave_out: list[str]
    vgg19: Path
    vgg19_16x: Path
    work: Path
    steps: int
    batch: int
    crop: int
    learning_rate: float
    gram_weight: float
    seed: int
    made: int
    made_every: int
    revive_at: list[int]


class Teachers:
    """The principal components of the teachers' layers, the targets of the student's projections."""

    def __init__(self, settings: Settings) -> None:
        shape = (settings.batch, 3, settings.crop, settings.crop)
        self._teacher = teacher.Teacher(settings.vgg19, settings.vgg19_16x, shape)
        self.bases: dict[str, student.Basis] = {}

    def __call__(self, batch: NDArray) -> dict[str, Array]:
        """The targets by name of the projection, for crops (n, 3, crop, crop), RGB 0..255."""
        features = self._teacher(_enter(batch, vgg.PIXELS))
        return {
            target.projection.name: self.bases[target.projection.name].components(features[target.layer])
            for target in student.TARGETS
        }

    def learn_bases(self, source: crops.Crops, batches: int, size: int) -> None:
        """Compute the principal components of every layer; all crops have the same weight."""
        moments: dict[str, NDArray[np.float64]] = {}
        for _ in range(batches):
            for layer, features in self._teacher(_enter(source.batch(size), vgg.PIXELS)).items():
                rows = features.asnumpy().astype(np.float64).reshape(*features.shape[:2], -1)
                moment = np.einsum("bim,bjm->ij", rows, rows, optimize=True) / (len(rows) * rows.shape[2] * batches)
                moments[layer] = moments[layer] + moment if layer in moments else moment
        self.bases = {
            target.projection.name: student.Basis.of(moments[target.layer], target.projection.channels)
            for target in student.TARGETS
        }

    def state(self) -> dict[str, NDArray]:
        return {"basis." + name: basis.rows for name, basis in self.bases.items()}

    def restore(self, arrays: Mapping[str, NDArray]) -> None:
        names = [target.projection.name for target in student.TARGETS]
        self.bases = {name: student.Basis(arrays["basis." + name]) for name in names}


def _enter(batch: NDArray, space: str) -> NDArray[np.float32]:
    """Convert crops (n, 3, h, w), RGB 0..255, to a pixel space."""
    return np.concatenate([pixels.from_picture(crop.transpose(1, 2, 0) / 255.0, space) for crop in batch])


class Student:
    """The student with its auxiliary projections and the state of Adam."""

    def __init__(self, settings: Settings) -> None:
        mx = load_mxnet()
        symbol = student.student_symbol()
        trained = [name for name in symbol.list_arguments() if name != "data"]
        self.executor = symbol.simple_bind(
            mx.cpu(),
            grad_req={name: "write" if name in trained else "null" for name in symbol.list_arguments()},
            data=(settings.batch, 3, settings.crop, settings.crop),
        )
        self._gram_weight = settings.gram_weight
        self.arrays = {name: self.executor.arg_dict[name] for name in trained}
        compressed = weights.load(model_vgg19_16x.SPEC, settings.vgg19_16x)
        initial = student.initial_parameters(compressed, np.random.default_rng(settings.seed))
        initial["conv1_1_weight"] *= INPUT_SCALE
        for name, array in self.arrays.items():
            array[:] = initial[name]
        self.moments = {
            name: (mx.nd.zeros(array.shape), mx.nd.zeros(array.shape)) for name, array in self.arrays.items()
        }

    def losses(self, batch: NDArray, targets: Mapping[str, Array], train: bool) -> dict[str, tuple[float, float]]:
        """The losses of crops (n, 3, crop, crop), RGB 0..255, by projection: of features and of Gram matrices.

        With `train`, also computes their gradient; see :func:`student.losses_and_heads`.
        """
        self.executor.arg_dict["data"][:] = _enter(batch, model_vgg_slim.SPEC.pixels) / INPUT_SCALE
        outputs = self.executor.forward(is_train=True)  # inference would convert the weights to an internal layout
        estimates = {target.projection.name: output for target, output in zip(student.TARGETS, outputs)}
        found, heads = student.losses_and_heads(estimates, targets, self._gram_weight)
        if train:
            self.executor.backward(heads)
        return found

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

    def normalize(self, crops: NDArray) -> None:
        """Rescale every convolution so that the root mean square of its ReLU on `crops` is 1.

        Parameters
        ----------
        crops : (n, 3, h, w), RGB 0..255
        """
        before = 1.0
        for layer, square in self._means(crops, lambda features: np.square(features).mean()).items():
            here, convolution = float(np.sqrt(square)), layer.replace("relu", "conv")
            self.arrays[f"{convolution}_weight"][:] *= before / here
            self.arrays[f"{convolution}_bias"][:] /= here
            before = here

    def fit_projections(self, batches: Iterable[NDArray], teachers: Teachers) -> None:
        """Set every projection to the least-squares fit of its targets, which Adam alone approaches slowly."""
        moments: dict[str, Any] = {}
        products: dict[str, Any] = {}
        for batch in batches:
            targets = {name: values.asnumpy() for name, values in teachers(batch).items()}
            for number, features in enumerate(self._features(batch)):
                for target in student.TARGETS:
                    name = target.projection.name
                    rows = features[target.projection.of].reshape(len(features[target.projection.of]), -1)
                    rows = np.vstack([rows, np.ones(rows.shape[1])]).astype(np.float64)
                    wanted = targets[name][number].reshape(target.projection.channels, -1)
                    moments[name] = moments.get(name, 0) + rows @ rows.T
                    products[name] = products.get(name, 0) + wanted @ rows.T
        for name, moment in moments.items():
            ridge = _RIDGE * np.trace(moment) / len(moment) * np.eye(len(moment))
            solution = np.linalg.solve(moment + ridge, products[name].T).T
            self.arrays[f"{name}_weight"][:] = solution[:, :-1, None, None]
            self.arrays[f"{name}_bias"][:] = solution[:, -1]

    def _means(self, crops: NDArray, measure: Callable[[NDArray], Any]) -> dict[str, Any]:
        """The mean over `crops` of a measure of the features of every ReLU, (channels, height, width)."""
        found: dict[str, Any] = {}
        for by_layer in self._features(crops):
            for layer, features in by_layer.items():
                found[layer] = found.get(layer, 0) + measure(features) / len(crops)
        return found

    def _features(self, crops: NDArray) -> Iterator[dict[str, NDArray]]:
        """The features of every ReLU, (channels, height, width), crop by crop."""
        spec = model_vgg_slim.SPEC
        relus = [layer for layer in spec.layer_names if layer.startswith("relu")]
        names, symbol = tapped(spec.name, relus, [], spec.pooling)
        height, width = crops.shape[2:]
        parameters = self.parameters(np.float32(1.0))
        network = Network(names, symbol, parameters, (3, height, width), load_mxnet().cpu(), trainable=False)
        for crop in crops:
            network.image[:] = _enter(crop[None], spec.pixels)
            network.forward()
            yield {layer: features.asnumpy()[0] for layer, features in network.features.items()}

    def revive(self, crops: NDArray, generator: np.random.Generator) -> int:
        """Reinitialize dead filters, which are hardly ever active; returns how many.

        A dead filter gets no gradient and would stay dead. It gets random weights as large as those of the live filters
        of its layer, and small weights in the layers that read it.

        Parameters
        ----------
        crops : (n, 3, h, w), RGB 0..255
            A live filter is active somewhere on these.
        """
        activity = self._means(crops, lambda features: (features > 0).mean(axis=(1, 2)))
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
                for moment in self.moments[name]:  # the mean over live filters, so that the first step is not too large
                    values = moment.asnumpy()
                    values[dead] = 0.0 if moment is self.moments[name][0] else values[~dead].mean()
                    moment[:] = values
            for reader in self._readers(layer):
                values = self.arrays[reader].asnumpy()
                values[:, dead] *= 0.05
                self.arrays[reader][:] = values
        return revived

    @staticmethod
    def _projections(layer: str) -> list[str]:
        """The names of the projections of a ReLU."""
        return [target.projection.name for target in student.TARGETS if target.projection.of == layer]

    def _readers(self, layer: str) -> list[str]:
        """The weights that read a ReLU's channels: of its projections, and of the next convolution."""
        relus = [name for name in model_vgg_slim.SPEC.layer_names if name.startswith("relu")]
        following = relus[relus.index(layer) + 1 : relus.index(layer) + 2]
        return [f"{name.replace('relu', 'conv')}_weight" for name in [*following, *self._projections(layer)]]

    def parameters(self, feature_scale: np.float32 = FEATURE_SCALE) -> weights.Parameters:
        """The student's weights for rgb255 images, without the auxiliary projections.

        ReLUs give `feature_scale` times what they do in training; projections give the same.
        """
        found = {name: self.arrays[name].asnumpy() for name in model_vgg_slim.SPEC.parameters}
        for name in found:
            if name.startswith("conv") and name.endswith("_bias"):
                found[name] = found[name] * feature_scale
            elif name.startswith("proj") and name.endswith("_weight"):
                found[name] = found[name] / feature_scale
        found["conv1_1_weight"] = found["conv1_1_weight"] * (feature_scale / INPUT_SCALE)
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
    """The training pictures, and held-out pictures for evaluation."""

    def __init__(self, settings: Settings, generator: np.random.Generator) -> None:
        self._folder = settings.work / "made"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._generator = generator
        photos = crops.load(crops.picture_files([settings.photos], settings.leave_out))
        self._photos = [photo for number, photo in enumerate(photos) if number % _HELD_OUT_EVERY]
        self._paintings = crops.load(crops.picture_files(settings.paintings, settings.leave_out))
        self._made = crops.Group(0.4, crops.load(crops.picture_files([self._folder]))[-_MADE_KEPT:], varied=False)
        side = settings.crop
        groups = [crops.Group(0.4, self._photos), crops.Group(0.2, self._paintings), self._made]
        self.source = crops.Crops(groups, side, generator)
        held_out = crops.Group(1.0, photos[::_HELD_OUT_EVERY], varied=False)
        validation = crops.Crops([held_out], side, np.random.default_rng(1))
        self.held_out = [validation.batch(settings.batch) for _ in range(10)]
        LOGGER.info(
            "%d photographs, %d held out, %d paintings, %d made",
            len(self._photos), len(held_out.pictures), len(self._paintings), len(self._made.pictures),
        )  # fmt: skip

    def sample(self) -> NDArray[np.float32]:
        """Crops to measure filters on, (n, 3, crop, crop), RGB 0..255."""
        return self.source.batch(_SAMPLED)

    def make(self, parameters: weights.Parameters, step: int, count: int) -> None:
        """Make training pictures with the student, unless those of this step exist."""
        if (self._folder / f"{step:06d}_000.png").exists():
            return
        styles = [*self._paintings, *self._photos[::4]]
        for number, picture in enumerate(made.make(parameters, self._photos, styles, count, self._generator)):
            picture.save(self._folder / f"{step:06d}_{number:03d}.png")
            self._made.pictures.append(picture)
        del self._made.pictures[:-_MADE_KEPT]
        LOGGER.info("%d made pictures to train on", len(self._made.pictures))


def run(settings: Settings) -> None:
    """Train a student, or resume its training; write its weights and curve to the work folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    generator = np.random.default_rng(settings.seed)
    pictures = Pictures(settings, generator)
    teachers, learner, step = Teachers(settings), Student(settings), 0
    checkpoint = settings.work / "checkpoint.npz"
    if checkpoint.exists():
        with np.load(checkpoint) as saved:
            step = int(saved["step"])
            generator.bit_generator.state = json.loads(str(saved["generator"]))
            learner.restore(saved)
            teachers.restore(saved)
    else:
        teachers.learn_bases(pictures.source, _BASIS_BATCHES, settings.batch)
        learner.normalize(pictures.sample())

    def save() -> None:
        with atomic_write(checkpoint) as stream:
            state = {**learner.state(), **teachers.state()}
            np.savez(stream, step=step, generator=json.dumps(generator.bit_generator.state), **state)
        weights.save(settings.work / "vgg_slim.params", learner.parameters())

    started, first = time.monotonic(), step
    while step < settings.steps:
        if settings.made and step and step % settings.made_every == 0:
            pictures.make(learner.parameters(), step, settings.made)
        if step in settings.revive_at:
            LOGGER.info("%d dead filters reinitialized", learner.revive(pictures.sample(), generator))
        if step % _FIT_EVERY == 0 and step < 0.9 * settings.steps:
            learner.fit_projections((pictures.source.batch(settings.batch) for _ in range(_FIT_BATCHES)), teachers)
        batch = pictures.source.batch(settings.batch)
        losses = learner.losses(batch, teachers(batch), train=True)
        learner.update(step + 1, settings.learning_rate * _schedule(step / settings.steps))
        step += 1
        if step % _REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / (step - first)
            LOGGER.info("step %d  %.3f s per step  %s", step, seconds, _readable(losses))
        if step % _SAVE_EVERY == 0 or step == settings.steps:
            save()
            found = _evaluate(teachers, learner, pictures.held_out)
            _record(settings.work / "curve.csv", step, found)
            LOGGER.info("held out: %s", _readable(found))


def _readable(losses: Mapping[str, tuple[float, float]]) -> str:
    return "  ".join(f"{name} {error:.3f} {gram:.4f}" for name, (error, gram) in losses.items())


def _schedule(progress: float) -> float:
    """The factor of the learning rate: a short warm-up, then a cosine decay to nearly 0."""
    return min(1.0, progress / 0.02 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 0.002


def _evaluate(teachers: Teachers, learner: Student, batches: list[NDArray]) -> dict[str, tuple[float, float]]:
    """The mean losses on held-out pictures."""
    found = [learner.losses(batch, teachers(batch), train=False) for batch in batches]
    return {name: tuple(np.mean([losses[name] for losses in found], axis=0)) for name in found[0]}


def _record(path: Path, step: int, losses: Mapping[str, tuple[float, float]]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", *(f"{name}.{kind}" for name in losses for kind in ("features", "gram"))])
        writer.writerow([step, *(f"{value:.6f}" for pair in losses.values() for value in pair)])
