"""PyTorch tensors and operations."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.feedforward_spec import Layer, TransformerSpec
from models.spec import ModelSpec
from models.threads import threads
from styletransfer.engines.base import Parameters, Statistics
from styletransfer.engines.choice import is_fast_in_bfloat16
from styletransfer.engines.heap import trim
from styletransfer.engines.torch import feedforward
from styletransfer.engines.torch.network import TorchNetwork
from styletransfer.support.errors import UserError

_CHUNK = 1 << 18  # values summed in float32
_OUT_OF_MEMORY = "DefaultCPUAllocator: can't allocate memory"  # of a RuntimeError; GPUs have an error of their own


class TorchEngine:
    """See :class:`~styletransfer.engines.base.Engine`.

    Scalars are tensors of shape () in double precision (in float32 on MPS, which has no other), on the device.

    Raises
    ------
    UserError
        If there is no such device.
    """

    name = "torch"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._device = _device_of(device)
        self._wide = torch.float32 if self._device.type == "mps" else torch.float64
        if self._device.type == "cuda":  # or float32 would be TF32, with 10 bits of mantissa
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if self._device.type == "cpu" and (sys.platform == "linux" or os.environ.get("OMP_NUM_THREADS")):
            torch.set_num_threads(threads())  # PyTorch does not know the quota of a control group

    def array(self, values: NDArray) -> Tensor:
        return torch.tensor(np.ascontiguousarray(values, dtype=np.float32), device=self._device)

    def numpy(self, array: Tensor) -> NDArray[np.float32]:
        return np.array(array.detach().cpu().numpy(), dtype=np.float32)

    def zeros(self, shape: Sequence[int]) -> Tensor:
        return torch.zeros(tuple(shape), device=self._device)

    def copy(self, array: Tensor) -> Tensor:
        return array.clone()

    def assign(self, array: Tensor, values: Tensor | NDArray) -> None:
        array.copy_(values if isinstance(values, Tensor) else torch.from_numpy(np.asarray(values, dtype=np.float32)))

    def stack(self, arrays: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(arrays))

    def flat(self, arrays: Iterable[Tensor]) -> Tensor:
        return torch.cat([array.reshape(-1) for array in arrays])

    def crop(self, array: Tensor, rows: slice, columns: slice) -> Tensor:
        return array[:, :, rows, columns]

    def where(self, condition: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return torch.where(condition, first, second)

    def clip(self, array: Tensor, low: Tensor, high: Tensor) -> None:
        torch.clamp(array, low, high, out=array)

    def add_scaled(self, array: Tensor, factor: float | Tensor, other: Tensor) -> None:
        if isinstance(factor, Tensor):  # stays on the device
            array.addcmul_(factor.to(array.dtype), other)
        else:
            array.add_(other, alpha=factor)

    def dot(self, first: Tensor, second: Tensor) -> Tensor:
        """Sum in float32 within chunks and in double precision across them."""
        first, second = first.reshape(-1), second.reshape(-1)
        whole = len(first) // _CHUNK * _CHUNK
        total = torch.dot(first[whole:], second[whole:]).to(self._wide)
        if whole:
            chunks = (array[:whole].view(-1, _CHUNK) for array in (first, second))
            total = total + torch.linalg.vecdot(*chunks).sum(dtype=self._wide)
        return total

    def norm(self, array: Tensor) -> Tensor:
        return self.dot(array, array).sqrt()

    def numbers(self, scalars: Sequence[float | Tensor]) -> list[float]:
        tensors = [scalar for scalar in scalars if isinstance(scalar, Tensor)]
        read = iter(torch.stack(tensors).tolist() if tensors else [])
        return [next(read) if isinstance(scalar, Tensor) else scalar for scalar in scalars]

    def filtered(self, image: Tensor, kernel: Tensor) -> Tensor:
        return functional.conv2d(image, kernel, padding=(kernel.shape[2] // 2, kernel.shape[3] // 2), groups=3)

    def network(self, spec: ModelSpec, parameters: Parameters, pooling: str, precision: str) -> TorchNetwork:
        return TorchNetwork(self, spec, parameters, pooling, precision, self._device)

    def stylizer(
        self, spec: TransformerSpec, parameters: Parameters, height: int, width: int, precision: str
    ) -> feedforward.Stylizer:
        return feedforward.Stylizer(spec, parameters, self._device, precision)

    def strip_layer(
        self,
        spec: TransformerSpec,
        parameters: Parameters,
        before: Layer | None,
        layer: Layer,
        statistics: Statistics | None,
        precision: str,
        keep: bool,
    ) -> feedforward.StripLayer:
        return feedforward.StripLayer(spec, parameters, before, layer, statistics, self._device, precision, keep)

    def trainable_stylizer(
        self, spec: TransformerSpec, height: int, width: int, precision: str
    ) -> feedforward.TrainableStylizer:
        return feedforward.TrainableStylizer(spec, self._device, precision)

    def precisions(self) -> tuple[str, ...]:
        if self._device.type == "mps":
            return ("float32",)
        if self._device.type == "cpu" and is_fast_in_bfloat16():
            return ("bfloat16", "float32")
        return ("float32", "bfloat16")

    def free_memory(self) -> int | None:
        return torch.cuda.mem_get_info(self._device)[0] if self._device.type == "cuda" else None

    def release(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        trim()

    def is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and _OUT_OF_MEMORY in str(error)
        )

    def version(self) -> str:
        return str(torch.__version__)  # a subclass, which cannot be written as YAML


def best_device() -> str:
    """The GPU that PyTorch sees, or else cpu."""
    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _device_of(name: str) -> torch.device:
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("device: mps not found; expected a Mac with Apple silicon and macOS 12.3 or later")
        return torch.device("mps")
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= present:
        raise UserError(f"device: {name} not found; PyTorch sees {present} GPUs (see docs/cluster.md)")
    return torch.device("cuda", int(number or 0))
