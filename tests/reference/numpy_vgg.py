"""A network of the VGG family in NumPy float64: 3 x 3 convolutions, ReLUs, 2 x 2 poolings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def see(
    blocks: Sequence[Sequence[int]],
    parameters: Mapping[str, np.ndarray],
    pooling: str,
    projections: Mapping[str, str],
    image: np.ndarray,
) -> dict[str, np.ndarray]:
    """The features of every ReLU, pooling and projection for an image (3, H, W).

    `projections` names the ReLU of each.
    """
    seen = {}
    values = np.asarray(image, dtype=np.float64)
    for block, filters in enumerate(blocks, start=1):
        for position in range(1, len(filters) + 1):
            name = f"{block}_{position}"
            values = convolution(values, parameters[f"conv{name}_weight"], parameters[f"conv{name}_bias"])
            values = seen[f"relu{name}"] = np.maximum(values, 0.0)
        if min(values.shape[1:]) < 2:
            break
        values = seen[f"pool{block}"] = pool(values, pooling)
    for name, relu in projections.items():
        if relu in seen:
            seen[name] = convolution(seen[relu], parameters[f"{name}_weight"], parameters[f"{name}_bias"], padding=0)
    return seen


def convolution(image: np.ndarray, weight: np.ndarray, bias: np.ndarray, padding: int = 1) -> np.ndarray:
    """The correlation with a weight (filters, channels, h, w), with zero padding."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    rows, columns = weight.shape[2:]
    height, width = padded.shape[1] - rows + 1, padded.shape[2] - columns + 1
    result = np.zeros((weight.shape[0], height, width)) + np.asarray(bias, dtype=np.float64)[:, None, None]
    for row in range(rows):
        for column in range(columns):
            window = padded[:, row : row + height, column : column + width]
            result += np.tensordot(np.asarray(weight[:, :, row, column], dtype=np.float64), window, axes=1)
    return result


def pool(image: np.ndarray, kind: str) -> np.ndarray:
    """Non-overlapping 2 x 2 windows; the last row or column of an odd side is dropped."""
    channels, height, width = image.shape
    windows = image[:, : height // 2 * 2, : width // 2 * 2].reshape(channels, height // 2, 2, width // 2, 2)
    return windows.mean(axis=(2, 4)) if kind == "avg" else windows.max(axis=(2, 4))
