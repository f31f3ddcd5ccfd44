"""Feed-forward style networks as functions of PyTorch tensors: convolutions with instance normalization.

Instance normalization is batch normalization of a batch of one image; upsampling and the convolution after it are a
sub-pixel convolution, see `models/feedforward.py`. Everything may be differentiated, with respect to the image and the
parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from models.feedforward import EPSILON, resize_matrix
from models.feedforward_spec import Layer, TransformerSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def network(
    spec: TransformerSpec, parameters: Mapping[str, Tensor], dtype: torch.dtype | None = None
) -> Callable[[Tensor], Tensor]:
    """Make the function from an extended image, (1, 3, H, W), to an image of the same shape and dtype.

    Parameters
    ----------
    parameters : mapping of tensors
        By the names of the SPEC; read at every call.
    dtype : torch dtype, optional
        In which everything but the image and the parameters is computed; default: that of the image.
    """

    def stylise(image: Tensor) -> Tensor:
        values = entered(spec, image).to(dtype or image.dtype)
        outputs: dict[str | None, Tensor] = {}
        for number, layer in enumerate(spec.layers):
            values = activated(layer, convolved(layer, values, parameters), parameters, outputs.get(layer.adds))
            outputs[layer.name] = values
            later = {each.adds for each in spec.layers[number + 1 :]}
            outputs = {name: output for name, output in outputs.items() if name in later}
        return image_of(spec, values.to(image.dtype))

    return stylise


def entered(spec: TransformerSpec, image: Tensor) -> Tensor:
    """Scale an image as the first convolution expects it."""
    return image * (1 / spec.input_scale)


def convolved(layer: Layer, values: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Apply the convolution of a layer, after its upsampling, in the dtype of `values`."""
    from torch.nn import functional

    weight, bias = parameters[f"{layer.name}_weight"], parameters.get(f"{layer.name}_bias")
    if layer.resize > 1:
        side = 2 * layer.reach + 1
        matrix = _resize_matrix(layer.kernel, layer.resize, weight.dtype, weight.device)
        kernels = (weight.flatten(2) @ matrix).unflatten(2, (layer.phases, side, side))
        weight = kernels.transpose(1, 2).flatten(0, 1)  # (filters x phases, channels, side, side)
        bias = None if bias is None else bias.repeat_interleave(layer.phases)
    bias = None if bias is None else bias.to(values.dtype)
    padding = layer.padding if layer.resize == 1 else layer.reach
    values = functional.conv2d(values, weight.to(values.dtype), bias, layer.stride, padding)
    return functional.pixel_shuffle(values, layer.resize)


@functools.cache
def _resize_matrix(kernel: int, resize: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    import torch

    with torch.inference_mode(False):  # or backward passes later in the process could not use it
        return torch.from_numpy(resize_matrix(kernel, resize)).to(device, dtype)


def activated(
    layer: Layer,
    values: Tensor,
    parameters: Mapping[str, Tensor],
    added: Tensor | None = None,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Apply what follows the convolution of a layer.

    Parameters
    ----------
    values : tensor
        The output of the convolution.
    parameters : mapping of tensors
    added : tensor, or None
        The output of the layer `layer.adds`.
    statistics : pair of tensors, optional
        The mean and the variance of every channel; default: those of `values`.
    """
    from torch.nn import functional

    if layer.normalized:
        mean, variance = statistics or (None, None)
        gamma, beta = (parameters[f"{layer.name}_{kind}"] for kind in ("gamma", "beta"))
        values = functional.batch_norm(values, mean, variance, gamma, beta, training=mean is None, eps=EPSILON)
    if layer.relu:
        values = functional.relu(values)
    return values if added is None else values + added


def image_of(spec: TransformerSpec, values: Tensor) -> Tensor:
    """The image that the last convolution stands for: a scaled tanh, as in Johnson et al., which bounds its values."""
    return (values * (spec.output_scale / spec.bound)).tanh() * spec.bound
