"""Architectures as MXNet symbols."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from models import graph
from models.graph import Node
from models.runtime import Symbol, load_mxnet
from models.spec import ModelSpec


def symbols(
    spec: ModelSpec, layers: Iterable[str], pooling: str | None = None, after: str | None = None
) -> dict[str, Symbol]:
    """Build the symbols of `layers`, (1, channels, height, width), as far as needed.

    Their arguments are ``data``, the image (1, 3, H, W), and parameters of the SPEC.

    Parameters
    ----------
    spec : ModelSpec
    layers : names of taps; a global pooling gives (1, channels)
    pooling : str, optional
        max or avg; default: that of the SPEC.
    after : str, optional
        A layer whose output is ``data``; only what follows it is built.

    Raises
    ------
    KeyError
        If a requested layer does not exist, or does not follow `after`.
    """
    layers = list(layers)
    found: dict[str, Symbol] = {}
    for node in graph.up_to(spec.nodes if after is None else graph.after(spec.nodes, after), layers):
        found[node.name] = _symbol(node, [found[name] for name in node.inputs], pooling or spec.pooling)
    return {layer: found[layer] for layer in layers}


def groups(
    spec: ModelSpec,
    style_layers: Iterable[str],
    content_layers: Iterable[str],
    pooling: str | None = None,
    after: str | None = None,
) -> tuple:
    """Build (style group, content group) of the tapped layers; see :func:`symbols`. A group without layers is None."""
    style, content = list(style_layers), list(content_layers)
    found = symbols(spec, [*style, *content], pooling, after)
    mx = load_mxnet()
    return tuple(mx.sym.Group([found[name] for name in names]) if names else None for names in (style, content))


def _symbol(node: Node, inputs: Sequence[Symbol], pooling: str) -> Symbol:
    mx = load_mxnet()
    window = {"kernel": (node.kernel,) * 2, "stride": (node.stride,) * 2, "pad": (node.pad,) * 2}
    if node.op == "input":
        return mx.sym.Variable("data")
    if node.op == "conv":
        return mx.sym.Convolution(*inputs, num_filter=node.channels, name=node.name, **window)
    if node.op == "relu":
        return mx.sym.Activation(*inputs, act_type="relu", name=node.name)
    if node.op == "upsample":
        return mx.sym.UpSampling(*inputs, scale=2, sample_type="nearest", name=node.name)
    if node.op == "concat":
        return mx.sym.Concat(*inputs, name=node.name)
    if node.op == "global_pool":
        mean = mx.sym.Pooling(*inputs, pool_type="avg", kernel=(1, 1), global_pool=True)
        return mx.sym.Flatten(mean, name=node.name)
    assert node.op == "pool"
    pool = functools.partial(mx.sym.Pooling, pooling_convention="full" if node.ceil else "valid", **window)
    if node.ceil and pooling == "avg":
        # The gradient of MXNet's own average pooling treats incomplete windows as complete.
        sums, counts = (pool(each, pool_type="sum") for each in (*inputs, mx.sym.ones_like(*inputs)))
        return mx.sym.elemwise_div(sums, counts, name=node.name)
    return pool(*inputs, pool_type=pooling, name=node.name)
