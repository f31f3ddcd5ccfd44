"""A network as a differentiable function of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models import to_torch
from models.spec import ModelSpec
from styletransfer.engines.base import Head, Parameters
from styletransfer.engines.differences import Differences

if TYPE_CHECKING:
    from styletransfer.engines.torch.engine import TorchEngine

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_PART = 1 << 14  # positions whose products are rounded to bfloat16 at once


class TorchNetwork:
    """See :class:`~styletransfer.engines.base.Network`."""

    def __init__(
        self,
        engine: TorchEngine,
        spec: ModelSpec,
        parameters: Parameters,
        pooling: str,
        precision: str,
        device: torch.device,
    ) -> None:
        self.engine, self.spec = engine, spec
        self._pooling, self._dtype = pooling, DTYPES[precision]
        self._parameters = {
            name: torch.tensor(values).to(device, self._dtype).contiguous(memory_format=_layout(values.ndim))
            for name, values in parameters.items()
        }

    def bind(
        self,
        layers: Iterable[str],
        shape: tuple[int, int, int],
        after: str | None = None,
        trainable: bool = True,
        by_gram: Collection[str] = (),
    ) -> TorchBound:
        see = to_torch.features(self.spec, self._parameters, tuple(layers), self._pooling, after)
        return TorchBound(self.engine, see, self._dtype, trainable)


def _layout(axes: int) -> torch.memory_format:
    return torch.channels_last if axes == 4 else torch.contiguous_format


class TorchBound(Differences):
    """See :class:`~styletransfer.engines.base.Bound`."""

    def __init__(
        self, engine: TorchEngine, see: Callable[[Tensor], dict[str, Tensor]], dtype: torch.dtype, trainable: bool
    ) -> None:
        super().__init__(engine)
        self._see, self._dtype, self._trainable = see, dtype, trainable
        self._image: Tensor | None = None
        self._features: dict[str, Tensor] = {}

    def forward(self, values: Tensor) -> None:
        self._features, self._image = {}, None  # frees those of the last pass first
        self._differences.clear()
        image = values.detach().to(self._dtype, memory_format=torch.channels_last)
        if self._trainable:
            image = (image.clone() if image is values else image).requires_grad_()
        with torch.set_grad_enabled(self._trainable):
            self._features = self._see(image)
        self._image = image

    def features(self, layer: str) -> Tensor:
        return self._features[layer].detach().float()

    def gram(self, layer: str, mask: Tensor | None = None) -> Tensor:
        positions = _positions(self._features[layer])
        if mask is not None:
            positions = positions.float() * mask.reshape(-1, 1)
        return _product(positions.T, positions)

    def backward(self, heads: Mapping[str, Head]) -> Tensor:
        given = {layer: self._head(layer, head) for layer, head in heads.items()}
        given = {layer: head for layer, head in given.items() if head is not None}
        assert self._image is not None, "before a forward pass"
        (gradient,) = torch.autograd.grad([self._features[layer] for layer in given], self._image, [*given.values()])
        return gradient.float().contiguous()

    def _head(self, layer: str, head: Head) -> Tensor | None:
        features, total = self._features[layer], None
        if head.gram is not None:
            positions = _positions(features)
            if head.maps is None:
                product = positions @ (2 * head.gram).to(positions.dtype)
            else:
                product = sum(
                    (positions @ (2 * matrix).to(positions.dtype)) * guide.reshape(-1, 1).to(positions.dtype)
                    for matrix, guide in zip(head.gram, head.maps)
                )
            total = product.reshape(1, *features.shape[2:], -1).permute(0, 3, 1, 2)
        if head.target is not None:
            total = _added(total, (2 * head.coefficient) * self._difference(layer, head.target))
        if head.given is not None:
            total = _added(total, head.given)
        return None if total is None else total.to(features.dtype)


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    return part if total is None else total + part


def _positions(features: Tensor) -> Tensor:
    """Features (1, channels, height, width) as rows of positions; a view of features with channels last."""
    return features.detach().permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def _product(first: Tensor, second: Tensor) -> Tensor:
    """The product of two matrices in float32. In bfloat16, products of parts are summed in float32."""
    if first.dtype == torch.float32:
        return first @ second
    parts = zip(first.split(_PART, dim=1), second.split(_PART))
    total: Tensor | None = None
    for left, right in parts:
        total = _added(total, (left @ right).float())
    assert total is not None
    return total
