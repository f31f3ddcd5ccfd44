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
from styletransfer import images
from styletransfer.config import OptimizerSettings, bytes_of
from styletransfer.errors import UserError
from styletransfer.tiling import cover, smallest_tile

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
# ... and what they hold more for each total variation
_IMAGES_OF_TV = {"none": 0.0, "laplacian": 5.0, "squared": 6.0, "power": 9.0}
# ... and optimiser, L-BFGS in double precision: SciPy's point, gradient, bounds, workspace, and what we hand over ...
_IMAGES_OF_OPTIMIZER = {"sgd": 0.0, "accept_reject": 0.0, "adam": 2.0, "lbfgs": 28.0}
# ... and each step that L-BFGS remembers: the change of the point and of the gradient, in double precision;
_IMAGES_OF_A_PAIR = 4.0
# or while the picture is written: it in double precision, and all but the total variation's temporaries.
_IMAGES_WRITTEN = 4.0
# A value of the content picture while the targets are found, and of a style picture. The cases with large styles.
_IMAGES_ENTERED, _STYLES = 4.0, 4.0
# Finding targets: a tapped value, and one of the largest layer, as input and output of the next. The same cases.
_TAPPED_FORWARD, _LARGEST_LAYER_FORWARD = 1.0, 2.3
# A value of the window as the first convolution sees it: 3 channels, padded to the 16 that the kernels take at once.
# All cases together, as the following.
_WINDOW = 28.0
# Training: the outputs of all layers, half of that in bfloat16; and the largest again for the gradients going back.
_ALL_LAYERS, _LARGEST_LAYER = {"float32": 1.0, "bfloat16": 0.5}, 1.2
# Training: a style layer's features, Gram products and head gradients, each in two layouts; likewise a content layer.
# The cases that tap large layers, or none.
_STYLE_LAYER, _CONTENT_LAYER = 5.5, 6.0
# What a tile owns of a tapped layer, beside the window's. The cases with tiles.
_OWNED = 5.0


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
        If `asked` means no amount.
    """
    if asked is not None:
        return bytes_of(asked)
    free = [*_free_in_machine(root), *_free_in_groups(root)]
    if not free:
        return sys.maxsize
    return _held(root) + int(max(0, min(free)) * (1 - _RESERVE))


def predict(run: Run) -> int:
    """The peak of the resident memory of a process that makes a run, in bytes.

    Raises
    ------
    ValueError
        If the run's tile is smaller than :func:`~styletransfer.tiling.smallest_tile`.
    """
    image = 3 * run.height * run.width
    weights = sum(math.prod(shape) for shape in run.spec.parameters.values())
    styles = sum(3 * height * width for height, width in run.styles if run.style_layers)
    targets = sum(_values(run.spec, layer, run.height, run.width) for layer in run.content_layers)
    pairs = min(run.optimizer.history, run.optimizer.evaluations) if run.optimizer.name == "lbfgs" else 0
    optimizer = _IMAGES_OF_OPTIMIZER[run.optimizer.name]
    steps = _IMAGES + _IMAGES_OF_TV[run.tv] + optimizer + _IMAGES_OF_A_PAIR * pairs
    written = _IMAGES + _IMAGES_WRITTEN + (0.0 if pairs else optimizer)  # L-BFGS has let go of its arrays by then
    always = _WEIGHTS * weights + _STYLES * styles + targets
    finding_targets = _IMAGES_ENTERED * image + _finding_targets(run)
    optimizing = max(steps, written) * image + _optimizing(run)
    return int(_FIXED + _GAPS * _FLOAT * (always + max(finding_targets, optimizing)))


def largest_tile(run: Run, limit: int) -> int | None:
    """The largest tile with which a run stays within so many bytes; None where it does without tiles.

    Tiles are tried in steps of 16 pixels from the smallest that the network allows. The run's own is not looked at.

    Raises
    ------
    UserError
        If not even the smallest tile fits.
    """
    needed = sys.maxsize
    for tile in _tiles(run):
        predicted = predict(dataclasses.replace(run, tile=tile))
        if predicted <= limit:
            return tile
        needed = min(needed, predicted)
    raise UserError(_too_large(run, needed, limit))


def _tiles(run: Run) -> Iterator[int | None]:
    """What may be chosen, the largest first."""
    yield None
    smallest = smallest_tile(run.spec, run.layers)
    sides = [run.height, run.width, *(side for style in run.styles for side in style if run.style_layers)]
    steps = -(-(max(sides) - smallest) // _STEP)  # of the first tile that is no smaller than all there is
    for step in reversed(range(steps)):
        yield smallest + step * _STEP


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
class _Window:
    """What the network sees at once of a picture, and the values that its layers have there."""

    pixels: int
    tiled: bool  # whether the picture is larger
    tapped: dict[str, int]
    all_layers: int  # up to the deepest that is tapped
    largest_layer: int

    def of(self, layers: Iterable[str]) -> int:
        """The values of some tapped layers."""
        return sum(self.tapped[layer] for layer in layers)


def _window(run: Run, layers: Iterable[str], height: int, width: int) -> _Window:
    """That of a picture of that size, when `layers` are tapped."""
    layers = list(layers)
    # One side at a time: of both together there are many tiles.
    rows = cover(run.spec, layers, height, 1, run.tile).height
    columns = cover(run.spec, layers, 1, width, run.tile).width
    names = run.spec.layer_names
    below = names[: names.index(run.spec.deepest(layers)) + 1]
    values = {layer: _values(run.spec, layer, rows, columns) for layer in below}
    return _Window(
        rows * columns,
        (rows, columns) != (height, width),
        {layer: values[layer] for layer in layers},
        sum(values.values()),
        max(values.values()),
    )


def _values(spec: ModelSpec, layer: str, height: int, width: int) -> int:
    return math.prod(spec.output_shape(layer, height, width))


def _finding_targets(run: Run) -> float:
    """The values that forward passes through the content picture or one of the style pictures hold, the most."""
    pictures = [(run.content_layers, (run.height, run.width)), *((run.style_layers, size) for size in run.styles)]
    return max((_forward(run, layers, *size) for layers, size in pictures if layers), default=0.0)


def _forward(run: Run, layers: tuple[str, ...], height: int, width: int) -> float:
    window = _window(run, layers, height, width)
    tapped = window.of(layers) * (_TAPPED_FORWARD + (_OWNED if window.tiled else 0.0))
    return tapped + _LARGEST_LAYER_FORWARD * window.largest_layer


def _optimizing(run: Run) -> float:
    """The values that the passes forward and back through one window hold."""
    window = _window(run, run.layers, run.height, run.width)
    return (
        _WINDOW * 3 * window.pixels
        + _ALL_LAYERS[run.precision] * window.all_layers
        + _LARGEST_LAYER * window.largest_layer
        + _STYLE_LAYER * window.of(run.style_layers)
        + _CONTENT_LAYER * window.of(run.content_layers)
        + (_OWNED * window.of(run.layers) if window.tiled else 0.0)
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
