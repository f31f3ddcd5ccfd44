"""Random crops of photographs and paintings, augmented in zoom, orientation, colour and noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor

from models import model_vgg_slim
from styletransfer.pictures import pixels

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


def picture_files(places: Iterable[Path], leave_out: Sequence[str] = ()) -> list[Path]:
    """The picture files in the given folders, and the given files, sorted by name, except `leave_out`."""
    files: list[Path] = []
    for place in places:
        files += [place] if place.is_file() else [file for file in place.iterdir() if file.suffix.lower() in _ENDINGS]
    return sorted((file for file in files if file.name not in leave_out), key=lambda file: file.name)


def load(files: Iterable[Path], longest: int = 640) -> list[Image.Image]:
    """Read RGB pictures, downsampled if their long edge exceeds `longest`."""
    pictures = []
    for file in files:
        picture = Image.open(file).convert("RGB")
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        pictures.append(picture)
    return pictures


@dataclass
class Group:
    """Pictures with a sampling weight, and whether their crops are augmented in zoom, colour and noise."""

    weight: float
    pictures: list[Image.Image]
    varied: bool = True


class Crops:
    """An endless source of random square crops.

    Parameters
    ----------
    groups : sequence of Group
        A group is drawn first, then one of its pictures.
    generator : numpy Generator
        The only source of randomness.
    """

    def __init__(self, groups: Sequence[Group], generator: np.random.Generator) -> None:
        self.groups = groups
        self.generator = generator

    def batch(self, count: int, side: int) -> NDArray[np.float32]:
        """`count` crops, (count, 3, side, side), RGB, 0..255."""
        return np.stack([self._crop(side) for _ in range(count)])

    def _crop(self, side: int) -> NDArray[np.float32]:
        draw = self.generator
        weights = np.array([group.weight if group.pictures else 0.0 for group in self.groups])
        group = self.groups[draw.choice(len(self.groups), p=weights / weights.sum())]
        picture, varied = group.pictures[draw.integers(len(group.pictures))], group.varied
        zoom = np.exp(draw.uniform(np.log(0.6), np.log(1.8))) if varied else 1.0
        window = min(side * zoom, *picture.size)
        left, top = draw.uniform(0, picture.width - window), draw.uniform(0, picture.height - window)
        crop = picture.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + window, top + window))
        if varied and draw.random() < 0.1:
            crop = crop.filter(ImageFilter.GaussianBlur(float(draw.uniform(0.5, 2.0))))
        values = np.asarray(crop, dtype=np.float32)
        values = self._turn(values)
        if varied:
            values = self._vary(values)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _turn(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        draw = self.generator
        if draw.random() < 0.5:
            values = values[:, ::-1]
        if draw.random() < 0.2:
            values = values[::-1]
        if draw.random() < 0.2:
            values = values.transpose(1, 0, 2)
        return values

    def _vary(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        draw = self.generator
        if draw.random() < 0.3:
            values = values[..., draw.permutation(3)]
        if draw.random() < 0.7:  # contrast, brightness and colour cast
            middle = values.mean()
            values = (values - middle) * np.float32(draw.uniform(0.6, 1.5)) + middle
            values = values + np.float32(draw.uniform(-40, 40)) + draw.uniform(-20, 20, 3).astype(np.float32)
        if draw.random() < 0.3:  # noise with a random grain size
            grain = int(draw.choice([1, 1, 2, 4]))
            cells = -(-values.shape[0] // grain)
            noise = draw.normal(0, draw.uniform(2, 40), (cells, cells, 3)).astype(np.float32)
            values = values + noise.repeat(grain, 0).repeat(grain, 1)[: values.shape[0], : values.shape[1]]
        return np.clip(values, 0, 255)


def entered(batch: NDArray) -> Tensor:
    """Convert crops (n, 3, h, w), RGB 0..255, to the pixel space of teacher and student."""
    space = model_vgg_slim.SPEC.pixels
    return torch.from_numpy(
        np.concatenate([pixels.from_picture(crop.transpose(1, 2, 0) / 255.0, space) for crop in batch])
    )
