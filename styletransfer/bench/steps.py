"""The tables of steps, sizes and feed-forward networks: time and peak memory of ours and of bare PyTorch.

A step is that of every style transfer program: forward through the network, Gram losses of its style layers and the
content loss of its content layer, backward to the image. A pass of a feed-forward network takes an image as a NumPy
array and gives one. Pictures and weights are random. Every measurement runs in a fresh process, and the stacks take
turns, so that conditions are the same for all; time ratios are medians of the ratios within one round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models import feedforward
from styletransfer import engines, weights
from styletransfer.bench import fresh_process, machine, pytorch
from styletransfer.losses.tiling import smallest_tile
from styletransfer.support.errors import UserError

Row = list[str]
_RATIOS = ("network", "size", "stack", "time / PyTorch", "time / PyTorch bfloat16", "memory / PyTorch")
STEPS = (*_RATIOS, "s / step", "peak MiB")
FEEDFORWARD = (*_RATIOS, "ms / picture", "peak MiB")
REFERENCE = 512  # pixels; the ratios of the table of sizes are relative to this size, whole
SIZES = (
    "network", "size", "tiles", f"time per pixel / {REFERENCE} whole", f"memory / {REFERENCE} whole", "s / megapixel",
    "s / step", "peak MiB",
)  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """A library with a precision and a memory layout."""

    title: str
    engine: str | None  # None: bare PyTorch
    precision: str
    channels_last: bool = False


STACKS: Mapping[str, Stack] = {
    "mxnet": Stack("ours, MXNet, float32", "mxnet", "float32"),
    "ours-torch": Stack("ours, PyTorch, float32", "torch", "float32"),
    "ours-torch-bfloat16": Stack("ours, PyTorch, bfloat16", "torch", "bfloat16"),
    "torch": Stack("PyTorch, float32, channels first", None, "float32"),
    "torch-last": Stack("PyTorch, float32, channels last", None, "float32", channels_last=True),
    "torch-bfloat16": Stack("PyTorch, bfloat16, channels last", None, "bfloat16", channels_last=True),
}
_BASE, _BASE_BFLOAT16 = "torch", "torch-bfloat16"  # the default of PyTorch programs, and its best in bfloat16


def step_of(
    model: str, size: int, name: str, tile: int | None = None
) -> Callable[[], Any]:  # the gradient, (1, 3, size, size), an array of the library
    """A step of the named stack. The gradient of ours is multiplied by the number of values."""
    stack, spec, generator = STACKS[name], models.load(model).SPEC, np.random.default_rng(0)
    content, style, image = (60 * generator.standard_normal((1, 3, size, size), np.float32) for _ in range(3))
    parameters, layers = weights.random(spec, 0), (spec.content_layers, spec.style_layers)
    if stack.engine is None:
        network = vgg(model, parameters, spec.pooling, {**layers[0], **layers[1]}, stack)
        theirs = pytorch.Objective(network, content, [(1.0, style)], *layers, (1.0, 1.0, 0.0))
        start = pytorch.load_torch().from_numpy(image).requires_grad_(True)

        def their_step() -> Any:
            start.grad = None
            theirs(start).backward()
            return start.grad

        return their_step

    from styletransfer.config.normalizations import NORMALIZATIONS
    from styletransfer.losses.objective import LossWeights, Objective
    from styletransfer.losses.targets import find_targets

    engine = engines.load(stack.engine)
    bound_network = engine.network(spec, parameters, spec.pooling, stack.precision)
    pictures = engine.array(content), [(1.0, engine.array(style))]
    targets = find_targets(
        bound_network, tile, *pictures, list(spec.content_layers), list(spec.style_layers), size, size
    )
    balance = LossWeights(1.0, layers[0], 1.0, layers[1], 0.0)
    ours = Objective(bound_network, tile, targets, NORMALIZATIONS["balanced"], balance, None, 1.0, size, size)
    bound = engine.array(image)

    def our_step() -> Any:
        return ours(bound).gradient  # its norm has been read

    return our_step


def vgg(
    model: str, parameters: Mapping[str, NDArray], pooling: str, layers: Mapping[str, float], stack: Stack
) -> pytorch.VGG:
    """A network of the VGG family in PyTorch."""
    projections = {projection.of: projection.name for projection in getattr(models.load(model), "PROJECTIONS", ())}
    return pytorch.VGG(parameters, pooling, list(layers), projections, stack.precision, stack.channels_last)


def pass_of(network: str, size: int, name: str) -> Callable[[], NDArray[np.float32]]:
    """A pass of the named stack: gives the stylised image, (1, 3, size, size), of the same image every time."""
    stack, generator = STACKS[name], np.random.default_rng(0)
    spec = models.load_transformer(network).SPEC
    parameters = feedforward.initial_parameters(spec, generator)
    image = generator.uniform(-120, 130, (1, 3, size, size)).astype(np.float32)
    if stack.engine is not None:
        from styletransfer.feedforward.extension import extended, inner

        sides = spec.extended(size), spec.extended(size)
        ours = engines.load(stack.engine).stylizer(spec, parameters, *sides, stack.precision)
        rows, columns = inner(spec, size, size)
        return lambda: ours(extended(image, spec))[:, :, rows, columns]

    torch = pytorch.load_torch()
    theirs = pytorch.Transformer(network, parameters, stack.precision, stack.channels_last)

    def their_pass() -> NDArray[np.float32]:
        with torch.inference_mode():
            return theirs(torch.from_numpy(image)).numpy()

    return their_pass


def timed(work: str, times: int, *arguments: Any) -> tuple[float, float]:
    """The median seconds of a step or a pass, after an untimed one, and the peak megabytes of this process.

    `work` is the name of :func:`step_of` or :func:`pass_of`, and `arguments` are its arguments.
    """
    function = globals()[work](*arguments)
    function()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), machine.peak_megabytes()


def compare(work: str, network: str, size: int, repeats: int, times: int, bfloat16: bool) -> list[Row]:
    """One network at one size on every stack: rows under :data:`STEPS` or :data:`FEEDFORWARD`.

    Parameters
    ----------
    work : str
        ``step_of`` or ``pass_of``.
    size : int
        Side of the square picture, pixels.
    repeats : int
        Rounds, with one process per stack in each.
    times : int
        Timed steps or passes per process.
    bfloat16 : bool
        Whether to measure the stacks in bfloat16 too.
    """
    names = [
        name
        for name, stack in STACKS.items()
        if engines.installed(stack.engine or "torch") and (stack.precision == "float32" or bfloat16)
    ]
    rounds = [
        {name: fresh_process.call(timed, work, times, network, size, name) for name in names} for _ in range(repeats)
    ]

    def ratio(name: str, base: str, index: int) -> str:
        if base not in names:
            return "-"
        return f"{statistics.median(round_[name][index] / round_[base][index] for round_ in rounds):.2f}"

    rows = []
    for name in names:
        seconds, megabytes = (statistics.median(round_[name][index] for round_ in rounds) for index in (0, 1))
        ratios = ratio(name, _BASE, 0), ratio(name, _BASE_BFLOAT16, 0), ratio(name, _BASE, 1)
        shown = f"{seconds:.3f}" if work == "step_of" else f"{1000 * seconds:.1f}"
        rows.append([network, f"{size} x {size}", STACKS[name].title, *ratios, shown, f"{megabytes:.0f}"])
    return rows


def by_size(model: str, sizes: Sequence[int], tiles: Sequence[int], largest: int, times: int) -> Iterator[Row]:
    """Our step in float32, size by size, whole and with every smaller tile size: rows under :data:`SIZES`.

    Raises UserError if a tile is too small for the network.

    Parameters
    ----------
    largest : int
        The largest size that is measured whole, in pixels.
    times : int
        Timed steps per measurement.
    """
    spec = models.load(model).SPEC
    smallest = smallest_tile(spec, [*spec.content_layers, *spec.style_layers])
    if tiles and min(tiles) < smallest:
        raise UserError(f"--tiles: {min(tiles)} pixels are too few for {model}; expected at least {smallest}")
    ours = next(name for name, stack in STACKS.items() if stack.engine and engines.installed(stack.engine))
    reference = None
    if REFERENCE in sizes and largest >= REFERENCE:
        reference = fresh_process.call(timed, "step_of", times, model, REFERENCE, ours)
    for size in sorted(set(sizes)):
        for tile in [None, *(tile for tile in sorted(set(tiles)) if tile < size)]:
            place = [model, f"{size} x {size}", "whole" if tile is None else str(tile)]
            if tile is None and size > largest:
                yield [*place, f"not tried: above {largest}", *"----"]
                continue
            try:
                seconds, megabytes = fresh_process.call(timed, "step_of", times, model, size, ours, tile)
            except fresh_process.Killed:
                yield [*place, "killed by the system", *"----"]
                largest = size if tile is None else largest
                continue
            per_pixel, ratios = seconds / size**2, ["-", "-"]
            if reference:
                ratios = [f"{per_pixel / (reference[0] / REFERENCE**2):.2f}", f"{megabytes / reference[1]:.2f}"]
            yield [*place, *ratios, f"{1e6 * per_pixel:.3f}", f"{seconds:.3f}", f"{megabytes:.0f}"]
