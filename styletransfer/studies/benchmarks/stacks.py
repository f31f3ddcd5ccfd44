"""One step of every compared stack, ready to be timed.

The step is that of every style transfer program: forward through the network, Gram losses of its style layers and the
content loss of its content layer, backward to the image. Pictures and weights are random.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models import runtime
from styletransfer.losses.objective import LossWeights
from styletransfer.studies.benchmarks import machine

Step = Callable[[], Any]  # returns the computed gradient, (1, 3, size, size), an array of the library


@dataclass(frozen=True)
class Stack:
    """A library with a precision and a memory layout."""

    title: str
    library: str  # mxnet or torch
    precision: str
    channels_last: bool = False


STACKS: Mapping[str, Stack] = {
    "ours": Stack("ours, float32", "mxnet", "float32"),
    "ours-bfloat16": Stack("ours, bfloat16", "mxnet", "bfloat16"),
    "torch": Stack("PyTorch, float32, channels first", "torch", "float32"),
    "torch-last": Stack("PyTorch, float32, channels last", "torch", "float32", channels_last=True),
    "torch-bfloat16": Stack("PyTorch, bfloat16, channels last", "torch", "bfloat16", channels_last=True),
}
BASE = "torch"  # the default of PyTorch programs
BASE_BFLOAT16 = "torch-bfloat16"


def measured(bfloat16: bool) -> list[str]:
    """The stacks to measure on this machine, in the order of the table."""
    return [
        name
        for name, stack in STACKS.items()
        if (stack.library == "mxnet" or machine.has_pytorch()) and (stack.precision == "float32" or bfloat16)
    ]


def weights_of(model: str) -> LossWeights:
    """The network's default layers, with equal content and style weights, without TV."""
    spec = models.load(model).SPEC
    return LossWeights(1.0, spec.content_layers, 1.0, spec.style_layers, 0.0)


def pictures(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Content, style and image, (1, 3, size, size), random."""
    generator = np.random.default_rng(0)
    content, style, image = (generator.standard_normal((1, 3, size, size), np.float32) for _ in range(3))
    for picture in (content, style, image):
        picture *= 60
    return content, style, image


def mxnet_step(model: str, size: int, precision: str = "float32", tile: int | None = None) -> Step:
    """Our step. Its gradient is multiplied by the number of values, as defined by the normalization."""
    mx = runtime.load_mxnet()
    from styletransfer import weights
    from styletransfer.config.normalizations import NORMALIZATIONS
    from styletransfer.losses.objective import Objective
    from styletransfer.losses.targets import find_targets
    from styletransfer.network.executor import Backbone

    spec = models.load(model).SPEC
    content, style, image = (mx.nd.array(picture) for picture in pictures(size))
    backbone = Backbone(model, spec.pooling, weights.random(spec, 0), mx.cpu(), tile, precision)
    balance = weights_of(model)
    layers = list(balance.content_layers), list(balance.style_layers)
    targets = find_targets(backbone, content, [(1.0, style)], *layers, size, size)
    del content, style
    objective = Objective(backbone, targets, NORMALIZATIONS["balanced"], balance, None, 1.0, size, size)

    def step() -> runtime.Array:
        gradient = objective(image).gradient
        gradient.wait_to_read()
        return gradient

    return step


def torch_step(model: str, size: int, precision: str = "float32", channels_last: bool = False) -> Step:
    """The same step in PyTorch."""
    from styletransfer import weights
    from styletransfer.studies.benchmarks import pytorch

    torch = pytorch.load_torch()
    spec = models.load(model).SPEC
    balance = weights_of(model)
    layers = [*balance.content_layers, *balance.style_layers]
    network = pytorch.Network(model, weights.random(spec, 0), spec.pooling, layers, precision, channels_last)
    content, style, start = pictures(size)
    objective = pytorch.Objective(network, content, [(1.0, style)], balance)
    del content, style
    image = torch.from_numpy(start).requires_grad_(True)

    def step() -> Any:
        image.grad = None
        objective(image).backward()
        return image.grad

    return step


def step_of(name: str, model: str, size: int) -> Step:
    """A step of the named stack."""
    stack = STACKS[name]
    if stack.library == "mxnet":
        return mxnet_step(model, size, stack.precision)
    return torch_step(model, size, stack.precision, stack.channels_last)


def timed(step: Step, times: int) -> tuple[float, float]:
    """The median seconds of a step, after an untimed one, and the peak megabytes of this process."""
    step()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), machine.peak_megabytes()
