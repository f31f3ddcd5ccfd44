"""The builder shared by all feed-forward style networks: convolutions with instance normalization.

J. Johnson, A. Alahi, L. Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016, and its
supplementary material; D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance Normalization, 2016; A. Odena, V. Dumoulin,
C. Olah: Deconvolution and Checkerboard Artifacts, 2016, for upsampling by resizing before a convolution.

Two things are computed in other ways than they are written down, for speed, with the same result:

- Instance normalization is MXNet's batch normalization of a batch of one image, which oneDNN computes in any memory
  layout, and in bfloat16.
- Nearest-neighbour upsampling and the convolution after it are one convolution of the smaller features with one group
  of filters for each of the positions that an input position becomes (a sub-pixel convolution, Shi et al. 2016), whose
  kernels are sums of those of the layer. A rearrangement of its output follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import Layer, TransformerSpec
from models.runtime import Symbol, load_mxnet

EPSILON = 1e-5  # added to the variance, as in Ulyanov's code
BLOCK = 16  # channels, of which a register of AVX-512 holds a value each


def build(spec: TransformerSpec, dtype: Any = None) -> Symbol:
    """The network from the variable ``data``, an extended image (1, 3, H, W), to an image of the same shape.

    The arguments are the parameters of the SPEC and the constants of :func:`constants`; all are float32. The auxiliary
    states, which the operator needs, are not used.

    Parameters
    ----------
    spec : TransformerSpec
    dtype : MXNet dtype, optional
        In which everything but the image and the parameters is computed; default: float32.
    """
    mx = load_mxnet()
    values = cast(mx.sym.Variable("data") * (1 / spec.input_scale), dtype)
    outputs: dict[str, Symbol] = {}
    for layer in spec.layers:
        values = convolved(layer, values, dtype)
        values = activated(layer, values, outputs.get(layer.adds or ""))
        outputs[layer.name] = values
    return image_of(spec, cast(values, dtype and np.float32))


def image_of(spec: TransformerSpec, values: Symbol) -> Symbol:
    """The image that the last convolution stands for: a scaled tanh, as in Johnson et al., which bounds its values."""
    mx = load_mxnet()
    return mx.sym.Activation(values * (spec.output_scale / spec.bound), act_type="tanh") * spec.bound


def convolved(layer: Layer, values: Symbol, dtype: Any) -> Symbol:
    """The convolution of a layer, after its upsampling."""
    mx = load_mxnet()
    weight = mx.sym.Variable(f"{layer.name}_weight")
    bias = None if layer.normalized else mx.sym.Variable(f"{layer.name}_bias")
    if layer.resize == 1:
        return _convolution(values, weight, bias, layer.channels, layer.kernel, layer.stride, dtype)
    side = 2 * layer.reach + 1
    phases = mx.sym.dot(
        mx.sym.Reshape(weight, shape=(0, 0, -1)), mx.sym.Variable(f"{layer.name}_resize")
    )  # (filters, channels, phases x positions)
    phases = mx.sym.Reshape(phases, shape=(0, 0, layer.phases, -1))
    phases = mx.sym.Reshape(mx.sym.transpose(phases, axes=(2, 0, 1, 3)), shape=(-3, 0, side, side))
    if bias is not None:
        bias = mx.sym.tile(bias, reps=(layer.phases,))
    values = _convolution(values, phases, bias, layer.channels * layer.phases, side, 1, dtype)
    return cast(_arranged(cast(values, dtype and np.float32), layer.resize), dtype)


def _convolution(
    values: Symbol, weight: Symbol, bias: Symbol | None, channels: int, kernel: int, stride: int, dtype: Any
) -> Symbol:
    """A convolution padded with zeros; for oneDNN, which computes others several times as slowly, with 16 n filters."""
    mx = load_mxnet()
    missing = -channels % BLOCK
    if missing:
        weight = mx.sym.concat(weight, mx.sym.zeros((missing, 0, kernel, kernel)), dim=0)
        bias = None if bias is None else mx.sym.concat(bias, mx.sym.zeros((missing,)), dim=0)
    outputs = mx.sym.Convolution(
        values,
        cast(weight, dtype),
        **({"no_bias": True} if bias is None else {"bias": cast(bias, dtype)}),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=((kernel - 1) // 2,) * 2,
        num_filter=channels + missing,
    )
    return mx.sym.slice_axis(outputs, axis=1, begin=0, end=channels) if missing else outputs


def _arranged(values: Symbol, resize: int) -> Symbol:
    """Arrange the phases of positions, (1, phases x channels, H, W), as an image (1, channels, resize H, resize W).

    As MXNet's ``depth_to_space``, which is three times as slow, and like this not there in bfloat16.
    """
    mx = load_mxnet()
    values = mx.sym.Reshape(values, shape=(0, -4, resize, -1, -2))
    values = mx.sym.Reshape(values, shape=(-3, -4, resize, -1, -2))  # (resize, resize, channels, H, W)
    values = mx.sym.transpose(values, axes=(2, 3, 0, 4, 1))
    return mx.sym.Reshape(values, shape=(-4, 1, -1, -3, -3))


def activated(layer: Layer, values: Symbol, added: Symbol | None, given: bool = False) -> Symbol:
    """What follows the convolution of a layer.

    Parameters
    ----------
    layer : Layer
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


def cast(symbol: Symbol, dtype: Any) -> Symbol:
    """A symbol in another dtype; None: as it is."""
    return symbol if dtype is None else load_mxnet().sym.amp_cast(symbol, dtype=dtype)


def constants(spec: TransformerSpec) -> dict[str, NDArray[np.float32]]:
    """For every layer with upsampling the matrix ``_resize`` that makes its sub-pixel kernels, by name."""
    return {
        f"{layer.name}_resize": resize_matrix(layer.kernel, layer.resize) for layer in spec.layers if layer.resize > 1
    }


def resize_matrix(kernel: int, resize: int) -> NDArray[np.float32]:
    """How the kernels of a sub-pixel convolution follow from the kernel of a convolution after upsampling.

    Of an upsampled row, position ``resize x i + phase`` sees with the kernel's value u the position
    ``resize x i + phase + u - padding``, which is a copy of position ``i + floor((phase + u - padding) / resize)``. So
    the kernel's values of that copy add up.

    Returns
    -------
    array (kernel^2, resize^2 x side^2)
        Rows are the values of the kernel, columns those of the small kernels, (side, side), of every phase, (resize,
        resize).
    """
    padding = (kernel - 1) // 2
    reach = -(-padding // resize)
    along = np.zeros((kernel, resize, 2 * reach + 1), np.float32)
    for value in range(kernel):
        for phase in range(resize):
            along[value, phase, (phase + value - padding) // resize + reach] = 1
    both = np.einsum("uat,vbs->uvabts", along, along)
    return both.reshape(kernel**2, -1)


def initial_parameters(spec: TransformerSpec, generator: np.random.Generator) -> Mapping[str, NDArray[np.float32]]:
    """Random weights of He et al. 2015 (variance 2 / fan-in); normalizations that do nothing; biases zero.

    The last layer's weights are less than half of that, so that the first images are grey rather than extreme.
    """
    found = {}
    for name, shape in spec.parameters.items():
        if name.endswith("_weight"):
            values = generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            found[name] = (values * (0.4 if name == f"{spec.layers[-1].name}_weight" else 1.0)).astype(np.float32)
        else:
            found[name] = np.full(shape, 1.0 if name.endswith("_gamma") else 0.0, np.float32)
    return found
