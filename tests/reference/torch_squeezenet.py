"""SqueezeNet v1.0 in PyTorch float64, after Iandola et al. 2016 and its Caffe definition."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional


def see(parameters: Mapping[str, np.ndarray], image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every layer for an image (1, 3, H, W), and the class scores before the softmax."""

    def relu(values: torch.Tensor, name: str, **window: int) -> torch.Tensor:
        weight, bias = (torch.tensor(parameters[f"{name}_{kind}"], dtype=torch.float64) for kind in ("weight", "bias"))
        return functional.relu(functional.conv2d(values, weight, bias, **window))

    def pool(values: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(values, 3, 2, ceil_mode=True)

    seen = {"relu_conv1": relu(image, "conv1", stride=2)}
    values = seen["pool1"] = pool(seen["relu_conv1"])
    for number in range(2, 10):
        name = f"fire{number}"
        squeezed = seen[f"{name}_squeeze"] = relu(values, f"{name}_squeeze1x1")
        branches = [relu(squeezed, f"{name}_expand1x1"), relu(squeezed, f"{name}_expand3x3", padding=1)]
        values = seen[name] = torch.cat(branches, dim=1)
        if number in (4, 8):
            values = seen[f"pool{number}"] = pool(values)
    seen["relu_conv10"] = relu(values, "conv10")
    seen["classes"] = seen["relu_conv10"].mean(dim=(2, 3))
    return seen
