"""Feed-forward networks as functions of PyTorch."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import feedforward_torch
from models.feedforward_spec import Layer, TransformerSpec
from styletransfer.engines.base import Parameters, Statistics
from styletransfer.engines.torch.network import DTYPES


def _tensors(parameters: Parameters, device: torch.device) -> dict[str, Tensor]:
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in ((name, torch.tensor(values, device=device)) for name, values in parameters.items())
    }


def _entered(image: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.tensor(image, device=device).contiguous(memory_format=torch.channels_last)


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return values.detach().float().contiguous().cpu().numpy()


class Stylizer:
    """See :class:`~styletransfer.engines.base.Stylizer`."""

    def __init__(self, spec: TransformerSpec, parameters: Parameters, device: torch.device, precision: str) -> None:
        self._device = device
        self._stylise = feedforward_torch.network(spec, _tensors(parameters, device), DTYPES[precision])

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return _numpy(self._stylise(_entered(image, self._device)))


class StripLayer:
    """See :class:`~styletransfer.engines.base.StripLayer`."""

    def __init__(
        self,
        spec: TransformerSpec,
        parameters: Parameters,
        before: Layer | None,
        layer: Layer,
        statistics: Statistics | None,
        device: torch.device,
        precision: str,
        keep: bool,
    ) -> None:
        self._spec, self._before, self._layer, self._keep = spec, before, layer, keep
        self._device, self._dtype = device, DTYPES[precision]
        self._parameters = _tensors(parameters, device)
        self._statistics: tuple[Tensor, Tensor] | None = None
        if statistics is not None:
            mean, variance = (torch.tensor(each, dtype=torch.float32, device=device) for each in statistics)
            self._statistics = mean, variance

    def __call__(
        self, values: NDArray[np.float32], added: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        with torch.inference_mode():
            given = _entered(values, self._device)
            if self._before is None:
                given = feedforward_torch.entered(self._spec, given).to(self._dtype)
            else:
                other = None if added is None else _entered(added, self._device).to(self._dtype)
                given = feedforward_torch.activated(
                    self._before, given.to(self._dtype), self._parameters, other, self._statistics
                )
            convolved = feedforward_torch.convolved(self._layer, given, self._parameters).float()
            if self._layer is self._spec.layers[-1]:
                convolved = feedforward_torch.image_of(self._spec, convolved)
            return _numpy(convolved), _numpy(given) if self._keep else None


class TrainableStylizer:
    """See :class:`~styletransfer.engines.base.TrainableStylizer`."""

    def __init__(self, spec: TransformerSpec, device: torch.device, precision: str) -> None:
        self._spec, self._device, self._dtype = spec, device, DTYPES[precision]
        self._values = torch.zeros(sum(map(math.prod, spec.parameters.values())), device=device, requires_grad=True)
        self._output = self._values
        self.gradient = torch.zeros_like(self._values.data)

    def set_parameters(self, values: Tensor) -> None:
        self._values.data.copy_(values)
        self.gradient = torch.zeros_like(self._values.data)

    def forward(self, image: NDArray[np.float32]) -> Tensor:
        shapes = self._spec.parameters
        parts = self._values.split([math.prod(shape) for shape in shapes.values()])
        parameters = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts)}
        stylise = feedforward_torch.network(self._spec, parameters, self._dtype)
        self._output = stylise(_entered(image, self._device))
        return self._output.detach()

    def backward(self, head: Tensor) -> None:
        (gradient,) = torch.autograd.grad(self._output, self._values, head)
        self.gradient += gradient
