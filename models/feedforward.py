"""Feed-forward style networks on any engine: initial parameters, and the kernels of upsampling.

J. Johnson, A. Alahi, L. Fei-Fei: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016, and its
supplementary material; D. Ulyanov, A. Vedaldi, V. Lempitsky: Instance Normalization, 2016; A. Odena, V. Dumoulin,
C. Olah: Deconvolution and Checkerboard Artifacts, 2016, for upsampling by resizing before a convolution.

Nearest-neighbour upsampling and the convolution after it equal one convolution of the smaller features with one group
of filters for each of the positions that an input position becomes (a sub-pixel convolution, Shi et al. 2016), whose
kernels are sums of those of the layer. A rearrangement of its output follows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import TransformerSpec

EPSILON = 1e-5  # added to the variance, as in Ulyanov's code


def constants(spec: TransformerSpec) -> dict[str, NDArray[np.float32]]:
    """For every layer with upsampling the matrix ``_resize`` that makes its sub-pixel kernels, by name."""
    return {
        f"{layer.name}_resize": resize_matrix(layer.kernel, layer.resize) for layer in spec.layers if layer.resize > 1
    }


def resize_matrix(kernel: int, resize: int) -> NDArray[np.float32]:
    """Make the matrix from the kernel of a convolution after upsampling to the kernels of a sub-pixel convolution.

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
