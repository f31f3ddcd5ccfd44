"""How close a picture comes to a style and to a content in the eyes of another network: the cross-network distances.

A picture that was optimised with one network is judged by SqueezeNet, which it was not made to please:

- style distance: the mean over `STYLE_LAYERS` of |G / (N M) - A / (N M)|^2 / |A / (N M)|^2, each Gram matrix with its
  own picture's M;
- content distance: |F - P|^2 / |P|^2 in `CONTENT_LAYER`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import model_squeezenet
from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer import images, pipeline, pixels, weights
from styletransfer.images import Picture
from styletransfer.network import Network, tapped
from styletransfer.pyramid import Pyramid
from styletransfer.weights import Parameters

STYLE_LAYERS = ("relu_conv1", "fire2", "fire4", "fire5", "fire7", "fire9")
CONTENT_LAYER = "fire5"


class Judge:
    """SqueezeNet as a judge of pictures (H, W, 3), RGB 0..1.

    Parameters
    ----------
    parameters : dict of arrays
        SqueezeNet's, in its native pixel convention.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    def features(self, picture: Picture) -> dict[str, NDArray[np.float64]]:
        """The judging layers' features, (N, M) each."""
        names, symbol = tapped(model_squeezenet.SPEC.name, STYLE_LAYERS, [CONTENT_LAYER], model_squeezenet.SPEC.pooling)
        height, width = picture.shape[:2]
        network = Network(names, symbol, self._parameters, (3, height, width), load_mxnet().cpu(), trainable=False)
        network.image[:] = pixels.from_picture(picture, model_squeezenet.SPEC.pixels)
        network.forward()
        return {
            name: value.asnumpy()[0].reshape(value.shape[1], -1).astype(float)
            for name, value in network.features.items()
        }

    def style_distance(self, picture: Picture, style: Picture) -> float:
        """How far a picture is from a style; 0 for the style itself, of any size."""
        found, wanted = self.features(picture), self.features(style)
        distances = []
        for layer in STYLE_LAYERS:
            gram, target = (features @ features.T / features.size for features in (found[layer], wanted[layer]))
            distances.append(np.sum((gram - target) ** 2) / np.sum(target**2))
        return float(np.mean(distances))

    def content_distance(self, picture: Picture, content: Picture) -> float:
        """How far a picture is from a content picture of the same size; 0 for the content itself."""
        found, wanted = self.features(picture)[CONTENT_LAYER], self.features(content)[CONTENT_LAYER]
        return float(np.sum((found - wanted) ** 2) / np.sum(wanted**2))


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one picture."""

    style: str
    style_distance: float
    untouched: float  # the style distance of the photograph itself
    content_distance: float
    steps: int
    seconds: float


def verdicts(
    content: str,
    styles: Sequence[str],
    pictures: Sequence[str] | None,
    size: int,
    assignments: Sequence[str],
    judge_weights: str | None,
    folder: Path | None,
) -> Iterator[Verdict]:
    """Judge a picture for every style: those given, or ones made with the default preset and `assignments`.

    Everything is judged at the long edge `size`. Pictures that are made are kept in `folder`, if there is one.

    Raises
    ------
    UserError
        If a file cannot be used.
    """
    spec = model_squeezenet.SPEC
    if judge_weights and Path(judge_weights).suffix == ".net":
        judge = Judge(weights.load_deep_compression(spec, judge_weights))
    else:
        judge = Judge(weights.load(spec, judge_weights))
    photograph = _at_size(images.read(content), size)
    for number, style in enumerate(styles):
        painting = _at_size(images.read(style), size)
        if pictures is None:
            picture, steps, seconds = _make(content, style, size, assignments)
        else:
            picture, steps, seconds = images.read(pictures[number]), 0, 0.0
        picture = images.resize(picture, *photograph.shape[:2])
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            images.write(folder / f"{Path(style).stem}.png", picture)
        yield Verdict(
            style,
            judge.style_distance(picture, painting),
            judge.style_distance(photograph, painting),
            judge.content_distance(picture, photograph),
            steps,
            seconds,
        )


def _at_size(picture: Picture, long_edge: int) -> Picture:
    return images.resize(picture, *images.fit(picture.shape[0], picture.shape[1], long_edge))


def _make(content: str, style: str, size: int, assignments: Sequence[str]) -> tuple[Picture, int, float]:
    """The picture, and the steps and seconds it took."""
    values = {"content": {"image": content}, "style": {"images": style}, "size": size}
    config = configs.parse(configs.override(values, assignments), "the command line")
    for record in Pyramid(config, pipeline.read_pictures(config), pipeline.load_parameters(config)).records():
        last = record
    picture = images.denoise(pixels.to_picture(last.image.asnumpy(), config.pixels), config.output.denoise)
    return images.to_bytes(picture) / 255.0, last.step, last.seconds
