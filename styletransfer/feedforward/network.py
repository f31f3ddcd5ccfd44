"""A feed-forward network bound for images of one size: an image in, a stylised image out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import feedforward, feedforward_mxnet
from models.feedforward_spec import TransformerSpec
from models.runtime import Array, Context, load_mxnet
from styletransfer.network.precision import DTYPES

Parameters = Mapping[str, NDArray[np.float32]]


def extended(image: NDArray[np.float32], spec: TransformerSpec) -> NDArray[np.float32]:
    """An image (1, 3, height, width), extended by reflection as the network expects it."""
    sides = [spec.padding(length) for length in image.shape[2:]]
    return np.pad(image, [(0, 0), (0, 0), *sides], mode="reflect")


def inner(spec: TransformerSpec, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an extended image that are the image itself, of the given size."""
    rows, columns = (slice(spec.margin, spec.margin + length) for length in (height, width))
    return rows, columns


def constant_arrays(spec: TransformerSpec, context: Context) -> tuple[dict[str, Array], dict[str, Array]]:
    """The arguments of the symbol that are not parameters, and its auxiliary states, which are not used."""
    mx = load_mxnet()
    arguments = {name: mx.nd.array(values, ctx=context) for name, values in feedforward.constants(spec).items()}
    states = {
        f"{layer.name}_{kind}": fill(layer.channels, ctx=context)
        for layer in spec.layers
        if layer.normalized
        for kind, fill in (("mean", mx.nd.zeros), ("var", mx.nd.ones))
    }
    return arguments, states


class Transformer:
    """The executor of a feed-forward network, forward only.

    Parameters
    ----------
    parameters : dict of arrays
    height, width : int
        Of the extended image.
    context : mxnet Context
    precision : str
        float32 or bfloat16.
    """

    def __init__(
        self, spec: TransformerSpec, parameters: Parameters, height: int, width: int, context: Context, precision: str
    ) -> None:
        mx = load_mxnet()
        constants, states = constant_arrays(spec, context)
        self._image = mx.nd.zeros((1, 3, height, width), ctx=context)
        arguments = {name: mx.nd.array(values, ctx=context) for name, values in parameters.items()}
        self._executor = feedforward_mxnet.build(spec, dtype_of(precision)).bind(
            context, {**arguments, **constants, "data": self._image}, grad_req="null", aux_states=states
        )

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The stylised image, (1, 3, height, width), of an extended image of the same shape."""
        self._image[:] = image
        (output,) = self._executor.forward(is_train=True)  # normalizes by the statistics of this image
        return output.asnumpy()


def dtype_of(precision: str) -> Any:
    """The dtype that :mod:`models.feedforward_mxnet` takes."""
    return None if precision == "float32" else DTYPES[precision]
