"""The builder shared by all networks of the VGG family: blocks of 3 x 3 convolutions, each followed by a pooling.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014. Only the
convolutional part is built; the image may have any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.runtime import Symbol, load_mxnet
from models.spec import Tap

# Common to the published VGG-16 and VGG-19.
PIXELS = "rgb255"
LICENCE = "CC BY 4.0, Visual Geometry Group, University of Oxford"
STYLE_LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}
CONTENT_LAYERS = {"relu4_2": 1.0}
CUTS = ("pool2", "pool3", "pool4")  # 8, 4 and 2 values per pixel in VGG-19; pool1 has 16

Blocks = Sequence[Sequence[int]]  # for each block, the number of filters of each convolution


@dataclass(frozen=True)
class Projection:
    """A 1 x 1 convolution of a ReLU's features that may be tapped; no deeper layer uses it."""

    name: str
    of: str  # the ReLU
    channels: int


Projections = Sequence[Projection]
_WINDOWS: Mapping[str, Mapping[str, Any]] = {
    "relu": {"kernel": 3, "pad": 1},
    "proj": {"kernel": 1},
    "pool": {"kernel": 2, "stride": 2},
}


def _layers(blocks: Blocks, projections: Projections = ()) -> Iterator[tuple[str, str, int]]:
    """(kind, suffix, channels) of every layer in order: ("conv", "1_1", 64), ("relu", "1_1", 64), ("pool", "1", 64)."""
    for number, block in enumerate(blocks, start=1):
        for position, filters in enumerate(block, start=1):
            yield "conv", f"{number}_{position}", filters
            yield "relu", f"{number}_{position}", filters
            for projection in projections:
                if projection.of == f"relu{number}_{position}":
                    yield "proj", projection.name.removeprefix("proj"), projection.channels
        yield "pool", f"{number}", block[-1]


def taps(blocks: Blocks, projections: Projections = ()) -> tuple[Tap, ...]:
    """Every ReLU (after its convolution), projection and pooling."""
    return tuple(
        Tap(kind + suffix, channels, **_WINDOWS[kind])
        for kind, suffix, channels in _layers(blocks, projections)
        if kind != "conv"
    )


def parameters(blocks: Blocks, projections: Projections = ()) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight, (filters, channels, 3, 3) or (filters, channels, 1, 1), and bias, (filters,)."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for kind, suffix, filters in _layers(blocks, projections):
        if kind in ("conv", "proj"):
            side = 3 if kind == "conv" else 1
            shapes[f"{kind}{suffix}_weight"] = (filters, channels, side, side)
            shapes[f"{kind}{suffix}_bias"] = (filters,)
        if kind == "conv":
            channels = filters
    return shapes


def build(
    blocks: Blocks, wanted: Iterable[str], pooling: str, after: str | None = None, projections: Projections = ()
) -> dict[str, Symbol]:
    """Build the network from the variable ``data``, (1, 3, H, W), up to the deepest requested layer.

    With `after`, ``data`` is the output of that layer, (1, channels, height, width).

    Returns
    -------
    dict
        The symbol of every requested layer, (1, channels, height, width).

    Raises
    ------
    KeyError
        If a requested layer does not exist, or comes before `after`.
    """
    mx = load_mxnet()
    missing = set(wanted)
    found: dict[str, Symbol] = {}
    symbol = mx.sym.Variable("data")
    started = after is None
    for kind, suffix, filters in _layers(blocks, projections):
        if not missing:
            break
        name = kind + suffix
        if not started:
            started = name == after
            continue
        if kind == "proj":
            if name in missing:
                missing.remove(name)
                found[name] = mx.sym.Convolution(symbol, num_filter=filters, kernel=(1, 1), name=name)
            continue
        if kind == "conv":
            symbol = mx.sym.Convolution(symbol, num_filter=filters, kernel=(3, 3), pad=(1, 1), name=name)
        elif kind == "relu":
            symbol = mx.sym.Activation(symbol, act_type="relu", name=name)
        else:
            symbol = mx.sym.Pooling(symbol, pool_type=pooling, kernel=(2, 2), stride=(2, 2), name=name)
        if name in missing and kind != "conv":
            missing.remove(name)
            found[name] = symbol
    if missing:
        raise KeyError(", ".join(sorted(missing)))
    return found


def get_symbol(
    blocks: Blocks,
    default_pooling: str,
    style_layers: Iterable[str],
    content_layers: Iterable[str],
    pooling: str | None = None,
    after: str | None = None,
    *,
    projections: Projections = (),
) -> tuple:
    """(style group, content group) of the tapped layers, inputs `data` (1, 3, H, W) and the parameters of the SPEC.

    A module of the family passes its blocks and its default pooling. With `after`, one of the SPEC's cuts, `data` is
    the output of that layer, and only the layers after it are built. A group without layers is None.
    """
    return group(
        lambda wanted: build(blocks, wanted, pooling or default_pooling, after, projections),
        style_layers,
        content_layers,
    )


def group(
    build_layers: Callable[[Iterable[str]], Mapping[str, Symbol]],
    style_layers: Iterable[str],
    content_layers: Iterable[str],
) -> tuple:
    """Build all layers in one call of `build_layers` and group their symbols: (style group, content group)."""
    mx = load_mxnet()
    style, content = list(style_layers), list(content_layers)
    symbols = build_layers({*style, *content})
    return tuple(mx.sym.Group([symbols[name] for name in names]) if names else None for names in (style, content))
