"""What a run is going to be, told before anything is bound: sizes, steps, tiles, memory; and how long it may take."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.runtime import load_mxnet
from styletransfer import memory, pipeline
from styletransfer.config import Config
from styletransfer.errors import UserError
from styletransfer.pipeline import Pictures
from styletransfer.tiling import Tiling, cover
from styletransfer.weights import Parameters

_TRIAL_EDGE = 192  # long edge of the image with which a step is timed, pixels


@dataclass(frozen=True)
class Stage:
    """One scale of a run. Memory is the predicted peak of the process, bytes; None on a GPU."""

    height: int
    width: int
    steps: int
    tile: int | None
    tiling: Tiling
    memory: int | None

    @property
    def work(self) -> float:
        """The pixels that a step computes: twice forward and once back where there are tiles, else once each."""
        seen = self.tiling.height * self.tiling.width * len(self.tiling.tiles)
        return seen * (1.0 if self.tiling.whole else 1.5)

    def line(self) -> str:
        """In words."""
        tiles = (
            ""
            if self.tiling.whole
            else f", {len(self.tiling.tiles)} tiles of {self.tiling.width} x {self.tiling.height}"
        )
        needs = "" if self.memory is None else f", {self.memory / 1e9:.2g} GB of memory"
        return f"{self.width} x {self.height} pixels: {self.steps} steps at most{tiles}{needs}"


def stages(config: Config, levels: Sequence[Pictures]) -> list[Stage]:
    """The scales of a run, each with the largest tile that fits where the config leaves it open.

    Raises
    ------
    UserError
        If a tile is too small for the network, or not even the smallest fits into memory.
    """
    on_processor = config.device == "cpu"
    limit = memory.limit(config.memory) if on_processor else None
    found = []
    for pictures, steps in zip(levels, config.steps[-len(levels) :]):
        run = _memory_run(config, pictures, limit)
        needs = memory.predict(run) if on_processor else None
        tiling = cover(config.spec, run.layers, pictures.height, pictures.width, run.tile)
        found.append(Stage(pictures.height, pictures.width, steps, run.tile, tiling, needs))
    return found


def peak_memory(config: Config) -> int | None:
    """The bytes that a run needs wherever it is made: whole, or with the tile that its own keys ask for.

    None on a GPU, and for a run whose input is at fault, which will say so itself. Needs no MXNet.
    """
    if config.device != "cpu":
        return None
    limit = memory.limit(config.memory) if config.memory else None
    try:
        runs = [_memory_run(config, pictures, limit) for pictures in pipeline.read_pictures(config)]
    except UserError:
        return None
    return max(map(memory.predict, runs))


def _memory_run(config: Config, pictures: Pictures, limit: int | None) -> memory.Run:
    """What the memory of a scale depends on, with the tile that is asked for, or fits within `limit` bytes, if any."""
    layers = pipeline.used_layers(config)
    run = memory.Run(
        config.spec,
        tuple(layers["style"]),
        tuple(layers["content"]),
        pictures.height,
        pictures.width,
        tuple((style.shape[0], style.shape[1]) for _, style in pictures.styles),
        config.optimizer,
        config.tv.kind if config.tv.weight > 0 else "none",
        pipeline.precision_of(config),
    )
    if isinstance(config.tile, int):
        return dataclasses.replace(run, tile=pipeline.checked_tile(config, config.tile))
    if config.tile == "auto" and limit is not None:
        return dataclasses.replace(run, tile=memory.largest_tile(run, limit))
    return run


def lines(config: Config, levels: Sequence[Pictures], parameters: Parameters) -> Iterator[str]:
    """The plan in words, with the time that a small trial leads to expect.

    Raises
    ------
    UserError
        As :func:`stages`.
    """
    planned = stages(config, levels)
    yield f"{config.spec.title}, {pipeline.precision_of(config)}, {config.optimizer.name}, into {config.output.folder}"
    for stage in planned:
        yield stage.line()
    peaks = [stage.memory for stage in planned if stage.memory is not None]
    if peaks:
        limit = memory.limit(config.memory)
        yield f"memory: {max(peaks) / 1e9:.2g} GB at most, of {limit / 1e9:.2g} GB that may be used"
    pixel = _seconds_of_a_pixel(config, parameters)
    yield f"time: about {_duration(pixel * sum(stage.steps * stage.work for stage in planned))}, from a small trial"


def _seconds_of_a_pixel(config: Config, parameters: Parameters) -> float:
    """The time of a step with a small image, over its pixels."""
    trial = config.model_copy(update={"scales": [_TRIAL_EDGE], "size": _TRIAL_EDGE, "shape": None})
    (pictures,) = pipeline.read_pictures(trial)
    prepared = pipeline.prepare(trial, pictures, parameters)
    prepared.objective(prepared.image)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        prepared.objective(prepared.image)
        load_mxnet().nd.waitall()
        times.append(time.perf_counter() - started)
    return min(times) / (pictures.height * pictures.width)


def _duration(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
