"""What a run is going to be, told before anything is bound: sizes, steps, tiles, memory; and how long it may take."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.runtime import load_mxnet
from styletransfer.config import Config
from styletransfer.network.tiling import Section, sections
from styletransfer.run import memory, pipeline
from styletransfer.run.pipeline import Sizes
from styletransfer.support.errors import UserError
from styletransfer.weights import Parameters

LOGGER = logging.getLogger(__name__)
_AGAIN = 1.45  # the time of a section that goes forward twice, over that of one that does so once
_TRIAL_EDGE = 192  # either side of the pictures with which a step is timed, pixels


@dataclass(frozen=True)
class Stage:
    """One scale of a run. Memory is the predicted peak of the process, bytes; None on a GPU."""

    height: int
    width: int
    steps: int
    tile: int | None
    sections: list[Section]
    memory: int | None

    @property
    def work(self) -> float:
        """The pixels that a step computes, what is seen more than once counted as often; of all sections the mean."""
        shares = [
            section.tiling.window_pixels / (section.shape[1] * section.shape[2]) * (1.0 if section.whole else _AGAIN)
            for section in self.sections
        ]
        return self.height * self.width * sum(shares) / len(shares)

    def line(self) -> str:
        """In words."""
        tiling = self.sections[0].tiling
        tiles = "" if tiling.whole else f", {len(tiling)} tiles of {tiling.width} x {tiling.height}"
        needs = "" if self.memory is None else f", {self.memory / 1e9:.2g} GB of memory"
        return f"{self.width} x {self.height} pixels: {self.steps} steps at most{tiles}{needs}"


def stages(config: Config, levels: Sequence[Sizes], tiles: Sequence[int | None] | None = None) -> list[Stage]:
    """The scales of a run, each with the largest tile that fits where the config leaves it open.

    Where it does not, a run that would need more memory than may be used is refused if the config has the limit too;
    if that is what is free just now, the log has a warning: the user may know better.

    Parameters
    ----------
    config : Config
    levels : sequence of Sizes
        From :func:`~styletransfer.run.pipeline.read_sizes`.
    tiles : sequence of int or None, optional
        For every scale the tile with which a run began that is gone on with. Without, they are chosen.

    Raises
    ------
    UserError
        If a tile is too small for the network, or the run does not fit into memory.
    """
    limit = memory.limit(config.memory) if config.device == "cpu" else None
    if tiles is None:
        # Of the largest it is said first where it does not fit.
        runs = [_memory_run(config, sizes, limit) for sizes in reversed(levels)][::-1]
    else:
        runs = [_with_tile(config, sizes, tile) for sizes, tile in zip(levels, tiles)]
    if limit is not None:
        _hold_to(limit, config, max(runs, key=memory.predict), begun=tiles is not None)
    return [
        Stage(
            run.height,
            run.width,
            steps,
            run.tile,
            sections(config.spec, run.layers, run.height, run.width, run.tile),
            None if limit is None else memory.predict(run),
        )
        for run, steps in zip(runs, config.steps[-len(levels) :])
    ]


def _hold_to(limit: int, config: Config, run: memory.Run, begun: bool) -> None:
    """Say it where a run needs more than `limit` bytes.

    It only can with a tile of the user's own, or none, or with the tile with which it has `begun`.
    """
    needed = memory.predict(run)
    if needed <= limit:
        return
    tile = f"--resume: tile: {run.tile or 'off'}, as it began" if begun else f"tile: {config.tile}"
    what = (
        f"{tile}: {run.width} x {run.height} pixels with {run.spec.name} and {run.optimizer.name} need "
        f"{math.ceil(needed / 1e6):,} MB of memory, and {int(limit / 1e6):,} MB"
    )
    if config.memory is None:
        less = "" if begun else "; tile: auto, or a smaller size, would need less"
        LOGGER.warning("%s are free%s", what, less)
        return
    if begun:
        raise UserError(f"{what} may be used; expected more memory than {config.memory}, or --force to start anew")
    memory.largest_tile(run, limit)  # which is what would help, where there is one
    raise UserError(f"{what} may be used; expected tile: auto, a smaller size, or more memory than {config.memory}")


def peak_memory(config: Config) -> int | None:
    """The bytes that a run needs wherever it is made: whole, or with the tile that its own keys ask for.

    None on a GPU, and for a run whose input is at fault, which will say so itself. Needs no MXNet.
    """
    if config.device != "cpu":
        return None
    limit = memory.limit(config.memory) if config.memory else None
    try:
        runs = [_memory_run(config, sizes, limit) for sizes in pipeline.read_sizes(config)]
    except UserError:
        return None
    return max(map(memory.predict, runs))


def _memory_run(config: Config, sizes: Sizes, limit: int | None) -> memory.Run:
    """That of a scale with the tile that is asked for, or fits within `limit` bytes, if any."""
    run = _with_tile(config, sizes, None)
    if isinstance(config.tile, int):
        return dataclasses.replace(run, tile=pipeline.checked_tile(config, config.tile))
    if config.tile == "auto" and limit is not None:
        return dataclasses.replace(run, tile=memory.largest_tile(run, limit))
    return run


def _with_tile(config: Config, sizes: Sizes, tile: int | None) -> memory.Run:
    """What the memory of a scale depends on."""
    layers = pipeline.used_layers(config)
    return memory.Run(
        config.spec,
        tuple(layers["style"]),
        tuple(layers["content"]),
        sizes.height,
        sizes.width,
        sizes.styles,
        config.optimizer,
        config.tv.kind if config.tv.weight > 0 else "none",
        pipeline.precision_of(config),
        tile,
    )


def lines(config: Config, parameters: Parameters) -> Iterator[str]:
    """The plan in words, with the time that a small trial leads to expect.

    Raises
    ------
    UserError
        As :func:`stages`, or if a picture cannot be read.
    """
    planned = stages(config, pipeline.read_sizes(config))
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
    style = config.style.model_copy(update={"size": "match"})
    trial = config.model_copy(update={"scales": 1, "shape": (_TRIAL_EDGE, _TRIAL_EDGE), "style": style})
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
