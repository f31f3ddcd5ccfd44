"""Feed-forward style networks as MXNet symbols: convolutions with instance normalization.

Two things are computed in other ways than they are written down, for speed, with the same result:

- Instance normalization is MXNet's batch normalization of a batch of one image, which oneDNN computes in any memory
  layout.
- Upsampling and the convolution after it are a sub-pixel convolution; see `models/feedforward.py`.
"""

from __future__ import annotations

from models.feedforward import EPSILON
from models.feedforward_spec import Layer, TransformerSpec
from models.runtime import Symbol, load_mxnet

BLOCK = 16  # channels, of which a register of AVX-512 holds a value each


def build(spec: TransformerSpec) -> Symbol:
    """The network from the variable ``data``, an extended image (1, 3, H, W), to an image of the same shape.

    The arguments are the parameters of the SPEC and those of :func:`models.feedforward.constants`; all are float32. The
    auxiliary states, which the operator needs, are not used.

    """
    mx = load_mxnet()
    values = mx.sym.Variable("data") * (1 / spec.input_scale)
    outputs: dict[str, Symbol] = {}
    for layer in spec.layers:
        values = convolved(layer, values)
        values = activated(layer, values, outputs.get(layer.adds or ""))
        outputs[layer.name] = values
    return image_of(spec, values)


def image_of(spec: TransformerSpec, values: Symbol) -> Symbol:
    """The image that the last convolution stands for: a scaled tanh, as in Johnson et al., which bounds its values."""
    mx = load_mxnet()
    return mx.sym.Activation(values * (spec.output_scale / spec.bound), act_type="tanh") * spec.bound


def convolved(layer: Layer, values: Symbol) -> Symbol:
    """The convolution of a layer, after its upsampling."""
    mx = load_mxnet()
    weight = mx.sym.Variable(f"{layer.name}_weight")
    bias = None if layer.normalized else mx.sym.Variable(f"{layer.name}_bias")
    if layer.resize == 1:
        return _convolution(values, weight, bias, layer.channels, layer.kernel, layer.stride)
    side = 2 * layer.reach + 1
    phases = mx.sym.dot(
        mx.sym.Reshape(weight, shape=(0, 0, -1)), mx.sym.Variable(f"{layer.name}_resize")
    )  # (filters, channels, phases x positions)
    phases = mx.sym.Reshape(phases, shape=(0, 0, layer.phases, -1))
    phases = mx.sym.Reshape(mx.sym.transpose(phases, axes=(2, 0, 1, 3)), shape=(-3, 0, side, side))
    if bias is not None:
        bias = mx.sym.tile(bias, reps=(layer.phases,))
    values = _convolution(values, phases, bias, layer.channels * layer.phases, side, 1)
    return _arranged(values, layer.resize)


def _convolution(
    values: Symbol, weight: Symbol, bias: Symbol | None, channels: int, kernel: int, stride: int
) -> Symbol:
    """A convolution padded with zeros; for oneDNN, which computes others several times as slowly, with 16 n filters."""
    mx = load_mxnet()
    missing = -channels % BLOCK
    if missing:
        weight = mx.sym.concat(weight, mx.sym.zeros((missing, 0, kernel, kernel)), dim=0)
        bias = None if bias is None else mx.sym.concat(bias, mx.sym.zeros((missing,)), dim=0)
    outputs = mx.sym.Convolution(
        values,
        weight,
        **({"no_bias": True} if bias is None else {"bias": bias}),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=((kernel - 1) // 2,) * 2,
        num_filter=channels + missing,
    )
    return mx.sym.slice_axis(outputs, axis=1, begin=0, end=channels) if missing else outputs


def _arranged(values: Symbol, resize: int) -> Symbol:
    """Arrange the phases of positions, (1, phases x channels, H, W), as an image (1, channels, resize H, resize W).

    As MXNet's ``depth_to_space``, which is three times as slow.
    """
    mx = load_mxnet()
    values = mx.sym.Reshape(values, shape=(0, -4, resize, -1, -2))
    values = mx.sym.Reshape(values, shape=(-3, -4, resize, -1, -2))  # (resize, resize, channels, H, W)
    values = mx.sym.transpose(values, axes=(2, 3, 0, 4, 1))
    return mx.sym.Reshape(values, shape=(-4, 1, -1, -3, -3))


def activated(layer: Layer, values: Symbol, added: Symbol | None, given: bool = False) -> Symbol:
    """Apply what follows the convolution of a layer.

    Parameters
    ----------
    values : symbol
        The output of the convolution.
    added : symbol, or None
        The output of the layer `layer.adds`.
    given : bool
        Whether the mean and the variance of every channel are given, as the auxiliary states ``_mean`` and ``_var``,
        instead of being those of `values`.
    """
    mx = load_mxnet()
    if layer.normalized:
        names = {kind: mx.sym.Variable(f"{layer.name}_{kind}") for kind in ("gamma", "beta")}
        names |= {f"moving_{kind}": mx.sym.Variable(f"{layer.name}_{kind}") for kind in ("mean", "var")}
        values = mx.sym.BatchNorm(values, **names, eps=EPSILON, fix_gamma=False, use_global_stats=given)
    if layer.relu:
        values = mx.sym.Activation(values, act_type="relu")
    return values if added is None else values + added
