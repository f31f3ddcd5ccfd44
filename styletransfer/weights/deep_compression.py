"""The 0.66 MB SqueezeNet of Deep Compression (Han, Mao, Dally 2015, https://arxiv.org/abs/1510.00149).

For each of the 26 convolutions, the file stores which weights are nonzero (as 4-bit gaps) and which of 256 shared
values each of them takes:

- uint32 numbers of stored codes, one for each of the 26 convolutions;
- then for each convolution: float32[256] shared values, float32[filters] bias, uint8[codes] indices into the
  shared values, uint8[ceil(codes / 2)] packed 4-bit gaps, low half first. Code k is at position ``sum(gap + 1) - 1`` of
  the flattened (filters, channels, height, width) weight; everything in between is zero, and so is shared value 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_SHARED_VALUES = 256


def read(stream: BinaryIO, size: int, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Decode the file.

    Raises ValueError if the file is truncated, has trailing bytes, or stores a weight beyond the end of its layer.

    Parameters
    ----------
    stream, size
        The open file and its length in bytes.
    shapes
        The parameters of SqueezeNet in the order of its layers, ``*_weight`` before ``*_bias``.
    """

    def take(dtype: str, count: int) -> NDArray:
        length = count * np.dtype(dtype).itemsize
        taken = stream.read(length) if length <= size - stream.tell() else b""
        if len(taken) != length:
            raise ValueError("it is truncated")
        return np.frombuffer(taken, dtype)

    layers = [name[: -len("_weight")] for name in shapes if name.endswith("_weight")]
    parameters: dict[str, NDArray[np.float32]] = {}
    for layer, codes in zip(layers, take("<u4", len(layers)).tolist()):
        shape = shapes[layer + "_weight"]
        weight = np.zeros(int(np.prod(shape)), np.float32)
        if codes > weight.size:
            raise ValueError(f"{layer} stores more weights than it has")
        shared = take("<f4", _SHARED_VALUES).astype(np.float32)
        bias = take("<f4", shape[0]).astype(np.float32)
        values = take("u1", codes)
        packed = take("u1", -(-codes // 2))
        gaps = np.stack([packed & 0x0F, packed >> 4], axis=1).ravel()[:codes]
        positions = np.cumsum(gaps.astype(np.int64) + 1) - 1
        if codes and positions[-1] >= weight.size:
            raise ValueError(f"a weight of {layer} is beyond the end of the layer")
        weight[positions] = shared[values]
        parameters[layer + "_weight"] = weight.reshape(shape)
        parameters[layer + "_bias"] = bias
    if stream.tell() != size:
        raise ValueError("it has trailing bytes")
    return parameters
