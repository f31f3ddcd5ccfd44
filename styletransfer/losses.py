"""The losses of Gatys et al. 2015 as MXNet symbols: raw sums of squares, to be scaled by head gradients."""

from __future__ import annotations

from typing import Any

from models.runtime import load_mxnet

# The negative 4-neighbour Laplacian over 8, as in the MXNet example.
LAPLACIAN = ((0.0, -1 / 8, 0.0), (-1 / 8, 4 / 8, -1 / 8), (0.0, -1 / 8, 0.0))


def channels_last(features: Any) -> Any:
    """Features (1, channels, height, width) as (1, height, width, channels).

    That is how MXNet's convolutions leave them in memory on today's processors. To turn them into rows of channels
    costs many times as much.
    """
    return load_mxnet().sym.transpose(features, axes=(0, 2, 3, 1))


def gram(features: Any, channels: int) -> Any:
    """The raw Gram matrix G = F F^T, (channels, channels), of features (1, height, width, channels)."""
    mx = load_mxnet()
    return mx.sym.linalg.syrk(mx.sym.Reshape(features, shape=(-1, channels)), transpose=True)


def gram_gradient(head: Any, features: Any, channels: int) -> Any:
    """The gradient 2 D F of a loss with respect to features, from its gradient D with respect to their Gram matrix.

    D, (channels, channels), is symmetric, as G - A is (equation 6 of the paper, but for its norm). Written as a 1 x 1
    convolution, the product takes the features in the layout in which the network's convolutions leave them.
    """
    mx = load_mxnet()
    kernel = mx.sym.Reshape(2 * head, shape=(channels, channels, 1, 1))
    return mx.sym.Convolution(features, kernel, kernel=(1, 1), num_filter=channels, no_bias=True)


def squared_distance(value: Any, target: Any) -> Any:
    """S = sum (value - target)^2, shape (1,): the raw content loss of features, the raw style loss of Gram matrices."""
    mx = load_mxnet()
    return mx.sym.sum(mx.sym.square(value - target))


def laplacian(image: Any) -> Any:
    """K x: the Laplacian of every channel of an image (1, 3, H, W), with zeros beyond its border.

    It is the gradient of the energy 1/2 <x, K x>. The fixed kernel is the argument ``laplacian_kernel`` of the symbol,
    (3, 1, 3, 3); fill it with `LAPLACIAN`.
    """
    mx = load_mxnet()
    return mx.sym.Convolution(
        image,
        mx.sym.Variable("laplacian_kernel", shape=(3, 1, 3, 3)),
        kernel=(3, 3),
        pad=(1, 1),
        num_filter=3,
        num_group=3,
        no_bias=True,
    )
