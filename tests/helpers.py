"""Helpers shared by several test modules: arrays, errors, finite differences, random networks, simple objectives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from true_vgg19 import true_vgg19

import models
from models import vgg
from models.runtime import Array, load_mxnet
from styletransfer import weights
from styletransfer.losses.objective import Evaluation, Losses
from styletransfer.pictures import images

mx = load_mxnet()

# For comparisons of two computations: max pooling picks one of several values that may be nearly equal, so rounding can
# route a gradient to another pixel.
STABLE_POOLING = "avg"


def to_mx(values: ArrayLike) -> Array:
    """A float32 array of MXNet."""
    return mx.nd.array(np.asarray(values, dtype=np.float32))


def relative_error(found: ArrayLike, expected: ArrayLike) -> float:
    """|found - expected| / |expected|, Euclidean norms in float64."""
    found, expected = (np.asarray(values, dtype=np.float64) for values in (found, expected))
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def finite_differences(function: Callable[[NDArray], float], point: NDArray, step: float) -> NDArray[np.float64]:
    """The gradient of `function` at `point` by central differences, one value at a time."""
    point = np.asarray(point, dtype=np.float64)
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        gradient[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


def architecture(model: str) -> tuple[vgg.Blocks, dict[str, str]]:
    """The blocks of a network of the VGG family, and for each of its projections the ReLU it projects."""
    module = models.load(model)
    return module.BLOCKS, {projection.name: projection.of for projection in getattr(module, "PROJECTIONS", ())}


@functools.cache
def random_parameters(model: str) -> weights.Parameters:
    """Random weights and nonzero biases of a network. Shared by all tests, so read-only."""
    parameters = weights.random(models.load(model).SPEC, seed=0)
    generator = np.random.default_rng(0)
    for values in parameters.values():
        if values.ndim == 1:
            values[:] = generator.normal(0.0, 2.0, values.shape)
        values.flags.writeable = False
    return parameters


def available_parameters(model: str) -> weights.Parameters:
    """VGG-19's own weights, and random ones of other networks."""
    return true_vgg19() if model == "vgg19" else random_parameters(model)


def random_picture(height: int, width: int, seed: int) -> NDArray[np.float64]:
    """A picture (height, width, 3), 0..1, of smooth stripes with some noise."""
    generator = np.random.default_rng(seed)
    y, x, channel = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    frequency = generator.uniform(0.1, 0.5, 2)
    stripes = 0.5 + 0.3 * np.sin(frequency[0] * x + frequency[1] * y + 2 * channel)
    return np.clip(stripes + generator.normal(0.0, 0.1, stripes.shape), 0.0, 1.0)


class Quadratic:
    """A quadratic objective: content 1/2 curvature |x - centre|^2, and a TV of 1/2 tv |x|^2."""

    def __init__(self, curvature: float = 1.0, centre: float = 0.0, tv: float | None = None) -> None:
        self.curvature, self.centre, self.tv = curvature, centre, tv

    def __call__(self, image: Array) -> Evaluation:
        distance = image - self.centre
        losses = Losses(
            {("content", "quadratic"): 0.5 * self.curvature * float((distance * distance).sum().asscalar())},
            0.5 * (self.tv or 0.0) * float((image * image).sum().asscalar()),
        )
        return Evaluation(losses, distance * self.curvature, None if self.tv is None else image * self.tv)


class BreaksAt:
    """An objective with wrong losses or gradients for some images.

    Images are numbered from 0 in the order in which they are first seen, so numbers are mostly steps; an image that is
    seen again keeps its number.
    """

    def __init__(
        self,
        objective: Callable[[Array], Evaluation] | None,
        numbers: Container[int],
        loss: float | None = None,
        gradient: float | None = None,
    ) -> None:
        self.objective, self.numbers, self.loss, self.gradient = objective, numbers, loss, gradient
        self.seen: dict[bytes, int] = {}

    def __call__(self, image: Array) -> Evaluation:
        assert self.objective is not None
        good = self.objective(image)
        if self.seen.setdefault(image.asnumpy().tobytes(), len(self.seen)) not in self.numbers:
            return good
        losses = good.losses if self.loss is None else Losses({("content", "quadratic"): self.loss}, 0.0)
        return Evaluation(losses, good.gradient if self.gradient is None else good.gradient * self.gradient, None)


def fill_studio(folder: Path) -> None:
    """Write a photograph, two paintings and the weights of a random network into a folder."""
    weights.save(folder / "random.params", random_parameters("vgg_slim"))
    images.write(folder / "photo.png", random_picture(40, 56, seed=1))
    images.write(folder / "painting.png", random_picture(50, 44, seed=2))
    images.write(folder / "other.png", random_picture(48, 64, seed=3))


TINY_RUN = {  # the config of a run of a moment, with pictures that the test makes
    "content": {"image": "photo.png"},
    "style": {"images": ["painting.png"], "weight": 60},
    "size": 48,
    "scales": 1,
    "weights": "random.params",
    "optimizer": {"name": "sgd", "learning_rate": 1},
    "stop": {"max_iterations": 3},
    "precision": "float32",
}
