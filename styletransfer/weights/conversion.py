"""Shared by the readers of published formats: from a file's shapes and pixel convention to those of the SPEC.

Frossard's archive, Keras and MatConvNet store kernels as (height, width, channels, filters).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.pictures.pixels import adapt_first_layer


def stored_shape(spec: ModelSpec, name: str) -> tuple[int, ...]:
    """The shape in which a file stores a parameter of the SPEC: (height, width, channels, filters) or (filters,).

    Raises ValueError if the SPEC has no such parameter.
    """
    if name not in spec.parameters:
        raise ValueError(f"{name} is not a parameter of {spec.name}")
    shape = spec.parameters[name]
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape


def require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Reject a parameter of the wrong shape before its values are read."""
    if shape != expected:
        raise ValueError(f"{name} is stored with shape {shape}, expected {expected}")


def filters_first(stored: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Transpose kernels from (height, width, channels, filters) to (filters, channels, height, width); keep biases."""
    return {name: array.transpose(3, 2, 0, 1) if array.ndim == 4 else array for name, array in stored.items()}


def adapt(arrays: Mapping[str, NDArray], spec: ModelSpec, native: str) -> dict[str, NDArray[np.float32]]:
    """The parameters as float32, with the first convolution adapted to the pixel convention of the SPEC.

    Raises ValueError if the first convolution is missing.

    Parameters
    ----------
    arrays
        Parameters with the names and shapes of the SPEC; some may be missing.
    native
        The pixel convention they were trained for.
    """
    single = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    first = ("conv1_1_weight", "conv1_1_bias")
    if not all(name in single for name in first):
        raise ValueError("it has no convolution conv1_1")
    weight, bias = (single[name] for name in first)
    with np.errstate(all="ignore"):  # `check` rejects values that are not finite
        single.update(zip(first, adapt_first_layer(weight, bias, native, spec.pixels)))
    return single
