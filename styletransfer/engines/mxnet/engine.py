"""MXNet arrays and operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import Layer, TransformerSpec
from models.runtime import Context, load_mxnet
from models.spec import ModelSpec
from styletransfer.engines.base import Array, Parameters, Statistics
from styletransfer.engines.heap import trim
from styletransfer.engines.mxnet import feedforward
from styletransfer.engines.mxnet.network import MXNetNetwork
from styletransfer.support.errors import UserError

_CHUNK = 1 << 18  # values summed in float32; the relative error of MXNet's ``dot`` on 33 million values is 2e-5
# Fragments of the messages of MXNet and oneDNN when an allocation fails.
_OUT_OF_MEMORY = (
    "Failed to allocate",
    "Memory allocation failed",
    "out of memory",
    "bad_alloc",
    "could not execute a primitive",
)


class MXNetEngine:
    """See :class:`~styletransfer.engines.base.Engine`.

    Raises UserError if there is no such device.
    """

    name = "mxnet"

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._mx = load_mxnet()
        self.context = self._context_of(device)

    def _context_of(self, device: str) -> Context:
        if device == "cpu":
            return self._mx.cpu()
        number = int(device.partition(":")[2])
        try:
            present = self._mx.context.num_gpus()
        except self._mx.MXNetError:
            present = 0
        if number >= present:
            raise UserError(
                f"device: {device} not found; this MXNet sees {present} GPUs (the mxnet package is built without CUDA: "
                "see docs/cluster.md)"
            )
        return self._mx.gpu(number)

    def array(self, values: NDArray) -> Array:
        return self._mx.nd.array(values, ctx=self.context, dtype=np.float32)

    def numpy(self, array: Array) -> NDArray[np.float32]:
        return array.asnumpy()

    def zeros(self, shape: Sequence[int]) -> Array:
        return self._mx.nd.zeros(tuple(shape), ctx=self.context)

    def copy(self, array: Array) -> Array:
        return array.copy()

    def assign(self, array: Array, values: Array | NDArray) -> None:
        if isinstance(values, self._mx.nd.NDArray):
            values.copyto(array)
        else:
            array[:] = values

    def stack(self, arrays: Sequence[Array]) -> Array:
        return self._mx.nd.stack(*arrays)

    def flat(self, arrays: Iterable[Array]) -> Array:
        return self._mx.nd.concat(*(array.reshape(-1) for array in arrays), dim=0)

    def crop(self, array: Array, rows: slice, columns: slice) -> Array:
        return crop(array, rows, columns)

    def where(self, condition: Array, first: Array, second: Array) -> Array:
        return self._mx.nd.where(condition, first, second)

    def clip(self, array: Array, low: Array, high: Array) -> None:
        self._mx.nd.broadcast_maximum(array, low, out=array)
        self._mx.nd.broadcast_minimum(array, high, out=array)

    def add_scaled(self, array: Array, factor: float, other: Array) -> None:
        """Use the update of plain gradient descent, which needs no temporary."""
        self._mx.nd.sgd_update(array, other, out=array, lr=-factor, wd=0.0)

    def dot(self, first: Array, second: Array) -> float:
        """Sum in float32 within chunks and in double precision across them.

        MXNet's ``norm`` has a relative error of 1e-4 on large arrays; its ``sum`` is twenty times slower than its
        ``dot``.
        """
        flat = first.reshape(-1), second.reshape(-1)
        chunks = [
            self._mx.nd.dot(*(array[begin : begin + _CHUNK] for array in flat))
            for begin in range(0, first.size, _CHUNK)
        ]
        return float(np.sum(self._mx.nd.concat(*chunks, dim=0).asnumpy(), dtype=np.float64))

    def norm(self, array: Array) -> float:
        return self.dot(array, array) ** 0.5

    def numbers(self, scalars: Sequence[float]) -> list[float]:
        return list(scalars)

    def filtered(self, image: Array, kernel: Array) -> Array:
        _, _, rows, columns = kernel.shape
        pad = (rows // 2, columns // 2)
        return self._mx.nd.Convolution(
            image, kernel, kernel=(rows, columns), pad=pad, num_filter=3, num_group=3, no_bias=True
        )

    def network(self, spec: ModelSpec, parameters: Parameters, pooling: str, precision: str) -> MXNetNetwork:
        return MXNetNetwork(self, spec, parameters, pooling)

    def stylizer(
        self, spec: TransformerSpec, parameters: Parameters, height: int, width: int, precision: str
    ) -> feedforward.Stylizer:
        return feedforward.Stylizer(spec, parameters, height, width, self.context)

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
        return feedforward.StripLayer(spec, parameters, before, layer, statistics, keep, self.context)

    def trainable_stylizer(
        self, spec: TransformerSpec, height: int, width: int, precision: str
    ) -> feedforward.TrainableStylizer:
        return feedforward.TrainableStylizer(spec, height, width, self.context)

    def precisions(self) -> tuple[str, ...]:
        return ("float32",)

    def free_memory(self) -> int | None:
        return None

    def release(self) -> None:
        self._mx.nd.waitall()  # pending operations hold arrays
        trim()

    def is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, self._mx.MXNetError) and any(words in str(error) for words in _OUT_OF_MEMORY)

    def version(self) -> str:
        return self._mx.__version__  # not metadata.version, as builds with CUDA have other package names


def crop(array: Array, rows: slice, columns: slice) -> Array:
    """Some rows and columns of an array (1, channels, height, width), copied.

    Indexing would return a view if possible, which MXNet does not support for arrays in the layouts of its kernels.
    """
    begin, end = ((None, None, *(getattr(side, name) for side in (rows, columns))) for name in ("start", "stop"))
    return load_mxnet().nd.slice(array, begin=begin, end=end)
