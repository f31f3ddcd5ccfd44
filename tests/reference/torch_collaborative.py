"""The encoder of Collaborative Distillation in PyTorch float64, as published: Wang et al. 2020, `model/model_cd.py`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional

LAYERS = ("11", "12", "pool", "21", "22", "pool", "31", "32", "33", "34", "pool", "41", "42", "43", "44", "pool", "51")


def see(
    arrays: Mapping[str, np.ndarray], picture: np.ndarray, colour: np.ndarray | None = None
) -> dict[str, torch.Tensor]:
    """The features of every convolution behind its ReLU, by our names, and of the read-outs that the arrays have.

    Parameters
    ----------
    arrays
        By the names in the file, ``conv0.weight``.
    picture : (H, W, 3) array
        RGB, 0..1.
    colour : (3,) array, optional
        What the picture is surrounded by, RGB, 0..1; all further layers are then surrounded by zeros. Without it,
        every layer is surrounded by its own reflection.
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
