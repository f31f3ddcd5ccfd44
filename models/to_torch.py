"""Architectures as functions of PyTorch tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from models import graph
from models.graph import Node
from models.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


def features(
    spec: ModelSpec,
    parameters: Mapping[str, Tensor],
    layers: Iterable[str],
    pooling: str | None = None,
    after: str | None = None,
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Make the function from an image, (1, 3, H, W), to the features of `layers`, (1, channels, height, width).

    It computes as far as needed, and drops what neither a later layer nor a backward pass needs. Input and features
    have the dtype, the device and best the memory format of the parameters.

    Parameters
    ----------
    spec : ModelSpec
    parameters : mapping of tensors
        By the names of the SPEC.
    layers : names of taps; a global pooling gives (1, channels)
    pooling : str, optional
        max or avg; default: that of the SPEC.
    after : str, optional
        A layer whose output is the input, instead of an image; only what follows it is computed.

    Raises
    ------
    KeyError
        If a requested layer does not exist, or does not follow `after`.
    """
    layers = list(layers)
    nodes = graph.up_to(spec.nodes if after is None else graph.after(spec.nodes, after), layers)
    last_reader = {name: node.name for node in nodes for name in node.inputs}
    ops = {node.name: node.op for node in nodes}
    steps = []
    for node in nodes:
        finished = [name for name in node.inputs if last_reader[name] == node.name and name not in layers]
        in_place = node.op == "relu" and ops[node.inputs[0]] == "conv" and node.inputs[0] in finished
        steps.append((node, _function(node, parameters, pooling or spec.pooling, in_place), finished))

    def see(image: Tensor) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for node, function, finished in steps:
            values[node.name] = function(*[values[name] for name in node.inputs] or [image])
            for name in finished:
                del values[name]
        return {layer: values[layer] for layer in layers}

    return see


def _function(node: Node, parameters: Mapping[str, Tensor], pooling: str, in_place: bool) -> Callable[..., Tensor]:
    import torch
    from torch.nn import functional

    if node.op == "input":
        return lambda image: image
    if node.op == "conv":
        weight, bias = parameters[f"{node.name}_weight"], parameters[f"{node.name}_bias"]
        return lambda values: functional.conv2d(values, weight, bias, node.stride, node.pad)
    if node.op == "relu":
        return functional.relu_ if in_place else functional.relu
    if node.op == "upsample":
        return lambda values: functional.interpolate(values, scale_factor=2, mode="nearest")
    if node.op == "concat":
        return lambda *values: torch.cat(values, 1)
    if node.op == "global_pool":
        return lambda values: values.mean((2, 3))
    assert node.op == "pool"
    if pooling == "avg":
        return lambda values: functional.avg_pool2d(
            values, node.kernel, node.stride, node.pad, node.ceil, count_include_pad=False
        )
    return lambda values: functional.max_pool2d(values, node.kernel, node.stride, node.pad, ceil_mode=node.ceil)
