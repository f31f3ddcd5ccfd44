"""The memory that a run needs, estimated from shapes before anything is bound, and the largest tile that fits.

The estimate is the peak resident memory of the whole process. Its terms are the arrays that the modules hold; their
factors are those of the engine, measured with `tests/peak_memory.py`.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.spec import ModelSpec
from styletransfer.config import OptimizerSettings
from styletransfer.engines.base import MemoryFactors
from styletransfer.losses import total_variation
from styletransfer.losses.tiling import Segment, segments, smallest_tile
from styletransfer.optimization import optimizers
from styletransfer.pictures import images
from styletransfer.session.picture_sizes import Scale
from styletransfer.support.byte_sizes import parse_size
from styletransfer.support.errors import UserError

_STEP = 16  # pixels between the tiles that are tried
_RESERVE = 1 / 16  # share of the free memory that is left to the rest of the machine
_FLOAT = 4  # bytes
_AGAIN = 1.45  # time of a segment with two forward passes, relative to one


@dataclass(frozen=True, kw_only=True)
class Workload(Scale):
    """A scale, and what the memory and the time of its steps depend on.

    Attributes
    ----------
    spec : ModelSpec
    style_layers, content_layers : tuple of str
        The tapped layers; empty for a group of weight 0.
    optimizer : OptimizerSettings
    tv : str
        The kind of total variation; none if its weight is 0.
    factors : MemoryFactors
        Of the engine and the precision.
    tile : int, or None
        The longest side of a tile in pixels; None: no tiles.
    regions : int
        With styles of their own; 0 where all of the image has one style.
    start : callable, or None
        The bytes that making the initial image takes, besides those of any process, of a height and a width; None: few.
    steps : int
        The largest number of steps.
    memory : int, or None
        The estimated peak memory of the process in bytes; None on a GPU, or before it is planned.
    """

    spec: ModelSpec
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    optimizer: OptimizerSettings
    tv: str
    factors: MemoryFactors
    tile: int | None = None
    regions: int = 0
    start: Callable[[int, int], int] | None = None
    steps: int = 0
    memory: int | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """All tapped layers, each once."""
        return tuple(dict.fromkeys([*self.style_layers, *self.content_layers]))

    @property
    def segments(self) -> list[Segment]:
        """The segments of the network with their tiles."""
        return segments(self.spec, self.layers, self.height, self.width, self.tile)

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

    def resized(self, long_edge: int) -> Workload:
        """The run with an image of that long edge; style pictures as large as the image are resized too."""
        size = images.fit(self.height, self.width, long_edge)
        styles = tuple(
            images.fit(*style, long_edge) if max(style) == max(self.height, self.width) else style
            for style in self.styles
        )
        return dataclasses.replace(self, height=size[0], width=size[1], styles=styles)


def limit(asked: str | None, root: Path = Path("/")) -> int:
    """The number of bytes that a run may use in total.

    Raises ValueError if `asked` is not a size.

    Parameters
    ----------
    asked : str, or None
        The config key `memory`, such as ``8GB``. By default, what this process already holds plus what is free, on the
        machine and in every control group of this process, less a sixteenth of that for the rest of the machine. If
        none of this can be read, as on macOS, half of the machine's memory.
    root : Path
        The folder that contains ``proc`` and ``sys``.
    """
    if asked is not None:
        return parse_size(asked)
    free = [*_free_in_machine(root), *_free_in_groups(root)]
    if not free:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return _held(root) + int(max(0, min(free)) * (1 - _RESERVE))


def predict(run: Workload) -> int:
    """Estimate the peak resident memory of the process of a run, in bytes.

    Raises ValueError if the run's tile is smaller than :func:`~styletransfer.losses.tiling.smallest_tile`.
    """
    factors, image = run.factors, 3 * run.height * run.width
    weights = sum(math.prod(shape) for shape in run.spec.parameters.values())
    styles = sum(3 * height * width for height, width in run.styles if run.style_layers)
    targets = sum(_values(run.spec, layer, run.height, run.width) for layer in run.content_layers)
    optimizer = optimizers.memory(run.optimizer)
    images_held = factors.images + (0.0 if run.tv == "none" else total_variation.KINDS[run.tv].held)
    steps, saved = images_held + optimizer.steps, images_held + optimizer.saved
    written = factors.images + factors.images_written + optimizer.written
    masks = run.regions * run.height * run.width
    always = factors.weights * weights + factors.styles * styles + targets + factors.masks * masks
    starting = 0.0 if run.start is None else run.start(run.height, run.width) / _FLOAT
    finding_targets = factors.images_entered * image + _finding_targets(run)
    by_segment = _segment_values(run, run.layers, run.height, run.width)
    seeing = _optimizing(run, by_segment)
    optimizing = max(steps, written) * image + seeing
    saving = saved * image + (seeing if len(by_segment) == 1 else 0.0)
    return int(factors.fixed + factors.gaps * _FLOAT * (always + max(starting, finding_targets, optimizing, saving)))


def for_pictures(peak: int, factors: MemoryFactors) -> int:
    """Subtract the memory of an idle process from a peak: what is left for pictures and networks."""
    return peak - factors.fixed


def largest_tile(run: Workload, limit: int) -> int | None:
    """The largest tile with which a run stays within `limit` bytes; None if it fits without tiles.

    It is found by bisection, in steps of 16 pixels from the smallest that the network allows. The tile of `run` is
    ignored.

    Raises UserError if not even the smallest tile fits.
    """

    def needed(tile: int | None) -> int:
        return predict(dataclasses.replace(run, tile=tile))

    if needed(None) <= limit:
        return None
    smallest = smallest_tile(run.spec, run.layers)
    if needed(smallest) > limit:
        raise UserError(_too_large(run, min(needed(None), needed(smallest)), limit))
    sides = [run.height, run.width, *(side for style in run.styles for side in style if run.style_layers)]
    low, high = 0, -(-(max(sides) - smallest) // _STEP)  # in steps: the first fits, the last means no tile
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(smallest + middle * _STEP) <= limit else (low, middle)
    return smallest + low * _STEP


def _too_large(run: Workload, needed: int, limit: int) -> str:
    """The message for a run that does not fit: what it needs, what is available, and what would fit."""
    what = (
        f"{run.width} x {run.height} pixels with {run.spec.name} and {run.optimizer.name} need at least "
        f"{math.ceil(needed / 1e6):,} MB of memory, and {int(limit / 1e6):,} MB may be used"
    )
    size = _largest_size(run, limit)
    return f"{what}; " + ("no smaller picture fits either" if size is None else f"expected size: {size} or less")


def _largest_size(run: Workload, limit: int) -> int | None:
    """The longest edge of an image with which the run would fit, found by bisection."""

    tiles = (None, smallest_tile(run.spec, run.layers))

    def fits(edge: int) -> bool:
        smaller = run.resized(edge)
        return any(predict(dataclasses.replace(smaller, tile=tile)) <= limit for tile in tiles)

    least = run.spec.smallest_side(run.spec.deepest(run.layers))
    short, long = sorted((run.height, run.width))
    low, high = -(-least * long // short), long
    if low >= high or not fits(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@dataclass(frozen=True)
class _SegmentValues:
    """The numbers of values of a segment: of the layers in its window, of its input and of its output."""

    window: int  # of the input, in its window
    style: int
    content: int
    all_layers: int
    largest_layer: int
    given: int  # 0 for the image, which is counted elsewhere
    cut: int
    whole: bool


def _segment_values(run: Workload, layers: Iterable[str], height: int, width: int) -> list[_SegmentValues]:
    """Count the values of all segments, for a picture of that size with `layers` tapped."""
    return [_values_of(run, segment) for segment in segments(run.spec, layers, height, width, run.tile)]


def _values_of(run: Workload, segment: Segment) -> _SegmentValues:
    names = segment.spec.layer_names
    below = names[: names.index(segment.spec.deepest(segment.outputs)) + 1]
    tiling = segment.tiling
    values = {layer: _values(segment.spec, layer, tiling.height, tiling.width) for layer in below}
    channels, height, width = segment.shape
    return _SegmentValues(
        channels * tiling.height * tiling.width,
        sum(values[layer] for layer in segment.layers if layer in run.style_layers),
        sum(values[layer] for layer in segment.layers if layer in run.content_layers),
        sum(values.values()),
        max(values.values()),
        math.prod(segment.shape) if segment.after else 0,
        _values(segment.spec, segment.cut, height, width) if segment.cut else 0,
        segment.whole,
    )


def _values(spec: ModelSpec, layer: str, height: int, width: int) -> int:
    return math.prod(spec.output_shape(layer, height, width))


def _finding_targets(run: Workload) -> float:
    """The largest number of values held during forward passes of the content picture or a style picture."""
    pictures = [(run.content_layers, (run.height, run.width)), *((run.style_layers, size) for size in run.styles)]
    return max((_seeing(run, _segment_values(run, layers, *size)) for layers, size in pictures if layers), default=0.0)


def _seeing(run: Workload, by_segment: list[_SegmentValues]) -> float:
    """The values held during forward passes: of one segment at a time, and the outputs of all segments."""
    return max(_forward(run.factors, values) for values in by_segment) + sum(values.cut for values in by_segment)


def _forward(factors: MemoryFactors, values: _SegmentValues) -> float:
    return factors.tapped * (values.style + values.content) + factors.largest_forward * values.largest_layer


def _optimizing(run: Workload, by_segment: list[_SegmentValues]) -> float:
    """The values held during forward and backward passes."""
    handed_on = sum(values.cut for values in by_segment)
    most = _backward(run, by_segment[-1]) + handed_on if by_segment[-1].whole else 0.0  # bound with gradients
    for values in reversed(by_segment):
        handed_on -= values.cut  # freed
        most = max(most, _backward(run, values) + handed_on + values.given + values.cut)
    return max(most, _seeing(run, by_segment))


def _backward(run: Workload, values: _SegmentValues) -> float:
    """The values held by one segment that is bound with gradients."""
    factors = run.factors
    return (
        (0.0 if values.given else factors.window * values.window)
        + factors.layers * values.all_layers
        + factors.largest * values.largest_layer
        + (factors.style + (factors.guided if run.regions else 0.0)) * values.style
        + factors.content * values.content
    )


def _held(root: Path) -> int:
    """The bytes that this process holds, without cached files that the system could drop."""
    return _kilobytes(root / "proc/self/status", "RssAnon")


def _free_in_machine(root: Path) -> list[int]:
    free = _kilobytes(root / "proc/meminfo", "MemAvailable")
    return [free] if free else []


def _kilobytes(path: Path, key: str) -> int:
    """The bytes of a line such as ``MemAvailable:   123 kB``; 0 if there is none."""
    for line in _read(path).splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return 0


def _free_in_groups(root: Path) -> Iterator[int]:
    """The bytes free in each control group of this process that has a limit, of version 1 or 2, up to the root."""
    limits: tuple[str, ...]
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            folder, limits = root / "sys/fs/cgroup", ("memory.max", "memory.high")
            usage, reclaimable = "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            folder, limits = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes",)
            usage, reclaimable = "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        # In a container the path may be that of the host, while the container sees its own group as the root.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            group = folder.joinpath(*parts[:depth])
            most = [int(text) for name in limits if (text := _read(group / name).strip()).isdigit()]
            used = _read(group / usage).strip()
            if most and used.isdigit():
                yield min(most) - int(used) + _statistic(group / "memory.stat", reclaimable)


def _statistic(path: Path, key: str) -> int:
    """The value of a line such as ``inactive_file 4096``; 0 if there is none."""
    return next((int(line.split()[1]) for line in _read(path).splitlines() if line.split()[:1] == [key]), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
