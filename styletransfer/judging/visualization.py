"""The responses of a filter, after Zeiler and Fergus 2013, Visualizing and Understanding Convolutional Networks.

For one channel of one tapped layer: the patches of the given pictures that activate it most, each the receptive field
of an activation, and next to each the pixels that matter. Departure from the paper: these are shown by the gradient of
the activation with respect to the pixels (Simonyan et al. 2013) instead of a deconvolutional network; the two differ in
the backward pass of the ReLU.

The network is bound for images in `rgb255`, so that the gradient is with respect to red, green and blue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models.spec import ModelSpec, ReceptiveField
from styletransfer import weights
from styletransfer.engines import Engine, Head, choose
from styletransfer.pictures import folders, images, marks, pixels, plots
from styletransfer.pictures.formats import JPEG
from styletransfer.pictures.images import Picture
from styletransfer.support import overwriting
from styletransfer.support.commands import one_line
from styletransfer.support.errors import UserError, nearest
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.weights import Parameters, parameters_for

_SPACE = "rgb255"
_FROM_ONE_PICTURE = 2  # patches at most, if there are enough pictures

# The sheet, in pixels.
_DPI = 100
_COLUMNS = 3  # pairs of patch and gradient per row
_CELL = 180  # the approximate side of a patch; patches are enlarged by an integer factor
_MARGIN, _GAP, _BETWEEN, _CAPTION, _HEADER = 24, 4, 26, 34, 84
_NARROWEST = 700
_OUTSIDE = 0.94  # the grey outside the picture
_LONGEST_NAME = 30


@dataclass(frozen=True)
class Window:
    """The pixels of rows `top` to `bottom` and columns `left` to `right`, both exclusive at the end."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def of_value(cls, field: ReceptiveField, row: int, column: int) -> Window:
        """The receptive field of the value at (row, column); near the border it extends outside the picture."""
        top, left = (index * field.stride - field.offset for index in (row, column))
        return cls(top, left, top + field.size, left + field.size)

    def clipped(self, height: int, width: int) -> Window:
        """The part inside a picture of the given size."""
        return Window(max(self.top, 0), max(self.left, 0), min(self.bottom, height), min(self.right, width))

    def crop(self, array: NDArray) -> NDArray:
        """The pixels of the window in an array (H, W, ...); it must not extend outside."""
        return array[self.top : self.bottom, self.left : self.right]


class Filter:
    """One channel of one layer, evaluated on one picture.

    Parameters
    ----------
    layer : str
        Any of the spec's taps.
    parameters : dict of arrays
        For images in `rgb255`; see :func:`styletransfer.weights.parameters_for`.
    picture : (H, W, 3) array
        RGB, 0..1.

    Attributes
    ----------
    activations : (h, w) array
        The values of the channel.
    """

    def __init__(
        self, engine: Engine, spec: ModelSpec, layer: str, channel: int, parameters: Parameters, picture: Picture
    ) -> None:
        self._engine, self._layer, self._channel = engine, layer, channel
        height, width = picture.shape[:2]
        self._bound = engine.network(spec, parameters, spec.pooling, "float32").bind([layer], (3, height, width))
        self._image = engine.array(pixels.from_picture(picture, _SPACE))
        self._bound.forward(self._image)
        self._features = engine.numpy(self._bound.features(layer))
        self.activations: NDArray[np.float32] = self._features[0, channel]

    def gradient(self, row: int, column: int) -> NDArray[np.float32]:
        """The gradient of one activation with respect to the picture's values 0..255: (H, W, 3), RGB."""
        head = np.zeros_like(self._features)
        head[0, self._channel, row, column] = 1
        self._bound.forward(self._image)  # each time, as only one backward pass may follow
        gradient = self._bound.backward({self._layer: Head(given=self._engine.array(head))})
        return self._engine.numpy(gradient)[0].transpose(1, 2, 0)


def peaks(activations: NDArray, field: ReceptiveField, count: int) -> list[tuple[int, int]]:
    """The (row, column) of the largest activations, at most `count`, strongest first.

    Only positive activations count; of two with overlapping receptive fields, only the stronger is taken.
    """
    left = np.array(activations)
    reach = math.ceil(field.size / field.stride)  # two values overlap when both indices differ by less
    places: list[tuple[int, int]] = []
    while len(places) < count and left.max() > 0:
        row, column = divmod(int(left.argmax()), left.shape[1])
        places.append((row, column))
        left[max(0, row - reach + 1) : row + reach, max(0, column - reach + 1) : column + reach] = 0
    return places


@dataclass(frozen=True)
class Patch:
    """One patch that activates a filter."""

    picture: str  # the file's name
    activation: float
    window: Window  # the receptive field, not clipped
    pixels: NDArray[np.floating]  # (h, w, 3), RGB 0..1, clipped at the picture's border
    gradient: NDArray[np.floating]  # of the same shape, activation per grey level of 255


def strongest(
    spec: ModelSpec,
    layer: str,
    channel: int,
    parameters: Parameters,
    files: Sequence[Path],
    size: int,
    count: int,
) -> list[Patch]:
    """The patches of pictures that activate a filter most, at most `count`, strongest first.

    Raises UserError if a picture cannot be read, or is too small for the layer.

    Parameters
    ----------
    spec, layer, channel
        The filter.
    parameters : dict of arrays
        In the network's native pixel convention.
    files : list of paths
        Pictures. Each contributes at most two patches, or more if needed to reach `count` with few pictures.
    size : int
        The long edge, in pixels, to which the pictures are resized.
    """
    field = spec.receptive_field(layer)
    engine, parameters = choose().load(), parameters_for(spec, parameters, _SPACE)
    from_one = max(_FROM_ONE_PICTURE, math.ceil(count / len(files)))
    patches: list[Patch] = []
    for file in files:
        picture = images.read(file)
        height, width = images.fit(picture.shape[0], picture.shape[1], size)
        if min(spec.output_shape(layer, height, width)) < 1:
            raise UserError(
                f"--size {size}: {file} becomes {height} x {width} pixels, "
                f"and {layer} needs at least {spec.smallest_side(layer)} per side"
            )
        picture = images.resize(picture, height, width)
        unit = Filter(engine, spec, layer, channel, parameters, picture)
        for row, column in peaks(unit.activations, field, from_one):
            activation = float(unit.activations[row, column])
            if len(patches) == count and activation <= patches[-1].activation:
                break
            window = Window.of_value(field, row, column)
            inside = window.clipped(height, width)
            patch = Patch(file.name, activation, window, inside.crop(picture), inside.crop(unit.gradient(row, column)))
            patches = sorted([*patches, patch], key=lambda patch: -patch.activation)[:count]
    return patches


def displayed(gradient: NDArray) -> Picture:
    """A gradient (h, w, 3) as a picture: zero is mid-grey, scaled by the largest absolute value."""
    return 0.5 + 0.5 * gradient / max(np.abs(gradient).max(), np.finfo(np.float32).tiny)


def sheet(patches: Sequence[Patch], title: str) -> Picture:
    """All patches on one sheet, (H, W, 3): each with its gradient, its activation and the name of its picture.

    The part of a receptive field outside the picture is pale.
    """
    side = patches[0].window.bottom - patches[0].window.top
    zoom = max(1, round(_CELL / side))
    cell = side * zoom
    pair = 2 * cell + _GAP
    columns = min(_COLUMNS, len(patches))
    rows = math.ceil(len(patches) / columns)
    width = max(_NARROWEST, 2 * _MARGIN + columns * pair + (columns - 1) * _BETWEEN)
    height = _HEADER + rows * (cell + _CAPTION) + _MARGIN // 2
    figure = plots.figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")

    def text(left: int, top: int, words: str, **style: Any) -> None:
        figure.text(left / width, 1 - top / height, words, va="top", parse_math=False, **style)

    text(_MARGIN, 18, title, size=14, weight="bold")
    text(
        _MARGIN,
        46,
        f"strongest activations: patches of {side} x {side} pixels, each with the activation's gradient (grey: zero)",
        size=9,
        color="0.35",
    )
    canvas = np.ones((height, width, 3))
    for number, patch in enumerate(patches):
        row, column = divmod(number, columns)
        top = _HEADER + row * (cell + _CAPTION)
        left = _MARGIN + column * (pair + _BETWEEN)
        down, right = (max(0, -start) * zoom for start in (patch.window.top, patch.window.left))
        for offset, picture in ((0, patch.pixels), (cell + _GAP, displayed(patch.gradient))):
            canvas[top : top + cell, left + offset : left + offset + cell] = _OUTSIDE
            enlarged = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
            y, x = top + down, left + offset + right
            canvas[y : y + enlarged.shape[0], x : x + enlarged.shape[1]] = enlarged
        text(left, top + cell + 6, f"{patch.activation:.4g}", size=9, weight="bold")
        name = one_line(patch.picture)
        name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        text(left + pair, top + cell + 6, name, size=9, color="0.35", ha="right")
    figure.figimage(canvas)
    return plots.to_picture(figure)


def visualize(
    model: str,
    layer: str,
    channel: int,
    files: Sequence[Path] | None,
    output: Path | None,
    size: int,
    count: int,
    weights_file: Path | None,
    force: bool = False,
) -> tuple[Path, list[Patch]]:
    """Write the sheet of a filter; returns its path and the patches on it.

    Raises UserError if an argument is invalid, a file cannot be used, or nothing in the pictures activates the
    filter. In that case nothing is written.

    Parameters
    ----------
    model, layer, channel
        The filter.
    files : list of paths, optional
        Pictures, and folders of them; by default the project's `input`.
    output : path, optional
        By default `output/visualize/MODEL_LAYER_CHANNEL.png`.
    size, count
        See :func:`strongest`.
    weights_file : path, optional
        By default the network's own weights.
    force : bool
        Whether `output` may be a file that this function has not written.
    """
    if model not in models.names():
        raise UserError(f"no network {model!r}; {nearest(model, models.names())}")
    spec: ModelSpec = models.load(model).SPEC
    if layer not in spec.layer_names:
        raise UserError(f"{model} has no layer {layer!r}; {nearest(layer, spec.layer_names)}")
    channels = next(tap.channels for tap in spec.taps if tap.name == layer)
    if not 0 <= channel < channels:
        raise UserError(f"{model} {layer} has no channel {channel}; expected 0 to {channels - 1}")
    for option, value in (("--size", size), ("--patches", count)):
        if value < 1:
            raise UserError(f"{option} {value}: expected at least 1")
    output = output or Path("output", "visualize", f"{model}_{layer}_{channel}.png")
    if output.suffix.lower() not in (".png", *JPEG):
        raise UserError(f"--output {output}: expected a name that ends in .png or .jpg")
    files = [
        inside
        for file in files or [PROJECT_FOLDER / "input"]
        for inside in (folders.list_pictures(file, "--pictures: ") if file.is_dir() else [file])
    ]
    for file in files:
        if not file.is_file():
            raise UserError(f"picture {file}: no such file")
    read = {**{f"--pictures {file}": file for file in files}, "--weights": weights_file or spec.weights_path}
    overwriting.check([output], read, force, lambda path: marks.read(path) == marks.FILTER)
    patches = strongest(spec, layer, channel, weights.load(spec, weights_file), files, size, count)
    if not patches:
        raise UserError(f"nothing in the pictures activates channel {channel} of {model} {layer}")
    picture = sheet(patches, f"{model}   {layer}   channel {channel}")
    output.parent.mkdir(parents=True, exist_ok=True)
    images.write(output, picture, mark=marks.FILTER)
    return output, patches
