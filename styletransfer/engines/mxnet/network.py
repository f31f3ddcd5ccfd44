"""A network as MXNet executors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from models import to_mxnet
from models.runtime import Array, Executor, Symbol, load_mxnet
from models.spec import ModelSpec
from styletransfer.engines.base import Head, Parameters
from styletransfer.engines.differences import Differences

if TYPE_CHECKING:
    from styletransfer.engines.mxnet.engine import MXNetEngine


class MXNetNetwork:
    """See :class:`~styletransfer.engines.base.Network`."""

    def __init__(self, engine: MXNetEngine, spec: ModelSpec, parameters: Parameters, pooling: str) -> None:
        self.engine, self.spec = engine, spec
        self._parameters, self._pooling = parameters, pooling

    def bind(
        self,
        layers: Iterable[str],
        shape: tuple[int, int, int],
        after: str | None = None,
        trainable: bool = True,
        by_gram: Collection[str] = (),
    ) -> MXNetBound:
        symbols = to_mxnet.symbols(self.spec, layers, self._pooling, after)
        return MXNetBound(self.engine, symbols, self._parameters, shape, trainable, by_gram)


def gram_tap(features: Symbol, kernel: str, bias: str, channels: int) -> Symbol:
    """A copy of the features F that propagates the gradient of a loss of their Gram matrix G = F F^T back to them.

    It is a 1 x 1 convolution. In the forward pass its kernel, (channels, channels, 1, 1), must be the identity. In the
    backward pass it must be 2 D, where D, symmetric, is the gradient of the loss with respect to G, and the head
    gradient must be F: the convolution then passes on 2 D F. So this product is computed, and added to the gradient
    from deeper layers, in the memory layout of the network's own convolutions. A head gradient 2 D F would first be
    converted to MXNet's default layout and added there; a step takes a tenth longer like that.

    The arguments are named `kernel` and `bias`. The bias, (channels,), must be 0. Without one, MXNet computes the
    gradient of the kernel even if it is not needed.
    """
    mx = load_mxnet()
    variables = map(mx.sym.Variable, (kernel, bias))
    return mx.sym.Convolution(features, *variables, kernel=(1, 1), num_filter=channels)


class MXNetBound(Differences):
    """See :class:`~styletransfer.engines.base.Bound`."""

    def __init__(
        self,
        engine: MXNetEngine,
        symbols: Mapping[str, Symbol],
        parameters: Parameters,
        shape: tuple[int, int, int],
        trainable: bool,
        by_gram: Collection[str],
    ) -> None:
        mx, context = load_mxnet(), engine.context
        super().__init__(engine)
        self._context, self._trainable = context, trainable
        self._image = mx.nd.zeros((1, *shape), ctx=context)
        self._gradient = mx.nd.zeros(self._image.shape, ctx=context) if trainable else None
        taps: dict[str, Symbol] = {}
        kernels: dict[str, Array] = {}
        for layer, features in symbols.items():
            if layer in by_gram and trainable:
                _, ((_, channels, *_),), _ = features.infer_shape(data=self._image.shape)
                names = kernel, bias = f"gram_{layer}_kernel", f"gram_{layer}_bias"
                taps[layer] = gram_tap(features, kernel, bias, channels)
                shapes = (channels, channels, 1, 1), (channels,)
                kernels |= {name: mx.nd.zeros(shape, ctx=context) for name, shape in zip(names, shapes)}
        self._kernels = {layer: kernels[f"gram_{layer}_kernel"] for layer in taps}
        outputs = mx.sym.Group([taps.get(layer, features) for layer, features in symbols.items()])
        arguments = {
            name: kernels[name] if name in kernels else mx.nd.array(parameters[name], ctx=context)
            for name in outputs.list_arguments()
            if name != "data"
        }
        self._executor = outputs.bind(
            context,
            {**arguments, "data": self._image},
            args_grad={"data": self._gradient} if trainable else None,
            grad_req={**dict.fromkeys(arguments, "null"), "data": "write" if trainable else "null"},
        )
        self._features: dict[str, Array] = dict(zip(symbols, self._executor.outputs))
        self._grams: dict[tuple[str, bool], Executor] = {}

    def forward(self, values: Array) -> None:
        self._differences.clear()
        values.copyto(self._image)
        for kernel in self._kernels.values():
            channels = kernel.shape[0]
            load_mxnet().nd.eye(channels, ctx=self._context).reshape(kernel.shape).copyto(kernel)
        self._executor.forward(is_train=self._trainable)

    def features(self, layer: str) -> Array:
        return self._features[layer]

    def gram(self, layer: str, mask: Array | None = None) -> Array:
        if (layer, mask is not None) not in self._grams:
            self._grams[layer, mask is not None] = self._bound_gram(layer, mask is not None)
        executor = self._grams[layer, mask is not None]
        if mask is not None:
            given = executor.arg_dict["mask"]
            mask.reshape(given.shape).copyto(given)
        return executor.forward(is_train=False)[0]

    def _bound_gram(self, layer: str, masked: bool) -> Executor:
        mx, features = load_mxnet(), self._features[layer]
        _, channels, height, width = features.shape
        variable, arguments = mx.sym.Variable("features"), {"features": features}
        if not masked:
            symbol = _gram(variable, channels)
        else:
            arguments["mask"] = mx.nd.zeros((1, height, width, 1), ctx=self._context)
            symbol = _masked_gram(variable, mx.sym.Variable("mask"), channels)
        largest = next(iter(self._grams.values()), None)  # the others share its workspace
        return symbol.bind(self._context, arguments, grad_req="null", shared_exec=largest)

    def backward(self, heads: Mapping[str, Head]) -> Array:
        given = []
        for layer, features in self._features.items():
            head = heads.get(layer, Head())
            if layer in self._kernels:
                assert head.gram is not None, "bound by_gram"
                kernel = self._kernels[layer]
                (2 * head.gram).reshape(kernel.shape).copyto(kernel)
                given.append(features)
            else:
                given.append(self._head(layer, head))
        self._executor.backward(given)
        return self._gradient

    def _head(self, layer: str, head: Head) -> Array:
        parts = [] if head.given is None else [head.given]
        if head.target is not None:
            parts.append((2 * head.coefficient) * self._difference(layer, head.target))
        if head.gram is not None:
            parts.append(_guided(self._features[layer], head.gram, head.maps))
        total = parts[0] if parts else load_mxnet().nd.zeros(self._features[layer].shape, ctx=self._context)
        for part in parts[1:]:
            total = total + part
        return total


def _gram(features: Symbol, channels: int) -> Symbol:
    mx = load_mxnet()
    rows = mx.sym.Reshape(features, shape=(channels, -1))
    return mx.sym.FullyConnected(rows, rows, num_hidden=channels, no_bias=True)


def _masked_gram(features: Symbol, mask: Symbol, channels: int) -> Symbol:
    """The Gram matrix of features multiplied by `mask`, (1, height, width, 1).

    On current processors, MXNet's forward-only convolutions leave their results in memory with channels last. Using
    them in that order is many times faster than transposing large ones into rows of channels.
    """
    mx = load_mxnet()
    positions = mx.sym.broadcast_mul(mx.sym.transpose(features, axes=(0, 2, 3, 1)), mask)
    return mx.sym.linalg.syrk(mx.sym.Reshape(positions, shape=(-1, channels)), transpose=True)


def _guided(features: Array, gram: Array, maps: Array | None) -> Array:
    """2 D F, or the sum of T_r 2 D_r F over regions r."""
    mx, channels = load_mxnet(), features.shape[1]
    rows = features.reshape((channels, -1))
    if maps is None:
        return mx.nd.dot(2 * gram, rows).reshape(features.shape)
    total: Array = 0
    for matrix, guide in zip(gram, maps):
        total = total + mx.nd.dot(2 * matrix, rows) * guide.reshape((1, -1))
    return total.reshape(features.shape)
