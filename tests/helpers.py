"""Helpers shared by several test modules: arrays, errors, finite differences, random networks, simple objectives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from true_vgg19 import true_vgg19

import models
from models import runtime, vgg
from styletransfer import weights
from styletransfer.engines import Array, Network, Numbers, Scalar, choose, installed
from styletransfer.losses.objective import Evaluation, Losses
from styletransfer.pictures import images

# The engine that `auto` stands for here; the environment variable STYLETRANSFER_ENGINE sets it.
ENGINE = choose(precision="float32").load()

# For comparisons of two computations: max pooling picks one of several values that may be nearly equal, so rounding can
# route a gradient to another pixel.
STABLE_POOLING = "avg"


needs_bfloat16 = pytest.mark.skipif("bfloat16" not in ENGINE.precisions(), reason=f"{ENGINE.name} has no bfloat16 here")


def mxnet() -> ModuleType:
    """MXNet, for the tests of what is its own; they are skipped where it is not installed."""
    if not installed("mxnet"):
        pytest.skip("MXNet is not installed")
    return runtime.load_mxnet()


def to_array(values: ArrayLike) -> Array:
    """A float32 array of the engine."""
    return ENGINE.array(np.asarray(values, dtype=np.float32))


def to_numpy(array: Array) -> NDArray[np.float32]:
    """A copy of an array of the engine."""
    return ENGINE.numpy(array)


def number(scalar: Scalar) -> float:
    """A scalar of the engine as a number."""
    return ENGINE.numbers([scalar])[0]


def norm(array: Array) -> float:
    """The Euclidean norm."""
    return number(ENGINE.norm(array))


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


def network_of(
    model: str,
    parameters: weights.Parameters | None = None,
    pooling: str | None = None,
    precision: str = "float32",
) -> Network:
    """A network of the engine, by default with random weights and its own pooling."""
    spec = models.load(model).SPEC
    return ENGINE.network(spec, parameters or random_parameters(model), pooling or spec.pooling, precision)


def features_of(
    network: Network,
    layers: Sequence[str],
    values: ArrayLike,
    after: str | None = None,
    trainable: bool = False,
) -> dict[str, NDArray[np.float32]]:
    """The features of an image, or what follows from those of the layer `after`, (1, channels, height, width) each."""
    bound = network.bind(layers, np.shape(values)[1:], after, trainable)
    bound.forward(to_array(values))
    return {layer: to_numpy(bound.features(layer)) for layer in layers}


def available_parameters(model: str) -> weights.Parameters:
    """VGG-19's own weights, the bundled ones that were fitted to them, and random ones of other networks."""
    if model == "vgg19_small":
        return weights.load(models.load(model).SPEC)
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
            {("content", "quadratic"): 0.5 * self.curvature * norm(distance) ** 2},
            0.5 * (self.tv or 0.0) * norm(image) ** 2,
        )
        return evaluation_of(losses, distance * self.curvature, None if self.tv is None else image * self.tv)


def evaluation_of(losses: Losses, gradient: Array, tv_gradient: Array | None = None) -> Evaluation:
    """An evaluation of an objective that is made up."""
    numbers = Numbers(ENGINE)
    length = numbers.ask([ENGINE.norm(gradient)])
    return Evaluation(numbers, lambda: (losses, length()[0]), gradient, tv_gradient)


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
        if self.seen.setdefault(to_numpy(image).tobytes(), len(self.seen)) not in self.numbers:
            return good
        losses = good.losses if self.loss is None else Losses({("content", "quadratic"): self.loss}, 0.0)
        return evaluation_of(losses, good.gradient if self.gradient is None else good.gradient * self.gradient)


def fill_studio(folder: Path) -> None:
    """Write a photograph, two paintings and the weights of a random network into a folder."""
    weights.save(folder / "random.params", random_parameters("vgg_slim"))
    images.write(folder / "photo.png", random_picture(40, 56, seed=1))
    images.write(folder / "painting.png", random_picture(50, 44, seed=2))
    images.write(folder / "other.png", random_picture(48, 64, seed=3))


def two_scales(folder: Path, *changes: str) -> list[str]:
    """The arguments of a tiny run at two scales in the studio; `changes` are ``key=value`` or options."""
    arguments = ["--content", "photo.png", "--style", "painting.png", "--output", str(folder)]
    tiny = (
        "model=vgg_slim",
        "size=64",
        "scales=[48, 64]",
        "weights=random.params",
        "optimizer.name=adam",
        "optimizer.learning_rate=20",
        "stop.max_iterations=4",
    )
    for change in (*tiny, *changes):
        arguments += [change] if change.startswith("--") else ["--set", change]
    return arguments


TINY_RUN = {  # the config of a run of a moment, with pictures that the test makes
    "content": {"image": "photo.png"},
    "style": {"images": ["painting.png"], "weight": 60},
    "size": 48,
    "scales": 1,
    "model": "vgg_slim",
    "weights": "random.params",
    "init": {"kind": "matched"},
    "optimizer": {"name": "sgd", "learning_rate": 1},
    "stop": {"max_iterations": 3},
    "precision": "float32",
}
