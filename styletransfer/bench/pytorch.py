"""The networks and the objective in bare PyTorch, as in typical PyTorch programs.

They are written out from the papers: only weights and pictures are shared with the library, so that they also serve its
tests. PyTorch is imported by `load_torch` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.threads import threads

_LAPLACIAN = ((0, -1, 0), (-1, 4, -1), (0, -1, 0))


def load_torch() -> ModuleType:
    """Import PyTorch, with the same number of threads as ours."""
    import torch

    torch.set_num_threads(threads())
    return torch


def tensors(arrays: Mapping[str, NDArray], precision: str, channels_last: bool) -> dict[str, Any]:
    """Parameters as tensors."""
    torch = load_torch()
    values = {name: torch.tensor(array).to(getattr(torch, precision)) for name, array in arrays.items()}
    kind = torch.channels_last if channels_last else torch.contiguous_format
    return {name: value.contiguous(memory_format=kind) if value.ndim == 4 else value for name, value in values.items()}


class VGG:
    """A network of the VGG family: maps an image (1, 3, H, W) to the features of `layers`, by name.

    Parameters
    ----------
    parameters : dict of arrays
    pooling : str
        max or avg.
    layers : names of ReLUs and projections
    projections : dict of str
        The name of each projection, a 1 x 1 convolution, by that of its ReLU.
    precision : str
        float32; or bfloat16, for weights and features.
    channels_last : bool
        Whether the memory format is channels-last.
    """

    def __init__(
        self,
        parameters: Mapping[str, NDArray],
        pooling: str,
        layers: Sequence[str],
        projections: Mapping[str, str],
        precision: str = "float32",
        channels_last: bool = False,
    ) -> None:
        torch = load_torch()
        self._functional = torch.nn.functional
        self._pool = getattr(self._functional, f"{pooling}_pool2d")
        self._layers, self._projections = set(layers), projections
        self._parameters = tensors(parameters, precision, channels_last)
        self._convolutions = [
            name.removesuffix("_weight") for name in parameters if name.startswith("conv") and name.endswith("_weight")
        ]
        self._dtype = getattr(torch, precision)
        self._format = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, image: Any) -> dict[str, Any]:
        features: dict[str, Any] = {}
        values, block = image.to(self._dtype, memory_format=self._format), "1"
        for name in self._convolutions:  # conv1_1, conv1_2, conv2_1, ...
            if name[4] != block:
                values, block = self._pool(values, 2), name[4]
            values = self._convolved(name, values)
            if name.endswith(("_reduce", "_core")):  # the first factors of a convolution
                continue
            values = self._functional.relu(values)
            relu = name.replace("conv", "relu")
            projection = self._projections.get(relu)
            if relu in self._layers:
                features[relu] = values
            if projection in self._layers:
                features[projection] = self._convolved(projection, values)
            if len(features) == len(self._layers):
                break
        return features

    def _convolved(self, name: str, values: Any) -> Any:
        weight, bias = (self._parameters[f"{name}_{kind}"] for kind in ("weight", "bias"))
        return self._functional.conv2d(values, weight, bias, padding=weight.shape[2] // 2)


class Objective:
    """The balanced total of an image: losses relative to the energy of their targets, and the Laplacian TV.

    Parameters
    ----------
    content : array (1, 3, H, W)
    styles : sequence of (weight, array (1, 3, h, w))
        Weights sum to 1.
    content_layers, style_layers : dict of float
        Weights of the layers.
    weights : (content, style, tv)
        A TV weight above 0 adds the Laplacian TV relative to that of the content.
    """

    def __init__(
        self,
        network: VGG,
        content: NDArray,
        styles: Sequence[tuple[float, NDArray]],
        content_layers: Mapping[str, float],
        style_layers: Mapping[str, float],
        weights: tuple[float, float, float],
    ) -> None:
        torch = load_torch()
        self._network = network
        self._laplacian = torch.tensor([[_LAPLACIAN]] * 3, dtype=torch.float32)
        with torch.no_grad():
            photograph = torch.from_numpy(content)
            features = network(photograph)
            self._content = {layer: features[layer] for layer in content_layers}
            self._style: dict[str, Any] = dict.fromkeys(style_layers, 0)
            for share, style in styles:
                seen = network(torch.from_numpy(style))
                for layer in style_layers:
                    positions = [values[layer][0, 0].numel() for values in (features, seen)]
                    self._style[layer] += gram(seen[layer]) * (share * positions[0] / positions[1])
            self._factors = _factors(weights[0], content_layers, self._content)
            self._factors |= {f"gram {n}": f for n, f in _factors(weights[1], style_layers, self._style).items()}
            self._tv_factor = weights[2] / float(self._tv(photograph)) if weights[2] else 0.0

    def __call__(self, image: Any) -> Any:
        """The total, a differentiable scalar."""
        features = self._network(image)
        total = self._tv(image) * self._tv_factor if self._tv_factor else 0.0
        for layer, target in self._content.items():
            total = total + self._factors[layer] * _energy(features[layer] - target)
        for layer, target in self._style.items():
            total = total + self._factors[f"gram {layer}"] * _energy(gram(features[layer]) - target)
        return total

    def _tv(self, image: Any) -> Any:
        """1/2 <x, K x>."""
        return 0.5 * (image * load_torch().nn.functional.conv2d(image, self._laplacian, padding=1, groups=3)).sum()


def gram(features: Any) -> Any:
    """The raw Gram matrix F F^T, float32, of features (1, channels, height, width)."""
    flat = features.flatten(2)[0]
    return (flat @ flat.T).float()


def _energy(value: Any) -> Any:
    """The sum of squares, in float32."""
    return value.float().square().sum()


def _factors(weight: float, layers: Mapping[str, float], targets: Mapping[str, Any]) -> dict[str, float]:
    """The factor of each layer's raw sum of squares."""
    return {
        layer: weight * share / sum(layers.values()) / float(_energy(targets[layer])) for layer, share in layers.items()
    }


class Transformer:
    """A feed-forward network: maps an image (1, 3, H, W) in rgb255 to another of the same size; differentiable.

    Parameters
    ----------
    name : str
        residual (Johnson et al. 2016 with instance normalization and resize-convolutions) or small.
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
        self.parameters = tensors(parameters, precision, channels_last)

    def __call__(self, image: Any) -> Any:
        height, width = image.shape[2:]
        margin = self._margin
        # Reflection on every side, and more at the bottom and on the right, up to multiples of 4.
        sides = (margin, margin + -(width + 2 * margin) % 4, margin, margin + -(height + 2 * margin) % 4)
        extended = self._functional.pad(image, sides, mode="reflect") / 64
        values = self._forward(extended.to(self._dtype, memory_format=self._format)).to(image.dtype)
        output = 150 * (values * 16 / 150).tanh()
        return output[:, :, margin : margin + height, margin : margin + width]

    def _residual(self, values: Any) -> Any:
        for name, stride in (("down1", 1), ("down2", 2), ("down3", 2)):
            values = self._relu(name, values, stride)
        values = self._blocks(values)
        for name in ("up1", "up2"):
            values = self._relu(name, self._upsampled(values))
        return self._convolution("image", values)

    def _small(self, values: Any) -> Any:
        values = self._blocks(self._relu("down", values, stride=4))
        values = self._relu("up", self._upsampled(values))
        return self._convolution("image", self._upsampled(values))

    def _blocks(self, values: Any) -> Any:
        for block in range(1, 6):
            values = values + self._normalized(f"block{block}_2", self._relu(f"block{block}_1", values))
        return values

    def _convolution(self, name: str, values: Any, stride: int = 1) -> Any:
        weight, bias = self.parameters[f"{name}_weight"], self.parameters.get(f"{name}_bias")
        return self._functional.conv2d(values, weight, bias, stride=stride, padding=weight.shape[2] // 2)

    def _normalized(self, name: str, values: Any, stride: int = 1) -> Any:
        gamma, beta = self.parameters[f"{name}_gamma"], self.parameters[f"{name}_beta"]
        convolved = self._convolution(name, values, stride)
        return self._functional.instance_norm(convolved, weight=gamma, bias=beta, eps=1e-5)

    def _relu(self, name: str, values: Any, stride: int = 1) -> Any:
        return self._functional.relu(self._normalized(name, values, stride))

    def _upsampled(self, values: Any) -> Any:
        return self._functional.interpolate(values, scale_factor=2, mode="nearest")
