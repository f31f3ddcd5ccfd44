"""The training of the bundled network: Adam on the prediction errors, with checkpoints and a curve."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from research.distillation import crops, student_transfers
from research.distillation.student import Student
from research.distillation.teacher import TARGETS, Teacher, distances
from research.distillation.transfers import Transfers
from styletransfer import weights
from styletransfer.support.files import atomic_write

LOGGER = logging.getLogger(__name__)
_REPORT_EVERY, _SAVE_EVERY = 50, 500
_HELD_OUT_EVERY = 25  # photographs
_SIZES = ((0.55, 2, 256), (0.3, 1, 384), (0.15, 1, 512))  # share of the steps, crops per step, side in pixels
_BASIS_BATCHES, _FIT_BATCHES, _SAMPLED = 60, 30, 40
_HELD_OUT_SHAPE = 12, 2, 256  # batches, crops in each, side
_FIT_UNTIL = 0.5  # share of the training
_MADE_KEPT = 300  # the newest made pictures, which are trained on
_TRANSFERS_SHARE = 0.65  # of the batches with a transfer in progress


@dataclass(frozen=True)
class Settings:
    """The options of `research/distill.py`; see there."""

    photos: Path
    paintings: list[Path]
    leave_out: list[str]
    vgg19: Path
    start: Path
    work: Path
    steps: int
    learning_rate: float
    gram_weight: float
    seed: int
    made: int
    made_every: int
    transfers: int
    threads: int


class Pictures:
    """The training pictures, and held-out photographs for evaluation."""

    def __init__(self, settings: Settings, generator: np.random.Generator) -> None:
        self._folder = settings.work / "made"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._generator = generator
        photos = crops.load(crops.picture_files([settings.photos], settings.leave_out))
        self._photos = [photo for number, photo in enumerate(photos) if number % _HELD_OUT_EVERY]
        self._paintings = crops.load(crops.picture_files(settings.paintings, settings.leave_out), longest=800)
        self._made = crops.Group(0.5, crops.load(crops.picture_files([self._folder]))[-_MADE_KEPT:], varied=False)
        groups = [crops.Group(0.4, self._photos), crops.Group(0.25, self._paintings), self._made]
        self._source = crops.Crops(groups, generator)
        held_out = crops.Group(1.0, photos[::_HELD_OUT_EVERY], varied=False)
        validation = crops.Crops([held_out], np.random.default_rng(1))
        count, size, side = _HELD_OUT_SHAPE
        self.held_out = [crops.entered(validation.batch(size, side)) for _ in range(count)]
        LOGGER.info(
            "%d photographs, %d held out, %d paintings, %d made",
            len(self._photos), len(held_out.pictures), len(self._paintings), len(self._made.pictures),
        )  # fmt: skip

        contents = crops.Crops([crops.Group(1.0, self._photos)], generator)
        styles = crops.Crops([crops.Group(0.3, self._photos), crops.Group(0.7, self._paintings)], generator)
        self.transfers = Transfers(contents, styles, settings.transfers, generator) if settings.transfers else None

    def batch(self, student: Student) -> Tensor:
        """Images of a random size, (n, 3, side, side), in the pixels of the networks.

        Some batches are crops, the others a transfer in progress and a crop.
        """
        if self.transfers and self._generator.random() < _TRANSFERS_SHARE:
            image = self.transfers.advance(student)
            return torch.cat([image, crops.entered(self._source.batch(1, image.shape[-1]))])
        shares = [share for share, _, _ in _SIZES]
        _, count, side = _SIZES[self._generator.choice(len(_SIZES), p=shares)]
        return crops.entered(self._source.batch(count, side))

    def batches(self, count: int) -> Iterator[Tensor]:
        """Pairs of crops of one size."""
        return (crops.entered(self._source.batch(2, 256)) for _ in range(count))

    def make(self, parameters: weights.Parameters, step: int, count: int) -> None:
        """Make training pictures with the student, unless those of this step exist."""
        if (self._folder / f"{step:06d}_000.png").exists():
            return
        styles = [*self._paintings, *self._photos[::4]]
        for number, picture in enumerate(
            student_transfers.make(parameters, self._photos, styles, count, self._generator)
        ):
            picture.save(self._folder / f"{step:06d}_{number:03d}.png")
            self._made.pictures.append(picture)
        del self._made.pictures[:-_MADE_KEPT]


def run(settings: Settings) -> None:
    """Train a student, or resume its training; write its weights and curve to the work folder."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(settings.threads)
    generator = np.random.default_rng(settings.seed)
    settings.work.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(settings, generator)
    teacher = Teacher(settings.vgg19)
    student = Student(weights.load_plain(settings.start), settings.seed)
    optimizer = torch.optim.Adam(student.parameters(), lr=settings.learning_rate, eps=1e-8)
    step, checkpoint = 0, settings.work / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        step = saved["step"]
        generator.bit_generator.state = json.loads(saved["generator"])
        student.load_state_dict(saved["student"])
        optimizer.load_state_dict(saved["optimizer"])
        teacher.bases = saved["bases"]
    else:
        teacher.learn_bases(pictures.batches(_BASIS_BATCHES))
        student.normalize(pictures.batches(_SAMPLED))
        revived = student.revive(pictures.batches(_SAMPLED), torch.Generator().manual_seed(settings.seed))
        LOGGER.info("%d dead filters reinitialized", revived)

    def save() -> None:
        with atomic_write(checkpoint) as stream:
            state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "bases": teacher.bases}
            torch.save({"step": step, "generator": json.dumps(generator.bit_generator.state), **state}, stream)
        weights.save(settings.work / "vgg_slim.params", student.parameters_of_spec())

    started, first = time.monotonic(), step
    while step < settings.steps:
        if settings.made and step % settings.made_every == 0:
            pictures.make(student.parameters_of_spec(), step, settings.made)
        if step % _SAVE_EVERY == 0 and step < _FIT_UNTIL * settings.steps:
            student.fit_projections(pictures.batches(_FIT_BATCHES), teacher)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _schedule(step / settings.steps)
        images = pictures.batch(student)
        losses = distances(student(images), teacher(images))
        total = sum(
            target.weight * (losses[name][0] + settings.gram_weight * losses[name][1])
            for target in TARGETS
            for name in [target.projection.name]
        )
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        step += 1
        if step % _REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / (step - first)
            LOGGER.info("step %d  %.3f s per step  %s", step, seconds, _readable(_numbers(losses)))
        if step % _SAVE_EVERY == 0 or step == settings.steps:
            save()
            with torch.no_grad():
                rows = [_numbers(distances(student(images), teacher(images))) for images in pictures.held_out]
            mean = {name: tuple(np.mean([losses[name] for losses in rows], axis=0)) for name in rows[0]}
            _record(settings.work / "curve.csv", step, mean)
            LOGGER.info("held out: %s", _readable(mean))


def _numbers(losses: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[float, float]]:
    return {name: (error.item(), gram.item()) for name, (error, gram) in losses.items()}


def _readable(losses: Mapping[str, tuple[float, ...]]) -> str:
    return "  ".join(f"{name} {error:.3f} {gram:.4f}" for name, (error, gram) in losses.items())


def _schedule(progress: float) -> float:
    """The factor of the learning rate: a short warm-up, then a cosine decay to nearly 0."""
    return min(1.0, progress / 0.02 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 0.002


def _record(path: Path, step: int, losses: Mapping[str, tuple[float, ...]]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", *(f"{name}.{kind}" for name in losses for kind in ("features", "gram"))])
        writer.writerow([step, *(f"{value:.6f}" for pair in losses.values() for value in pair)])
