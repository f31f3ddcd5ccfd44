"""The plan of a run, resolved once from the config and read by everything else in its place.

All that depends on file headers, the processor or free memory is decided here: sizes and tiles at every scale, and the
precision. Nothing is bound and no picture is read.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from styletransfer.config import Config, StyleTraining
from styletransfer.config.values import names_gpu
from styletransfer.engines import Choice, choose, installed
from styletransfer.engines.choice import NAMES
from styletransfer.feedforward import instant, stylize
from styletransfer.feedforward.style_file import Style
from styletransfer.losses.objective import GroupedLayer, LossWeights
from styletransfer.losses.tiling import smallest_tile
from styletransfer.session import memory, picture_sizes, style_start
from styletransfer.session.memory import Workload
from styletransfer.session.picture_sizes import Scale
from styletransfer.session.resume_state import ResumeState
from styletransfer.support.errors import UserError

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunPlan:
    """All facts about a run that are known before it starts.

    Attributes
    ----------
    config : Config
    choice : Choice
        The engine, the device and the precision of the network.
    trained_style : Style, or None
        The style in which the photograph is the start, for `init.kind` style.
    memory : int, or None
        The memory limit in bytes; on a GPU, its free memory; None if unknown.
    scales : tuple of Workload
        The smallest first.
    """

    config: Config
    choice: Choice
    trained_style: Style | None
    memory: int | None
    scales: tuple[Workload, ...]

    @property
    def styles(self) -> dict[str, float]:
        """The files of the style pictures in use, with weights that sum to 1."""
        shares = self.config.used_styles
        total = sum(shares.values())
        return {name: share / total for name, share in shares.items()}

    @property
    def pooling(self) -> str:
        """The pooling of the network: avg or max."""
        return self.config.pooling or self.config.spec.pooling

    @property
    def loss_weights(self) -> LossWeights:
        return loss_weights_of(self.config)

    @property
    def grouped_layers(self) -> list[GroupedLayer]:
        """The layers that have a loss, in the order of the objective's."""
        groups = {"content": self.config.used_content_layers, "style": self.config.used_style_layers}
        return [(group, layer) for group, layers in groups.items() for layer in layers]

    @property
    def tiles(self) -> tuple[int | None, ...]:
        """The longest side of a tile in pixels at every scale; None: no tiles."""
        return tuple(scale.tile for scale in self.scales)


def loss_weights_of(config: Config | StyleTraining) -> LossWeights:
    """The weights of the losses in a config; a group of weight 0 has no layers."""
    content, style = config.used_content_layers, config.used_style_layers
    return LossWeights(config.content.weight, content, config.style.weight, style, config.tv.weight)


def resolve(config: Config, sizes: Sequence[Scale] | None = None, begun: ResumeState | None = None) -> RunPlan:
    """Plan a run; with `tile: auto`, each scale gets the largest tile that fits.

    Otherwise, a run that needs more memory than the limit is rejected if the config sets the limit, and logged as a
    warning if the limit is what is free at the moment: the user may know better.

    Raises UserError if a picture cannot be used at a size, a tile is too small for the network, the run does not fit
    into memory, the engine or precision is not available, or the style to start with cannot be read.

    Parameters
    ----------
    config : Config
    sizes : sequence of Scale, optional
        Of the pictures; by default, they are read from the files.
    begun : ResumeState, optional
        Of a run that is resumed, which keeps its engine, precision and tiles; by default, they are chosen.
    """
    sizes = picture_sizes.read_sizes(config) if sizes is None else sizes
    if begun is None:
        choice = choose(config.engine, config.device, config.precision)
    else:
        choice = choose_again(begun, config.device)
    limit = memory.limit(config.memory) if choice.device == "cpu" else choice.load().free_memory()
    style = style_start.read(config.init)
    scales = _workloads(config, sizes, choice, style)
    if begun is None:
        # The largest scale first, so that it is the one reported if it does not fit.
        scales = [_tiled(scale, config.tile, limit) for scale in reversed(scales)][::-1]
    else:
        scales = [dataclasses.replace(scale, tile=tile) for scale, tile in zip(scales, begun.tiles)]
    if limit is not None:
        scales = [dataclasses.replace(scale, memory=memory.predict(scale)) for scale in scales]
        largest = max(scales, key=lambda scale: scale.memory or 0)
        _check_memory(largest, limit, config.memory, "" if begun else str(config.tile))
    return RunPlan(config, choice, style, limit, tuple(scales))


def peak_memory(config: Config, smallest: bool = False) -> int | None:
    """The bytes that a run needs on any machine: without tiles, or with those that its own keys request.

    None on a GPU, and for invalid input, which the run itself will report.

    Parameters
    ----------
    config : Config
    smallest : bool
        Whether to use the smallest tile that the network allows instead.
    """
    if names_gpu(config.device):
        return None
    limit = memory.limit(config.memory) if config.memory else None
    try:
        if any(map(installed, NAMES)):
            choice = choose(config.engine, config.device, config.precision)
        else:  # as in the page's environment
            choice = Choice("mxnet", "cpu", "float32", "no engine is installed here")
        if choice.device != "cpu":
            return None
        style = style_start.read(config.init)
        scales = _workloads(config, picture_sizes.read_sizes(config), choice, style)
        if smallest:
            scales = [dataclasses.replace(scale, tile=smallest_tile(scale.spec, scale.layers)) for scale in scales]
        else:
            scales = [_tiled(scale, config.tile, limit) for scale in scales]
    except UserError:
        return None
    return max(map(memory.predict, scales))


def choose_again(begun: ResumeState, device: str) -> Choice:
    """Choose the engine and the precision with which a resumed run began.

    Raises UserError if they are not available here.
    """
    try:
        return choose(begun.engine, device, begun.precision)
    except UserError as error:
        raise UserError(
            f"--resume: the run was started with {begun.engine} in {begun.precision}, which is not available here "
            f"({error}); resume it where it was started, or start over with --force"
        ) from None


def _workloads(config: Config, sizes: Sequence[Scale], choice: Choice, style: Style | None) -> list[Workload]:
    """All scales, without tiles; at the first, the initial image is made."""
    return [
        Workload(
            **vars(size),
            spec=config.spec,
            style_layers=tuple(config.used_style_layers),
            content_layers=tuple(config.used_content_layers),
            optimizer=config.optimizer,
            tv=config.tv.used_kind,
            factors=choice.memory_factors,
            regions=len(config.used_regions),
            start=_memory_of_start(config, style) if number == 0 else None,
            steps=steps,
        )
        for number, (size, steps) in enumerate(zip(sizes, config.steps[-len(sizes) :]))
    ]


def _memory_of_start(config: Config, style: Style | None) -> Callable[[int, int], int] | None:
    """The memory that the initial image takes, of its height and width; None for little."""
    if style is not None:
        return functools.partial(stylize.least_memory, style.spec)
    return instant.least_memory if config.init.kind == "instant" and config.used_styles else None


def _tiled(scale: Workload, asked: str | int, limit: int | None) -> Workload:
    """Set the tile that was asked for or, if tiles are automatic, the largest that fits within `limit` bytes."""
    if isinstance(asked, int):
        smallest = smallest_tile(scale.spec, scale.layers)
        if asked < smallest:
            raise UserError(f"tile: {asked} pixels are too few for {scale.spec.name}: expected at least {smallest}")
        return dataclasses.replace(scale, tile=asked)
    if asked == "auto" and limit is not None:
        return dataclasses.replace(scale, tile=memory.largest_tile(scale, limit))
    return scale


def _check_memory(scale: Workload, limit: int, asked: str | None, tile: str) -> None:
    """Report a scale that needs more than `limit` bytes: a warning, or an error if the config sets the limit.

    This is possible only if the user has set the tile or switched tiles off, or if a run is resumed that keeps the tile
    with which it began.

    Parameters
    ----------
    scale : Workload
    limit : int
    asked : str, or None
        The limit as the config sets it.
    tile : str
        As the config sets it; empty for a resumed run.
    """
    needed = memory.predict(scale)
    if needed <= limit:
        return
    where = f"tile: {tile}" if tile else f"--resume: tile: {scale.tile or 'off'}, as when it was started"
    what = (
        f"{where}: {scale.width} x {scale.height} pixels with {scale.spec.name} and {scale.optimizer.name} need "
        f"{math.ceil(needed / 1e6):,} MB of memory, and {int(limit / 1e6):,} MB"
    )
    if asked is None:
        LOGGER.warning("%s are free%s", what, "; tile: auto, or a smaller size, would need less" if tile else "")
        return
    if not tile:
        raise UserError(f"{what} may be used; expected more memory than {asked}, or --force to start over")
    memory.largest_tile(scale, limit)  # raises an error with a suitable size, if no tile would fit
    raise UserError(f"{what} may be used; expected tile: auto, a smaller size, or more memory than {asked}")
