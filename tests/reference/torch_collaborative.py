"""The encoder of Collaborative Distillation in PyTorch float64, as published: Wang et al. 2020, `model/model_cd.py`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

Arrays = dict[str, np.ndarray]
CONV0 = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0]])  # approximately
LAYERS = ("11", "12", "pool", "21", "22", "pool", "31", "32", "33", "34", "pool", "41", "42", "43", "44", "pool", "51")


def see(
    arrays: Mapping[str, np.ndarray], picture: np.ndarray, colour: np.ndarray | None = None
) -> dict[str, torch.Tensor]:
    """The features of every ReLU, by our names, and of the read-outs in the arrays.

    Parameters
    ----------
    arrays
        By the names in the file, ``conv0.weight``.
    picture : (H, W, 3) array
        RGB, 0..1.
    colour : (3,) array, optional
        Padding of the picture, RGB, 0..1; all other layers then use zero padding. By default, every layer uses
        reflection padding.
    """
    values = torch.tensor(picture.transpose(2, 0, 1)[None])
    if colour is not None:
        height, width = picture.shape[:2]
        wider = torch.tensor(colour).reshape(1, 3, 1, 1).repeat(1, 1, height + 2, width + 2)
        wider[:, :, 1:-1, 1:-1] = values
        values = wider

    def convolve(values: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = (torch.tensor(arrays[f"{name}.{kind}"], dtype=torch.float64) for kind in ("weight", "bias"))
        return functional.conv2d(values, weight, bias)

    values, seen = convolve(values, "conv0"), {}
    for layer in LAYERS:
        if layer == "pool":
            values = functional.max_pool2d(values, 2)
            continue
        if colour is None:
            values = functional.pad(values, (1, 1, 1, 1), mode="reflect")
        elif layer != "11":
            values = functional.pad(values, (1, 1, 1, 1))
        values = functional.relu(convolve(values, f"conv{layer}"))
        seen[f"relu{layer[0]}_{layer[1]}"] = values
        if f"conv{layer}_aux.weight" in arrays:
            seen[f"relu{layer[0]}_{layer[1]}_read_out"] = functional.relu(convolve(values, f"conv{layer}_aux"))
    return seen


@functools.cache
def random_arrays() -> Arrays:
    """Random arrays with the names and shapes of the published file."""
    generator = np.random.default_rng(4)

    def convolution(name: str, filters: int, channels: int, side: int) -> Arrays:
        scale = np.sqrt(2 / channels) / side
        return {
            f"{name}.weight": generator.normal(0, scale, (filters, channels, side, side)).astype(np.float32),
            f"{name}.bias": generator.normal(0, 0.1, filters).astype(np.float32),
        }

    noise = generator.normal(0, 0.5, (3, 3))
    arrays = {
        "conv0.weight": (CONV0 + noise).astype(np.float32).reshape(3, 3, 1, 1),
        "conv0.bias": np.array([-104.3, -116.8, -123.3], np.float32),
    }
    channels = 3
    for layer in LAYERS:
        if layer != "pool":
            filters = (16, 32, 64, 128, 128)[int(layer[0]) - 1]
            arrays.update(convolution(f"conv{layer}", filters, channels, 3))
            channels = filters
    for layer, width, channels in (
        ("11", 16, 64),
        ("21", 32, 128),
        ("31", 64, 256),
        ("41", 128, 512),
        ("51", 128, 512),
    ):
        arrays.update(convolution(f"conv{layer}_aux", channels, width, 1))
    return arrays


def write(path: Path, arrays: Arrays, zipped: bool = False) -> Path:
    """Write a file as published, in PyTorch's legacy layout or as a ZIP archive."""
    content = {"epoch": 20, "model": {name: torch.from_numpy(array) for name, array in arrays.items()}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path
