"""From a config to all that the optimisation loop needs: pictures, targets, objective, optimiser, starting image."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import runtime
from models.runtime import load_mxnet
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.config import Config, find_input
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.losses import total_variation
from styletransfer.losses.objective import Objective, Weights
from styletransfer.losses.targets import find_targets
from styletransfer.network.executor import Source, parameters_for
from styletransfer.network.tiling import smallest_tile
from styletransfer.optimization import optimizers
from styletransfer.optimization.optimizers import Optimizer
from styletransfer.pictures import images, pixels
from styletransfer.pictures.images import Picture
from styletransfer.run import initialization
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.weights import sources

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sizes:
    """Those of the pictures of a run, pixels: the result's, which content and start get too, and the styles'."""

    height: int
    width: int
    styles: tuple[tuple[int, int], ...]  # (height, width) of each


@dataclass(frozen=True)
class Pictures:
    """The pictures of a run, (H, W, 3) RGB 0..1: content and start at the size of the result, styles at theirs."""

    height: int
    width: int
    content: Picture | None
    styles: tuple[tuple[float, Picture], ...]  # with blending weights that sum to 1
    start: Picture | None


@dataclass
class Prepared:
    """A run, ready to be optimised."""

    image: Any  # NDArray (1, 3, H, W) in the space of the config
    objective: Objective
    optimizer: Optimizer
    generator: np.random.Generator


def read_sizes(config: Config) -> list[Sizes]:
    """The sizes that the pictures of a config will have at every scale; the last is that of the result.

    The files are opened but not read, so that memory can be foretold before it is taken. Of a number of scales, those
    are left out that are too small for one of the layers.

    Raises
    ------
    UserError
        If a file is no picture, or one of the sizes is too small for a layer.
    """
    content = images.size(_found(config.content.image)) if config.content.image else None
    styles = {name: images.size(_found(name)) for name in _style_weights(config)}
    *smaller, edge = config.long_edges
    levels = []
    for small in smaller:
        try:
            levels.append(_at_scale(config, small, content, styles))
        except UserError:
            if isinstance(config.scales, list):
                raise
    return [*levels, _at_scale(config, edge, content, styles)]


def read_pictures(config: Config, levels: Sequence[Sizes] | None = None) -> list[Pictures]:
    """Read the pictures that a config names and resize them for every scale.

    Parameters
    ----------
    config : Config
    levels : sequence of Sizes, optional
        From :func:`read_sizes`, where that was asked before.

    Raises
    ------
    UserError
        If a file cannot be read, or as :func:`read_sizes`.
    """
    levels = read_sizes(config) if levels is None else levels
    inside = [(level.height, level.width) for level in levels]
    shares = _style_weights(config)
    total = sum(shares.values())
    content = _read(config.content.image, inside)
    styles = [_read(name, [level.styles[number] for level in levels]) for number, name in enumerate(shares)]
    start = _read(config.init.image, inside)
    return [
        Pictures(
            *size,
            content[scale],
            tuple((share / total, style[scale]) for share, style in zip(shares.values(), styles)),
            start[scale],
        )
        for scale, size in enumerate(inside)
    ]


def _style_weights(config: Config) -> Mapping[str, float]:
    """The style pictures that count, with their weights."""
    return (config.style.images or {}) if config.style.weight > 0 else {}


def _read(name: str | None, sizes: Sequence[tuple[int, int]]) -> list[Any]:
    """A picture in each of these sizes, None for none; the picture itself, which may be far larger, is let go."""
    if name is None:
        return [None] * len(sizes)
    picture = images.read(_found(name))
    return [images.resize(picture, *size) for size in sizes]


def _found(name: str) -> Path:
    """The file of a picture.

    Raises
    ------
    UserError
        If it is absent, and could be fetched.
    """
    path = find_input(name)
    if not path.exists():
        hint = sources.how_to_get(PROJECT_FOLDER / path)
        if hint:
            raise UserError(f"picture {path}: no such file; {hint}")
    return path


def _at_scale(
    config: Config, edge: int, content: tuple[int, int] | None, styles: Mapping[str, tuple[int, int]]
) -> Sizes:
    """The sizes for an image of a long edge, from those of the files."""
    share = edge / config.long_edges[-1]
    if config.shape:
        height, width = (max(1, round(side * share)) for side in config.shape)
        asked = f"shape: {list(config.shape)}"
    else:
        shape_giver = content if content is not None else next(iter(styles.values()))
        height, width = images.fit(*shape_giver, edge)
        asked = f"size: {config.size}"
    if share < 1:
        asked = f"scales: a long edge of {edge}"
    layers = used_layers(config)
    _check_size(config.spec, layers["content"] + layers["style"], height, width, asked)
    resized = []
    for name, style in styles.items():
        size = _style_size(config, style, height, width, share)
        _check_size(config.spec, layers["style"], *size, f"style picture {name}")
        resized.append(size)
    return Sizes(height, width, tuple(resized))


def used_layers(config: Config) -> dict[str, list[str]]:
    """The layers whose losses count; a group of weight 0 has none."""
    content, style = config.content, config.style
    return {
        "content": list(content.layers or {}) if content.weight > 0 else [],
        "style": list(style.layers or {}) if style.weight > 0 else [],
    }


def loss_names(config: Config) -> list[str]:
    """The names of the layers' losses, ``content.<layer>`` and ``style.<layer>``, in the order of the objective's."""
    return [f"{group}.{layer}" for group, layers in used_layers(config).items() for layer in layers]


def checked_tile(config: Config, tile: int) -> int:
    """The longest side of a window that a config asks for.

    Raises
    ------
    UserError
        If the network cannot do with so little.
    """
    layers = [layer for group in used_layers(config).values() for layer in group]
    smallest = smallest_tile(config.spec, layers)
    if tile < smallest:
        raise UserError(f"tile: {tile} pixels are too few for {config.model}: expected at least {smallest}")
    return tile


def precision_of(config: Config) -> str:
    """That of the network: float32 or bfloat16.

    Raises
    ------
    UserError
        If bfloat16 is asked for where MXNet cannot compute with it.
    """
    if config.precision == "auto":
        return "bfloat16" if config.device == "cpu" and runtime.is_faster_in_bfloat16() else "float32"
    if config.precision == "bfloat16" and not (config.device == "cpu" and runtime.has_bfloat16()):
        raise UserError("precision: bfloat16 needs device: cpu and a processor with AVX-512; expected auto or float32")
    return config.precision


def _style_size(config: Config, style: tuple[int, int], height: int, width: int, share: float) -> tuple[int, int]:
    """That of a style picture, from its file's, for an image `height` x `width`, a `share` as long as the result."""
    if config.style.size == "match":
        return height, width
    return images.fit(*style, max(1, round((config.style.size or config.size) * share)))


def _check_size(spec: ModelSpec, layers: list[str], height: int, width: int, what: str) -> None:
    if not layers:
        return
    deepest = spec.deepest(layers)
    if min(spec.output_shape(deepest, height, width)[1:]) < 1:
        raise UserError(
            f"{what} gives {width} x {height} pixels, too small for the layer {deepest} of {spec.name}, "
            f"which needs {spec.smallest_side(deepest)} on either side"
        )


def load_parameters(config: Config) -> weights.Parameters:
    """The network's weights, in its native space.

    Raises
    ------
    UserError
        If they are absent or unusable.
    """
    return weights.load(config.spec, find_input(config.weights) if config.weights else None)


def context_of(device: str) -> Any:
    """The MXNet context of ``cpu`` or ``gpu:N``.

    Raises
    ------
    UserError
        If there is no such device.
    """
    mx = load_mxnet()
    if device == "cpu":
        return mx.cpu()
    number = int(device.partition(":")[2])
    try:
        present = mx.context.num_gpus()
    except mx.MXNetError:
        present = 0
    if number >= present:
        raise UserError(
            f"device: {device} is not there; this MXNet sees {present} GPUs (the mxnet package is built without CUDA; "
            "docs/cluster.md says which one has it)"
        )
    return mx.gpu(number)


def prepare(config: Config, pictures: Pictures, parameters: weights.Parameters, tile: int | None = None) -> Prepared:
    """Bind everything for one run.

    Parameters
    ----------
    config : Config
    pictures : from :func:`read_pictures`
    parameters : in the network's native space
    tile : int, or None
        The longest side of what the network sees at once, pixels; None: all.
    """
    mx = load_mxnet()
    context = context_of(config.device)
    source = Source(
        config.model,
        config.pooling or config.spec.pooling,
        parameters_for(config.model, parameters, config.pixels),
        context,
        tile,
        precision_of(config),
    )
    layers = used_layers(config)

    def enter(picture: Picture) -> Any:
        return mx.nd.array(pixels.from_picture(picture, config.pixels), ctx=context)

    content = None if pictures.content is None else enter(pictures.content)
    styles = [(weight, enter(style)) for weight, style in pictures.styles]
    targets = find_targets(source, content, styles, layers["content"], layers["style"], pictures.height, pictures.width)
    shape = (1, 3, pictures.height, pictures.width)
    normalization = NORMALIZATIONS[config.normalization]
    tv, tv_unit = None, 1.0
    if config.tv.kind != "none" and config.tv.weight > 0:
        tv = total_variation.KINDS[config.tv.kind](shape, context)
        if normalization.relative:
            unit_picture = pictures.content
            if unit_picture is None:
                unit_picture = images.resize(pictures.styles[0][1], pictures.height, pictures.width)
            tv_unit = tv.energy_and_gradient(enter(unit_picture))[0] or 1.0
    objective = Objective(
        source,
        targets,
        normalization,
        Weights(
            config.content.weight,
            config.content.layers or {},
            config.style.weight,
            config.style.layers or {},
            config.tv.weight,
        ),
        tv,
        tv_unit,
        pictures.height,
        pictures.width,
    )
    generator = np.random.default_rng(config.seed)
    image = mx.nd.array(_start(config, pictures, shape, generator), ctx=context)
    return Prepared(image, objective, optimizers.create(config.optimizer, image, config.pixels), generator)


def _start(config: Config, pictures: Pictures, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray:
    content, picture = (
        None if found is None else pixels.from_picture(found, config.pixels)
        for found in (pictures.content, pictures.start)
    )
    return initialization.start(config.init, shape, content, picture, generator)
