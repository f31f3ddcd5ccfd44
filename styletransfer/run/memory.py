"""How much memory a run takes, told from shapes before anything is bound, and the tile with which it fits.

The prediction is for the process as a whole: the peak of its resident memory. What is counted can be read off the
arrays that the modules hold; how often it is counted was measured with `tests/peak_memory.py`, which measures again,
for MXNet 1.9.1 on x86-64 with AVX-512 (bfloat16 without AMX). Its kernels copy what they work on into layouts of their
own. The number of threads makes no difference.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.spec import ModelSpec
from styletransfer.config import OptimizerSettings
from styletransfer.losses import total_variation
from styletransfer.network.tiling import Section, sections, smallest_tile
from styletransfer.optimization import optimizers
from styletransfer.pictures import images
from styletransfer.support.byte_sizes import parse_size
from styletransfer.support.errors import UserError

_STEP = 16  # pixels between the tiles that are tried
_RESERVE = 1 / 16  # of what is free, left to the rest of the machine
_FLOAT = 4  # bytes

# What a process holds that runs the smallest of pictures: Python, MXNet, its compiled kernels, SciPy, scikit-image.
_FIXED = 275 * 2**20
# Arrays of less than 32 MB come from the C library's heap, which keeps gaps between those that were freed: all cases,
# with and without MALLOC_MMAP_THRESHOLD_=1048576 in the environment, which leaves no gaps.
_GAPS = 1.1

# The following say how many values of 4 bytes are held for each that the shapes tell of.

# A weight: as read, and as bound in the kernels' layout. The cases of vgg19 at 256 pixels.
_WEIGHTS = 2.4
# A value of the image, whatever the optimiser: pictures, image, gradient, temporaries. The cases at 2048 pixels, which
# have few layers ...
_IMAGES = 8.5
# ... and what the kinds of total variation and the optimisers hold, who say so themselves;
# or while the picture is written: it in double precision, and all but the total variation's temporaries.
_IMAGES_WRITTEN = 4.0
# A value of the content picture while the targets are found, and of a style picture. The cases with large styles.
_IMAGES_ENTERED, _STYLES = 4.0, 4.0
# Forward alone: a tapped value; and one of the largest layer, as input and output of the next. The same cases.
_TAPPED_SEEN, _LARGEST_LAYER_SEEN = 1.0, 2.3
# A value of the window as the first convolution sees it: 3 channels, padded to the 16 that the kernels take at once.
# All cases together, as the following.
_WINDOW = 9.0
# Training: the outputs of all layers, half of that in bfloat16; and the largest again for the gradients going back, in
# two layouts.
_ALL_LAYERS, _LARGEST_LAYER = {"float32": 1.3, "bfloat16": 0.65}, 3.2
# Training: a style layer's features as tapped and as head gradient, in two layouts, half of that in bfloat16; a content
# layer's differences and gradients. The cases that tap large layers, or none.
_STYLE_LAYER, _CONTENT_LAYER = {"float32": 3.7, "bfloat16": 1.5}, 5.6
# Regions: beyond that, a style layer's masked features and head gradients; and a pixel of each mask, in double
# precision, with its maps in the layers. The cases with regions of vgg_slim.
_GUIDED_STYLE_LAYER, _MASKS = 2.5, 4.5


@dataclass(frozen=True)
class Run:
    """What decides how much memory a run takes, at one of its scales.

    Attributes
    ----------
    spec : ModelSpec
    style_layers, content_layers : tuple of str
        The tapped layers; none for a group whose weight is 0.
    height, width : int
        The image's, pixels.
    styles : tuple of (height, width)
        The style pictures', as they are resized for the run.
    optimizer : OptimizerSettings
    tv : str
        The kind of total variation; none where its weight is 0.
    precision : str
        Of the network: float32 or bfloat16.
    tile : int, or None
        The longest side of a window, pixels; None: the whole image at once.
    regions : int
        With styles of their own; 0 where all of the image has one style.
    """

    spec: ModelSpec
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    height: int
    width: int
    styles: tuple[tuple[int, int], ...]
    optimizer: OptimizerSettings
    tv: str
    precision: str = "float32"
    tile: int | None = None
    regions: int = 0

    @property
    def layers(self) -> tuple[str, ...]:
        """All that are tapped, each once."""
        return tuple(dict.fromkeys([*self.style_layers, *self.content_layers]))

    def resized(self, long_edge: int) -> Run:
        """The run with an image of that long edge; style pictures as large as the image go along, others stay."""
        size = images.fit(self.height, self.width, long_edge)
        styles = tuple(
            images.fit(*style, long_edge) if max(style) == max(self.height, self.width) else style
            for style in self.styles
        )
        return dataclasses.replace(self, height=size[0], width=size[1], styles=styles)


def limit(asked: str | None, root: Path = Path("/")) -> int:
    """The bytes that a run may take in all.

    Parameters
    ----------
    asked : str, or None
        The config key `memory`, such as ``8GB``. Without it, what this process holds already and what is free: in the
        machine, and in every control group that this process is in; less a sixteenth of that, for the rest of the
        machine. Where nothing of this can be read, there is no limit.
    root : Path
        Where the folders ``proc`` and ``sys`` are.

    Raises
    ------
    ValueError
        If `asked` is not a size.
    """
    if asked is not None:
        return parse_size(asked)
    free = [*_free_in_machine(root), *_free_in_groups(root)]
    if not free:
        return sys.maxsize
    return _held(root) + int(max(0, min(free)) * (1 - _RESERVE))


def predict(run: Run) -> int:
    """The peak of the resident memory of a process that makes a run, in bytes.

    Raises
    ------
    ValueError
        If the run's tile is smaller than :func:`~styletransfer.network.tiling.smallest_tile`.
    """
    image = 3 * run.height * run.width
    weights = sum(math.prod(shape) for shape in run.spec.parameters.values())
    styles = sum(3 * height * width for height, width in run.styles if run.style_layers)
    targets = sum(_values(run.spec, layer, run.height, run.width) for layer in run.content_layers)
    optimizer = optimizers.KINDS[run.optimizer.name].memory(run.optimizer)
    images_held = _IMAGES + (0.0 if run.tv == "none" else total_variation.KINDS[run.tv].held)
    steps, saved = images_held + optimizer.steps, images_held + optimizer.saved
    written = _IMAGES + _IMAGES_WRITTEN + optimizer.written
    masks = run.regions * run.height * run.width
    always = _WEIGHTS * weights + _STYLES * styles + targets + _MASKS * masks
    finding_targets = _IMAGES_ENTERED * image + _finding_targets(run)
    parts = _parts(run, run.layers, run.height, run.width)
    seeing = _optimizing(run, parts)
    optimizing = max(steps, written) * image + seeing
    saving = saved * image + (seeing if len(parts) == 1 else 0.0)
    return int(_FIXED + _GAPS * _FLOAT * (always + max(finding_targets, optimizing, saving)))


def largest_tile(run: Run, limit: int) -> int | None:
    """The largest tile with which a run stays within so many bytes; None where it does without tiles.

    Tiles are tried by halving, in steps of 16 pixels from the smallest that the network allows. The run's own is not
    looked at.

    Raises
    ------
    UserError
        If not even the smallest tile fits.
    """

    def needed(tile: int | None) -> int:
        return predict(dataclasses.replace(run, tile=tile))

    if needed(None) <= limit:
        return None
    smallest = smallest_tile(run.spec, run.layers)
    if needed(smallest) > limit:
        raise UserError(_too_large(run, min(needed(None), needed(smallest)), limit))
    sides = [run.height, run.width, *(side for style in run.styles for side in style if run.style_layers)]
    low, high = 0, -(-(max(sides) - smallest) // _STEP)  # steps: the first fits, the last is no tile at all
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(smallest + middle * _STEP) <= limit else (low, middle)
    return smallest + low * _STEP


def _too_large(run: Run, needed: int, limit: int) -> str:
    """What to say of a run that does not fit: what it needs, what there is, what would fit."""
    what = (
        f"{run.width} x {run.height} pixels with {run.spec.name} and {run.optimizer.name} need at least "
        f"{math.ceil(needed / 1e6):,} MB of memory, and {int(limit / 1e6):,} MB may be used"
    )
    size = _largest_size(run, limit)
    return f"{what}; " + ("no smaller picture fits either" if size is None else f"expected size: {size} or less")


def _largest_size(run: Run, limit: int) -> int | None:
    """The longest edge of an image with which the run would fit, found by halving."""

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
class _Part:
    """The values of a section: of the layers in its window, of what it is given, and of what it hands on."""

    window: int  # what it is given, in its window
    style: int
    content: int
    all_layers: int
    largest_layer: int
    given: int  # 0 for the image, which is counted elsewhere
    cut: int
    whole: bool


def _parts(run: Run, layers: Iterable[str], height: int, width: int) -> list[_Part]:
    """Those of a picture of that size, when `layers` are tapped."""
    return [_part(run, section) for section in sections(run.spec, layers, height, width, run.tile)]


def _part(run: Run, section: Section) -> _Part:
    names = section.spec.layer_names
    below = names[: names.index(section.spec.deepest(section.outputs)) + 1]
    tiling = section.tiling
    values = {layer: _values(section.spec, layer, tiling.height, tiling.width) for layer in below}
    channels, height, width = section.shape
    return _Part(
        channels * tiling.height * tiling.width,
        sum(values[layer] for layer in section.layers if layer in run.style_layers),
        sum(values[layer] for layer in section.layers if layer in run.content_layers),
        sum(values.values()),
        max(values.values()),
        math.prod(section.shape) if section.after else 0,
        _values(section.spec, section.cut, height, width) if section.cut else 0,
        section.whole,
    )


def _values(spec: ModelSpec, layer: str, height: int, width: int) -> int:
    return math.prod(spec.output_shape(layer, height, width))


def _finding_targets(run: Run) -> float:
    """The values that forward passes through the content picture or one of the style pictures hold, the most."""
    pictures = [(run.content_layers, (run.height, run.width)), *((run.style_layers, size) for size in run.styles)]
    return max((_seeing(_parts(run, layers, *size)) for layers, size in pictures if layers), default=0.0)


def _seeing(parts: list[_Part]) -> float:
    """The values that the passes forward hold: of one section at a time, and all that is handed on."""
    return max(map(_forward, parts)) + sum(part.cut for part in parts)


def _forward(part: _Part) -> float:
    return _TAPPED_SEEN * (part.style + part.content) + _LARGEST_LAYER_SEEN * part.largest_layer


def _optimizing(run: Run, parts: list[_Part]) -> float:
    """The values that the passes forward and back hold."""
    handed_on = sum(part.cut for part in parts)
    most = _backward(run, parts[-1]) + handed_on if parts[-1].whole else 0.0  # bound for both ways
    for part in reversed(parts):
        handed_on -= part.cut  # let go of
        most = max(most, _backward(run, part) + handed_on + part.given + part.cut)
    return max(most, _seeing(parts))


def _backward(run: Run, part: _Part) -> float:
    """The values that one section holds, bound for both ways."""
    return (
        (0.0 if part.given else _WINDOW * part.window)
        + _ALL_LAYERS[run.precision] * part.all_layers
        + _LARGEST_LAYER * part.largest_layer
        + (_STYLE_LAYER[run.precision] + (_GUIDED_STYLE_LAYER if run.regions else 0.0)) * part.style
        + _CONTENT_LAYER * part.content
    )


def _held(root: Path) -> int:
    """The bytes that this process holds, but for files that the system could drop."""
    return _kilobytes(root / "proc/self/status", "RssAnon")


def _free_in_machine(root: Path) -> list[int]:
    free = _kilobytes(root / "proc/meminfo", "MemAvailable")
    return [free] if free else []


def _kilobytes(path: Path, key: str) -> int:
    """The bytes of a line such as ``MemAvailable:   123 kB``; 0 where there is none."""
    for line in _read(path).splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    return 0


def _free_in_groups(root: Path) -> Iterator[int]:
    """What is free in each control group of this process that has a limit, of either version, up to the root's."""
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
    """The value of a line such as ``inactive_file 4096``; 0 where there is none."""
    return next((int(line.split()[1]) for line in _read(path).splitlines() if line.split()[:1] == [key]), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
