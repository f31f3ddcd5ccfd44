"""The feed-forward networks in PyTorch, as in typical PyTorch programs, for benchmarks and tests.

They are written out from the papers, independently of :mod:`models.feedforward`: only the names and the values of the
parameters are shared. PyTorch is imported when a network is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from styletransfer.studies.benchmarks.pytorch import load_torch


class Network:
    """A feed-forward network: maps an image (1, 3, H, W) in rgb255 to another of the same size.

    Parameters
    ----------
    name : str
        residual or small.
    parameters : dict of arrays
    precision : str
        float32, float64 or bfloat16, of everything but the image.
    channels_last : bool
        Whether the memory format is channels-last.

    Attributes
    ----------
    parameters : dict of tensors
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, NDArray[np.float32]],
        precision: str = "float32",
        channels_last: bool = False,
    ) -> None:
        torch = load_torch()
        self._functional = torch.nn.functional
        self._forward = {"residual": self._residual, "small": self._small}[name]
        self._margin = {"residual": 40, "small": 16}[name]
        self._dtype = getattr(torch, precision)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.parameters: dict[str, Any] = {}
        for key, array in parameters.items():
            value = torch.tensor(array).to(self._dtype)
            self.parameters[key] = value.contiguous(memory_format=self._format) if value.ndim == 4 else value

    def __call__(self, image: Any) -> Any:
        """The stylised image, a tensor (1, 3, H, W) of the dtype of `image`; differentiable."""
        height, width = image.shape[2:]
        values = (self._extended(image) / 64).to(self._dtype, memory_format=self._format)
        values = self._forward(values).to(image.dtype)
        output = 150 * (values * 16 / 150).tanh()
        return output[:, :, self._margin : self._margin + height, self._margin : self._margin + width]

    def _residual(self, values: Any) -> Any:
        """Johnson et al. 2016 with instance normalization and resize-convolutions."""
        values = self._relu("down1", values)
        values = self._relu("down2", values, stride=2)
        values = self._relu("down3", values, stride=2)
        values = self._blocks(values)
        values = self._relu("up1", self._upsampled(values))
        values = self._relu("up2", self._upsampled(values))
        return self._convolution("image", values)

    def _small(self, values: Any) -> Any:
        values = self._blocks(self._relu("down", values, stride=4))
        values = self._relu("up", self._upsampled(values))
        return self._convolution("image", self._upsampled(values))

    def _blocks(self, values: Any) -> Any:
        for block in range(1, 6):
            inside = self._relu(f"block{block}_1", values)
            second = f"block{block}_2"
            values = values + self._normalized(second, self._convolution(second, inside))
        return values

    def _extended(self, image: Any) -> Any:
        """Reflection on every side, and more at the bottom and on the right, up to multiples of 4."""
        height, width = image.shape[2:]
        margin = self._margin
        sides = (margin, margin + -(width + 2 * margin) % 4, margin, margin + -(height + 2 * margin) % 4)
        return self._functional.pad(image, sides, mode="reflect")

    def _convolution(self, name: str, values: Any, stride: int = 1) -> Any:
        weight, bias = self.parameters[f"{name}_weight"], self.parameters.get(f"{name}_bias")
        return self._functional.conv2d(values, weight, bias, stride=stride, padding=weight.shape[2] // 2)

    def _normalized(self, name: str, values: Any) -> Any:
        gamma, beta = self.parameters[f"{name}_gamma"], self.parameters[f"{name}_beta"]
        return self._functional.instance_norm(values, weight=gamma, bias=beta, eps=1e-5)

    def _relu(self, name: str, values: Any, stride: int = 1) -> Any:
        return self._functional.relu(self._normalized(name, self._convolution(name, values, stride)))

    def _upsampled(self, values: Any) -> Any:
        return self._functional.interpolate(values, scale_factor=2, mode="nearest")
