"""The builder that all networks of the VGG family share: blocks of 3 x 3 convolutions, a pooling after each.

K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014. Only the
convolutional part is built; the image may have any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from models.runtime import load_mxnet
from models.spec import Tap

# How the published VGG-16 and VGG-19 are used and licensed, the same for both.
PIXELS = "rgb255"
LICENCE = "CC BY 4.0, Visual Geometry Group, University of Oxford"
STYLE_LAYERS = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}
CONTENT_LAYERS = {"relu4_2": 1.0}
CUTS = ("pool2", "pool3", "pool4")  # with 8, 4 and 2 values for each pixel of VGG-19; pool1 has 16

Blocks = Sequence[Sequence[int]]  # for every block the number of filters of each convolution


def _layers(blocks: Blocks) -> Iterator[tuple[str, str, int]]:
    """(kind, suffix, channels) of every layer in order: ("conv", "1_1", 64), ("relu", "1_1", 64), ("pool", "1", 64)."""
    for number, block in enumerate(blocks, start=1):
        for position, filters in enumerate(block, start=1):
            yield "conv", f"{number}_{position}", filters
            yield "relu", f"{number}_{position}", filters
        yield "pool", f"{number}", block[-1]


def taps(blocks: Blocks) -> tuple[Tap, ...]:
    """Every ReLU (behind its convolution) and every pooling."""
    return tuple(
        Tap(kind + suffix, channels, kernel=3, pad=1)
        if kind == "relu"
        else Tap(kind + suffix, channels, kernel=2, stride=2)
        for kind, suffix, channels in _layers(blocks)
        if kind != "conv"
    )


def parameters(blocks: Blocks) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight, (filters, channels, 3, 3), and bias, (filters,)."""
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for kind, suffix, filters in _layers(blocks):
        if kind == "conv":
            shapes[f"conv{suffix}_weight"] = (filters, channels, 3, 3)
            shapes[f"conv{suffix}_bias"] = (filters,)
            channels = filters
    return shapes


def build(blocks: Blocks, wanted: Iterable[str], pooling: str, after: str | None = None) -> dict[str, Any]:
    """Build the network from the variable ``data``, (1, 3, H, W), as far as the deepest wanted layer.

    With `after`, ``data`` is what that layer puts out, (1, channels, height, width).

    Returns
    -------
    dict
        The symbol of every wanted layer, (1, channels, height, width).

    Raises
    ------
    KeyError
        If a wanted layer does not exist, or lies before `after`.
    """
    mx = load_mxnet()
    missing = set(wanted)
    found: dict[str, Any] = {}
    symbol = mx.sym.Variable("data")
    begun = after is None
    for kind, suffix, filters in _layers(blocks):
        if not missing:
            break
        name = kind + suffix
        if not begun:
            begun = name == after
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
    own_pooling: str,
    style_layers: Iterable[str],
    content_layers: Iterable[str],
    pooling: str | None = None,
    after: str | None = None,
) -> tuple:
    """(style group, content group) of the tapped layers, inputs `data` (1, 3, H, W) and the parameters of the SPEC.

    A module of the family gives the blocks, and the pooling that is used unless another is asked for. With `after`, one
    of the SPEC's cuts, `data` is what that layer puts out, and only what lies behind it is built. A group without
    layers is None.
    """
    return group(lambda wanted: build(blocks, wanted, pooling or own_pooling, after), style_layers, content_layers)


def group(build_layers: Any, style_layers: Iterable[str], content_layers: Iterable[str]) -> tuple:
    """Build once with `build_layers(wanted)` and group the symbols: (style group, content group)."""
    mx = load_mxnet()
    style, content = list(style_layers), list(content_layers)
    symbols = build_layers({*style, *content})
    return tuple(mx.sym.Group([symbols[name] for name in names]) if names else None for names in (style, content))
