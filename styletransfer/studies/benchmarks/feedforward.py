"""The table of feed-forward networks: the time of a picture and the peak memory of every stack, side by side.

A pass takes an image as a NumPy array and gives one: the extension by reflection, copying to the library and back, and
cutting off the margin count. Weights and images are random. Measured like steps, in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

import models
from models import feedforward, runtime
from styletransfer.studies.benchmarks import stacks, steps
from styletransfer.studies.benchmarks.steps import Result

__all__ = ["HEADINGS", "Result", "cells", "measure", "measure_one", "pass_of"]

HEADINGS = (*steps.HEADINGS[:-2], "ms / picture", "peak MiB")


def cells(result: Result) -> list[str]:
    """The row of a result, under `HEADINGS`."""
    *places, _, megabytes = steps.cells(result)
    return [*places, f"{result.seconds * 1000:.1f}", megabytes]


def measure(network: str, size: int, repeats: int, times: int, bfloat16: bool) -> Iterator[Result]:
    """Every stack for one network and one size; yields once all are measured.

    Parameters
    ----------
    network : str
        The name of a feed-forward network.
    size : int
        Side of the square picture, pixels.
    repeats : int
        Rounds, with one process per stack in each.
    times : int
        Timed passes per process.
    bfloat16 : bool
        Whether to measure the stacks in bfloat16 too.
    """
    return steps.compare(measure_one, network, size, repeats, times, bfloat16)


def measure_one(name: str, network: str, size: int, times: int) -> tuple[float, float]:
    """Median seconds of a pass of a stack and peak megabytes of this process."""
    return stacks.timed(pass_of(name, network, size), times)


def pass_of(name: str, network: str, size: int) -> Callable[[], NDArray[np.float32]]:
    """A pass of the named stack: gives the stylised image, (1, 3, size, size), of the same image every time."""
    stack, generator = stacks.STACKS[name], np.random.default_rng(0)
    spec = models.load_transformer(network).SPEC
    parameters = feedforward.initial_parameters(spec, generator)
    image = generator.uniform(-120, 130, (1, 3, size, size)).astype(np.float32)
    if stack.library == "mxnet":
        from styletransfer.feedforward.network import Transformer, extended, inner

        sides = spec.extended(size), spec.extended(size)
        ours = Transformer(spec, parameters, *sides, runtime.load_mxnet().cpu(), stack.precision)
        rows, columns = inner(spec, size, size)
        return lambda: ours(extended(image, spec))[:, :, rows, columns]

    from styletransfer.studies.benchmarks import pytorch, pytorch_feedforward

    torch = pytorch.load_torch()
    theirs = pytorch_feedforward.Network(network, parameters, stack.precision, stack.channels_last)

    def of_pytorch() -> NDArray[np.float32]:
        with torch.inference_mode():
            return theirs(torch.from_numpy(image)).numpy()

    return of_pytorch
