"""The config is resolved once, into the frozen plan of a run, which everything else reads in its place.

Whatever depends on file headers, the processor or free memory is decided here: sizes and tiles at every scale, the
layers in use, the precision. Nothing is bound and no picture is read.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models import runtime, to_mxnet
from models.spec import ModelSpec
from styletransfer.config import Config, Init, OptimizerSettings, Output, Region
from styletransfer.feedforward.style_file import Style
from styletransfer.losses.objective import GroupedLayer, LossWeights
from styletransfer.network.tiling import Segment, segments, smallest_tile
from styletransfer.session import memory, picture_sizes, style_start
from styletransfer.session.picture_sizes import Sizes
from styletransfer.support.errors import UserError

LOGGER = logging.getLogger(__name__)
_AGAIN = 1.45  # time of a segment with two forward passes, relative to one


@dataclass(frozen=True)
class ScalePlan:
    """One scale of a run.

    Attributes
    ----------
    height, width : int
        Of the image, in pixels.
    styles : tuple of (height, width)
        Of the style pictures, resized for this scale.
    steps : int
        The largest number of steps.
    tile : int, or None
        The longest side of a tile in pixels; None: no tiles.
    segments : list of Segment
        The segments of the network with their tiles.
    memory : int, or None
        The estimated peak memory of the process in bytes; None on a GPU.
    """

    height: int
    width: int
    styles: tuple[tuple[int, int], ...]
    steps: int
    tile: int | None
    segments: list[Segment]
    memory: int | None

    @property
    def work(self) -> float:
        """The pixels that a step computes, repeated ones counted repeatedly; the mean over all segments."""
        shares = [
            segment.tiling.window_pixels / (segment.shape[1] * segment.shape[2]) * (1.0 if segment.whole else _AGAIN)
            for segment in self.segments
        ]
        return self.height * self.width * sum(shares) / len(shares)

    def line(self) -> str:
        """A description in one line."""
        tiling = self.segments[0].tiling
        tiles = "" if tiling.whole else f", {len(tiling)} tiles of {tiling.width} x {tiling.height}"
        needs = "" if self.memory is None else f", {self.memory / 1e9:.2g} GB of memory"
        return f"{self.width} x {self.height} pixels: {self.steps} steps at most{tiles}{needs}"


@dataclass(frozen=True)
class RunPlan:
    """Everything about a run that is known before it starts.

    Attributes
    ----------
    spec : ModelSpec
    pooling : str
        avg or max.
    weights_file : str, or None
        None: the network's own.
    pixels : str
        The space in which the image is optimised.
    precision : str
        Of the network: float32 or bfloat16.
    device : str
    content : str, or None
        The file of the photograph.
    styles : dict of float
        The files of the style pictures in use, with weights that sum to 1.
    regions : tuple of Region
        The parts of the result with styles of their own, which have shares there; none where all of it has one style.
    init : Init
    trained_style : Style, or None
        The style in which the photograph is the start, for `init.kind` style.
    normalization : str
    loss_weights : LossWeights
        A group of weight 0 has no layers.
    tv : str
        The kind of total variation; none if its weight is 0.
    color : str
        Whose colours the result gets: style, keep or match.
    optimizer : OptimizerSettings
    relative_change : float
        A scale ends when the relative change falls below this.
    seed : int
    output : Output
    memory : int, or None
        The memory limit in bytes; None on a GPU.
    scales : tuple of ScalePlan
        The smallest first.
    """

    spec: ModelSpec
    pooling: str
    weights_file: str | None
    pixels: str
    precision: str
    device: str
    content: str | None
    styles: Mapping[str, float]
    regions: tuple[Region, ...]
    init: Init
    trained_style: Style | None
    normalization: str
    loss_weights: LossWeights
    tv: str
    color: str
    optimizer: OptimizerSettings
    relative_change: float
    seed: int
    output: Output
    memory: int | None
    scales: tuple[ScalePlan, ...]

    @property
    def content_layers(self) -> list[str]:
        """The content layers in use."""
        return list(self.loss_weights.content_layers)

    @property
    def style_layers(self) -> list[str]:
        """The style layers in use."""
        return list(self.loss_weights.style_layers)

    @property
    def grouped_layers(self) -> list[GroupedLayer]:
        """The layers that have a loss, in the order of the objective's."""
        return [
            *(("content", layer) for layer in self.content_layers),
            *(("style", layer) for layer in self.style_layers),
        ]

    @property
    def begun(self) -> Begun:
        """What this run keeps when it is resumed."""
        return Begun(self.precision, tuple(scale.tile for scale in self.scales))


@dataclass(frozen=True)
class Begun:
    """What a resumed run keeps, whatever would be chosen now, so that its sums are rounded in the same way.

    Attributes
    ----------
    precision : str
    tiles : tuple of int or None
        At every scale.
    """

    precision: str
    tiles: tuple[int | None, ...]

    def state(self) -> dict[str, NDArray]:
        """As arrays for a checkpoint."""
        return {"tiles": np.array([tile or 0 for tile in self.tiles]), "precision": np.array(self.precision)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Begun:
        """From a saved state."""
        return cls(str(state["precision"]), tuple(int(tile) or None for tile in state["tiles"]))


def resolve(config: Config, sizes: Sequence[Sizes] | None = None, begun: Begun | None = None) -> RunPlan:
    """Plan a run; with `tile: auto`, each scale gets the largest tile that fits.

    Otherwise, a run that needs more memory than the limit is rejected if the config sets the limit, and logged as a
    warning if the limit is what is free at the moment: the user may know better.

    Parameters
    ----------
    config : Config
    sizes : sequence of Sizes, optional
        Of the pictures at every scale; by default, they are read from the files.
    begun : Begun, optional
        For a resumed run; by default, precision and tiles are chosen.

    Raises
    ------
    UserError
        If a picture cannot be used at a size, a tile is too small for the network, the run does not fit into memory,
        the processor does not support the precision, or the style to start with cannot be read.
    """
    sizes = picture_sizes.read_sizes(config) if sizes is None else sizes
    precision = precision_of(config) if begun is None else _precision_begun(config, begun)
    limit = memory.limit(config.memory) if config.device == "cpu" else None
    style = style_start.read(config.init)
    runs = _memory_runs(config, sizes, precision, style)
    if begun is None:
        # The largest scale first, so that it is the one reported if it does not fit.
        runs = [_with_tile_of(config, run, limit) for run in reversed(runs)][::-1]
    else:
        runs = [dataclasses.replace(run, tile=tile) for run, tile in zip(runs, begun.tiles)]
    if limit is not None:
        _hold_to(limit, config, max(runs, key=memory.predict), begun=begun is not None)
    shares = config.used_styles
    total = sum(shares.values())
    return RunPlan(
        spec=config.spec,
        pooling=config.pooling or config.spec.pooling,
        weights_file=config.weights,
        pixels=config.pixels,
        precision=precision,
        device=config.device,
        content=config.content.image,
        styles={name: share / total for name, share in shares.items()},
        regions=tuple(config.used_regions),
        init=config.init,
        trained_style=style,
        normalization=config.normalization,
        loss_weights=LossWeights(
            config.content.weight,
            config.used_content_layers,
            config.style.weight,
            config.used_style_layers,
            config.tv.weight,
        ),
        tv=_tv_of(config),
        color=config.color,
        optimizer=config.optimizer,
        relative_change=config.stop.relative_change,
        seed=config.seed,
        output=config.output,
        memory=limit,
        scales=tuple(
            ScalePlan(
                run.height,
                run.width,
                run.styles,
                steps,
                run.tile,
                segments(run.spec, run.layers, run.height, run.width, run.tile),
                None if limit is None else memory.predict(run),
            )
            for run, steps in zip(runs, config.steps[-len(sizes) :])
        ),
    )


def peak_memory(config: Config, smallest: bool = False) -> int | None:
    """The bytes that a run needs on any machine: without tiles, or with those that its own keys request.

    None on a GPU, and for invalid input, which the run itself will report. Does not need MXNet.

    Parameters
    ----------
    config : Config
    smallest : bool
        Whether to use the smallest tile that the network allows instead.
    """
    if config.device != "cpu":
        return None
    limit = memory.limit(config.memory) if config.memory else None
    try:
        style = style_start.read(config.init)
        runs = _memory_runs(config, picture_sizes.read_sizes(config), precision_of(config), style)
        if smallest:
            runs = [dataclasses.replace(run, tile=smallest_tile(run.spec, run.layers)) for run in runs]
        else:
            runs = [_with_tile_of(config, run, limit) for run in runs]
    except UserError:
        return None
    return max(map(memory.predict, runs))


class NetworkSettings(Protocol):
    """The keys of a config about its network on which the precision depends."""

    @property
    def precision(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def pooling(self) -> str | None: ...

    @property
    def spec(self) -> ModelSpec: ...


def precision_of(config: NetworkSettings) -> str:
    """The precision of the network of a config: float32 or bfloat16.

    Raises
    ------
    UserError
        If bfloat16 is requested but MXNet does not support it here.
    """
    pooling = config.pooling or config.spec.pooling
    if to_mxnet.has_bfloat16(config.spec, pooling):
        return chosen_precision(config.precision, config.device)
    if config.precision == "bfloat16":
        raise UserError(
            f"precision: bfloat16 is not available for {config.model} with pooling: {pooling}; expected auto or float32"
        )
    return "float32"


def chosen_precision(precision: str, device: str) -> str:
    """Float32 or bfloat16; for `auto`, the faster one.

    Raises
    ------
    UserError
        If bfloat16 is requested but MXNet does not support it here.
    """
    if precision == "auto":
        return "bfloat16" if device == "cpu" and runtime.is_faster_in_bfloat16() else "float32"
    if precision == "bfloat16" and not (device == "cpu" and runtime.has_bfloat16()):
        raise UserError("precision: bfloat16 needs device: cpu and a processor with AVX-512; expected auto or float32")
    return precision


def _precision_begun(config: Config, begun: Begun) -> str:
    """The original precision of a resumed run, whatever would be chosen on this processor."""
    try:
        return precision_of(config.model_copy(update={"precision": begun.precision}))
    except UserError:
        raise UserError(
            f"--resume: the run was started in {begun.precision}, which this processor does not support; resume it "
            "where it was started, or start over with --force"
        ) from None


def _tv_of(config: Config) -> str:
    """The kind of total variation in use."""
    return config.tv.kind if config.tv.weight > 0 else "none"


def _memory_runs(config: Config, sizes: Sequence[Sizes], precision: str, style: Style | None) -> list[memory.Run]:
    """What the memory of every scale depends on, without tiles; at the first, the photograph gets a trained style."""
    return [
        memory.Run(
            config.spec,
            tuple(config.used_style_layers),
            tuple(config.used_content_layers),
            each.height,
            each.width,
            each.styles,
            config.optimizer,
            _tv_of(config),
            precision,
            regions=len(config.used_regions),
            transformer=style.spec if style and number == 0 else None,
        )
        for number, each in enumerate(sizes)
    ]


def _with_tile_of(config: Config, run: memory.Run, limit: int | None) -> memory.Run:
    """The same with the configured tile or, if tiles are automatic, with the largest that fits within `limit` bytes."""
    if isinstance(config.tile, int):
        smallest = smallest_tile(run.spec, run.layers)
        if config.tile < smallest:
            raise UserError(f"tile: {config.tile} pixels are too few for {config.model}: expected at least {smallest}")
        return dataclasses.replace(run, tile=config.tile)
    if config.tile == "auto" and limit is not None:
        return dataclasses.replace(run, tile=memory.largest_tile(run, limit))
    return run


def _hold_to(limit: int, config: Config, run: memory.Run, begun: bool) -> None:
    """Report a run that needs more than `limit` bytes: a warning, or an error if the config sets the limit.

    This is possible only if the user has set the tile or switched tiles off, or if the run keeps the tile it has begun
    with.
    """
    needed = memory.predict(run)
    if needed <= limit:
        return
    tile = f"--resume: tile: {run.tile or 'off'}, as when it was started" if begun else f"tile: {config.tile}"
    what = (
        f"{tile}: {run.width} x {run.height} pixels with {run.spec.name} and {run.optimizer.name} need "
        f"{math.ceil(needed / 1e6):,} MB of memory, and {int(limit / 1e6):,} MB"
    )
    if config.memory is None:
        less = "" if begun else "; tile: auto, or a smaller size, would need less"
        LOGGER.warning("%s are free%s", what, less)
        return
    if begun:
        raise UserError(f"{what} may be used; expected more memory than {config.memory}, or --force to start over")
    memory.largest_tile(run, limit)  # raises an error with a suitable size, if no tile would fit
    raise UserError(f"{what} may be used; expected tile: auto, a smaller size, or more memory than {config.memory}")
