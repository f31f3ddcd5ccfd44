"""The interface of an engine: arrays on a device, a few operations on them, and networks.

Arrays are float32 and have what the arrays of all frameworks have: ``shape``, arithmetic and comparisons with numbers
and arrays, with broadcasting, the in-place forms ``+=`` and ``*=``, and slices that can be read and assigned. For
everything else there is a method. Scalars are numbers that may still be on the device: they can be calculated with, and
:meth:`Engine.numbers` waits for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.feedforward_spec import Layer, TransformerSpec
from models.spec import ModelSpec

Array = Any
Scalar = Any
Parameters = Mapping[str, NDArray[np.float32]]
Slices = tuple[slice, slice]  # of the rows and columns of a layer
Statistics = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and variance of every channel


@dataclass(frozen=True)
class Head:
    """The head gradient of a tapped layer: the gradient of the loss with respect to its features F, a sum of parts.

    Attributes
    ----------
    target, coefficient : array (1, channels, height, width), scalar
        Adds 2 x coefficient x (F - target), the gradient of coefficient x |F - target|^2.
    gram : array (channels, channels), or with `maps` (regions, channels, channels)
        D, symmetric: the gradient with respect to the raw Gram matrix F F^T. Adds 2 D F (equation 6 of Gatys et al.
        2015, up to its normalization).
    maps : array (regions, 1, height, width)
        T_r, for guided Gram matrices: adds the sum of T_r 2 D_r F over regions instead.
    given : array (1, channels, height, width)
        Is added as it is.
    """

    target: Array | None = None
    coefficient: Scalar = 0.0
    gram: Array | None = None
    maps: Array | None = None
    given: Array | None = None


class Bound(Protocol):
    """Some layers of a network, bound for one window: images, or features of a layer, of one size."""

    def forward(self, values: Array) -> None:
        """Run the network on a window, (1, channels, height, width)."""

    def features(self, layer: str) -> Array:
        """The features of a tapped layer, (1, channels, height, width), valid until the next forward pass."""

    def gram(self, layer: str, mask: Array | None = None) -> Array:
        """The raw Gram matrix F F^T, (channels, channels), of features multiplied by `mask`, (height, width)."""

    def squared_distance(self, layer: str, target: Array, part: Slices | None = None) -> Scalar:
        """Compute |F - target|^2 over the rows and columns `part`, of which `target` has the shape; default: all."""

    def backward(self, heads: Mapping[str, Head]) -> Array:
        """Compute the gradient with respect to the window from those of the tapped layers.

        It is valid until the next call. Call it at most once after a forward pass.
        """


class Network(Protocol):
    """A network with its parameters on a device."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def engine(self) -> Engine: ...

    def bind(
        self,
        layers: Iterable[str],
        shape: tuple[int, int, int],
        after: str | None = None,
        trainable: bool = True,
        by_gram: Collection[str] = (),
    ) -> Bound:
        """Bind some layers.

        Parameters
        ----------
        layers : names of layers
            The layers to tap.
        shape : (channels, height, width)
            Of the window.
        after : str, optional
            The layer whose features are the window; by default it is an image.
        trainable : bool
            Whether there will be backward passes; without them, less memory is used.
        by_gram : names of layers
            The `layers` whose heads are only a `gram`, without maps.
        """


class Stylizer(Protocol):
    """A feed-forward network for extended images of one size."""

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Stylise an extended image, (1, 3, height, width)."""


class StripLayer(Protocol):
    """The activation of one layer and the convolution of the next, for windows of one size."""

    def __call__(
        self, values: NDArray[np.float32], added: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Compute the convolution of the next layer; also return its input, if that is to be kept.

        Parameters
        ----------
        values : array (1, channels, height, width)
            The convolution of the first layer, or the image.
        added : array of that shape, or None
            What the first layer adds.
        """


class TrainableStylizer(Protocol):
    """A feed-forward network in training, for extended images of one size.

    Attributes
    ----------
    gradient : array (number of parameters,)
        The sum over all calls of :meth:`backward` since :meth:`set_parameters`.
    """

    gradient: Array

    def set_parameters(self, values: Array) -> None:
        """Take over the parameters from a vector, in the order of the spec, and set the gradient to 0."""

    def forward(self, image: NDArray[np.float32]) -> Array:
        """Stylise an extended image, (1, 3, height, width)."""

    def backward(self, head: Array) -> None:
        """Add the gradient of a loss, given its gradient with respect to the last stylised image."""


@dataclass(frozen=True)
class MemoryFactors:
    """The growth of a process's memory with the arrays of a run, measured with `tests/peak_memory.py`.

    All but the first two are numbers of 4-byte values held for each value of the arrays named.

    Attributes
    ----------
    fixed : int
        Bytes of a process with the smallest picture.
    gaps : float
        By which everything else is multiplied: memory that is fragmented.
    weights : float
        Of a weight.
    images, images_written : float
        Of the image, while it is optimised, and in addition while the picture is written.
    images_entered, styles : float
        Of the content picture while targets are computed, and of style pictures.
    tapped, largest_forward : float
        Forward only: of a tapped layer, and of the largest layer.
    window : float
        Of the window as input of the first convolution.
    layers, largest : float
        With gradients: of all layers, and of the largest in addition.
    style, content, guided : float
        With gradients: of a style layer, a content layer, and with regions of a style layer in addition.
    masks : float
        Of a pixel of every region's mask.
    stylised, trained : float
        Of feed-forward networks: of the largest layer, for a whole picture; and of the outputs of all convolutions,
        normalizations and ReLUs in training.
    """

    fixed: int
    gaps: float
    weights: float
    images: float
    images_written: float
    images_entered: float
    styles: float
    tapped: float
    largest_forward: float
    window: float
    layers: float
    largest: float
    style: float
    content: float
    guided: float
    masks: float
    stylised: float
    trained: float


class Engine(Protocol):
    """A framework on one device.

    Attributes
    ----------
    name : str
        mxnet or torch.
    device : str
        cpu, gpu:N, cuda:N or mps.
    """

    name: str
    device: str

    def array(self, values: NDArray) -> Array:
        """A float32 array on the device."""

    def numpy(self, array: Array) -> NDArray[np.float32]:
        """A copy of an array."""

    def zeros(self, shape: Sequence[int]) -> Array: ...

    def copy(self, array: Array) -> Array: ...

    def assign(self, array: Array, values: Array | NDArray) -> None:
        """Copy values of the same shape into an array."""

    def stack(self, arrays: Sequence[Array]) -> Array:
        """Arrays of one shape along a new first axis."""

    def flat(self, arrays: Iterable[Array]) -> Array:
        """Arrays, in order, as one vector."""

    def crop(self, array: Array, rows: slice, columns: slice) -> Array:
        """Some rows and columns of an array (1, channels, height, width); it may share their memory."""

    def where(self, condition: Array, first: Array, second: Array) -> Array: ...

    def clip(self, array: Array, low: Array, high: Array) -> None:
        """Move the values of an array, in place, between limits that are broadcast to it."""

    def add_scaled(self, array: Array, factor: Scalar, other: Array) -> None:
        """array <- array + factor x other, in place."""

    def dot(self, first: Array, second: Array) -> Scalar:
        """The inner product of two arrays of one shape, summed with the accuracy of double precision."""

    def norm(self, array: Array) -> Scalar:
        """The Euclidean norm, as accurate."""

    def numbers(self, scalars: Sequence[Scalar]) -> list[float]:
        """Wait for scalars, all at once."""

    def filtered(self, image: Array, kernel: Array) -> Array:
        """Every channel of an image (1, 3, H, W) convolved with a kernel (3, 1, rows, columns), padded with zeros."""

    def network(self, spec: ModelSpec, parameters: Parameters, pooling: str, precision: str) -> Network:
        """A network for images in the pixel space of its parameters."""

    def stylizer(
        self, spec: TransformerSpec, parameters: Parameters, height: int, width: int, precision: str
    ) -> Stylizer:
        """A feed-forward network for extended images of that size."""

    def strip_layer(
        self,
        spec: TransformerSpec,
        parameters: Parameters,
        before: Layer | None,
        layer: Layer,
        statistics: Statistics | None,
        precision: str,
        keep: bool,
    ) -> StripLayer:
        """A layer of a feed-forward network, computed in windows.

        Parameters
        ----------
        before, layer : Layer
            What follows the convolution of `before` (None: of the image), and the convolution of `layer`.
        statistics : (mean, variance), or None
            Of the channels of the convolution of `before`, if it is normalized.
        keep : bool
            Whether the input of `layer` is returned as well.
        """

    def trainable_stylizer(self, spec: TransformerSpec, height: int, width: int, precision: str) -> TrainableStylizer:
        """A feed-forward network in training, for extended images of that size."""

    def precisions(self) -> tuple[str, ...]:
        """The precisions of networks on the device; the first is used by default."""

    def free_memory(self) -> int | None:
        """The bytes that are free on a GPU; None if that is unknown, or the device is the processor."""

    def release(self) -> None:
        """Wait for pending operations and return freed memory to the system."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the framework failed to allocate memory."""

    def version(self) -> str: ...
