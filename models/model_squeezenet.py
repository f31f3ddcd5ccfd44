"""SqueezeNet v1.0 (Iandola et al. 2016, https://arxiv.org/abs/1602.07360), an ImageNet classifier of 1.2 M parameters.

The published weights are those of Deep Compression (Han et al. 2015), 0.66 MB. As in the Caffe original, the first
convolution has no padding and pooling keeps incomplete windows at the edge. Departure from the paper: dropout, which
does nothing at inference, is omitted. Any ReLU or pooling may be tapped: `fireN_squeeze`, and `fireN`, the
concatenation of the two expand branches; `classes` are the 1000 average class scores before the softmax.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from models.runtime import Symbol, load_mxnet
from models.spec import ModelSpec, Tap
from models.vgg import group

# (name, squeeze filters, filters of each expand branch); a pooling follows conv1, fire4 and fire8
FIRES = (
    ("fire2", 16, 64), ("fire3", 16, 64), ("fire4", 32, 128), ("fire5", 32, 128),
    ("fire6", 48, 192), ("fire7", 48, 192), ("fire8", 64, 256), ("fire9", 64, 256),
)  # fmt: skip
POOLED = {"fire4": "pool4", "fire8": "pool8"}


def _taps() -> tuple[Tap, ...]:
    def pool(name: str, channels: int) -> Tap:
        return Tap(name, channels, kernel=3, stride=2, ceil=True)

    taps = [Tap("relu_conv1", 96, kernel=7, stride=2), pool("pool1", 96)]
    for name, squeeze, expand in FIRES:
        taps += [Tap(name + "_squeeze", squeeze, kernel=1), Tap(name, 2 * expand, kernel=3, pad=1)]
        if name in POOLED:
            taps.append(pool(POOLED[name], 2 * expand))
    return (*taps, Tap("relu_conv10", 1000, kernel=1))


def _parameters() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, filters: int, channels: int, kernel: int) -> None:
        shapes[name + "_weight"] = (filters, channels, kernel, kernel)
        shapes[name + "_bias"] = (filters,)

    convolution("conv1", 96, 3, 7)
    channels = 96
    for name, squeeze, expand in FIRES:
        convolution(name + "_squeeze1x1", squeeze, channels, 1)
        convolution(name + "_expand1x1", expand, squeeze, 1)
        convolution(name + "_expand3x3", expand, squeeze, 3)
        channels = 2 * expand
    convolution("conv10", 1000, channels, 1)
    return shapes


SPEC = ModelSpec(
    name="squeezenet",
    title="SqueezeNet v1.0",
    taps=_taps(),
    parameters=_parameters(),
    pixels="caffe",
    pooling="max",
    weights_file="squeezenet.params",
    how_to_get="run `python scripts/fetch.py squeezenet`",
    licence="BSD, Song Han et al., Deep Compression",
    source="https://github.com/songhan/SqueezeNet-Deep-Compression",
    style_layers={"relu_conv1": 1.0, "fire2": 1.0, "fire4": 1.0, "fire5": 1.0, "fire7": 1.0},
    content_layers={"fire5": 1.0},
    cuts=("pool1", "pool4", "pool8"),
    float32_poolings=("avg",),  # MXNet's sum pooling has no bfloat16 kernel
)


def get_symbol(
    style_layers: Iterable[str], content_layers: Iterable[str], pooling: str | None = None, after: str | None = None
) -> tuple:
    """(style group, content group) of the tapped layers, inputs `data` (1, 3, H, W) and the parameters of the SPEC.

    With `after`, one of the SPEC's cuts, `data` is the output of that layer, and only the layers after it are built.
    """
    return group(lambda wanted: build(wanted, pooling or SPEC.pooling, after), style_layers, content_layers)


def build(wanted: Iterable[str], pooling: str, after: str | None = None) -> dict[str, Symbol]:
    """The symbol of every requested layer, built up to the deepest of them; `classes` has the shape (1, 1000).

    Raises
    ------
    KeyError
        If a requested layer does not exist, or comes before `after`.
    """
    mx = load_mxnet()
    missing = set(wanted)
    found: dict[str, Symbol] = {}

    def tap(name: str, symbol: Symbol) -> Symbol:
        if name in missing:
            missing.remove(name)
            found[name] = symbol
        return symbol

    def relu(name: str, symbol: Symbol, filters: int, kernel: int, **window: Any) -> Symbol:
        symbol = mx.sym.Convolution(symbol, num_filter=filters, kernel=(kernel, kernel), name=name, **window)
        return mx.sym.Activation(symbol, act_type="relu", name="relu_" + name)

    def windows(symbol: Symbol, kind: str, **name: str) -> Symbol:
        return mx.sym.Pooling(symbol, pool_type=kind, kernel=(3, 3), stride=(2, 2), pooling_convention="full", **name)

    def pool(name: str, symbol: Symbol) -> Symbol:
        if pooling == "max":
            return tap(name, windows(symbol, "max", name=name))
        # The gradient of MXNet's own average pooling treats incomplete windows as complete.
        return tap(name, windows(symbol, "sum") / windows(mx.sym.ones_like(symbol), "sum"))

    symbol = mx.sym.Variable("data")
    if after is None:
        symbol = tap("relu_conv1", relu("conv1", symbol, 96, 7, stride=(2, 2)))
        symbol = pool("pool1", symbol) if missing else symbol
    following = {POOLED[name]: number for number, (name, *_) in enumerate(FIRES, start=1) if name in POOLED}
    for name, squeeze, expand in FIRES[following.get(after or "", 0) :]:
        if not missing:
            break
        squeezed = tap(name + "_squeeze", relu(name + "_squeeze1x1", symbol, squeeze, 1))
        branches = (
            relu(name + "_expand1x1", squeezed, expand, 1),
            relu(name + "_expand3x3", squeezed, expand, 3, pad=(1, 1)),
        )
        symbol = tap(name, mx.sym.Concat(*branches, name=name))
        if name in POOLED and missing:
            symbol = pool(POOLED[name], symbol)
    if missing:
        symbol = tap("relu_conv10", relu("conv10", symbol, 1000, 1))
        tap("classes", mx.sym.Flatten(mx.sym.Pooling(symbol, pool_type="avg", kernel=(1, 1), global_pool=True)))
    if missing:
        raise KeyError(", ".join(sorted(missing)))
    return found
