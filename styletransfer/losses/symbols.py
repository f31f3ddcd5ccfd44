"""The losses of Gatys et al. 2015 as MXNet symbols: raw sums of squares, to be scaled by head gradients."""

from __future__ import annotations

from models.runtime import Symbol, load_mxnet

# The negative 4-neighbour Laplacian over 8, as in the MXNet example.
LAPLACIAN = ((0.0, -1 / 8, 0.0), (-1 / 8, 4 / 8, -1 / 8), (0.0, -1 / 8, 0.0))


def gram(features: Symbol, channels: int) -> Symbol:
    """The raw Gram matrix G = F F^T, (channels, channels), of features (1, channels, height, width).

    In bfloat16, products are summed in float32 and the sums are rounded, by at most 1 part in 250.
    """
    mx = load_mxnet()
    rows = mx.sym.Reshape(features, shape=(channels, -1))
    return mx.sym.FullyConnected(rows, rows, num_hidden=channels, no_bias=True)


def masked_gram(features: Symbol, mask: Symbol, channels: int) -> Symbol:
    """The raw Gram matrix of the positions where `mask`, (1, height, width, 1), is 1; elsewhere it is 0.

    On current processors, MXNet's forward-only convolutions leave their results in memory with channels last. Using
    them in that order is many times faster than transposing large ones into rows of channels.
    """
    mx = load_mxnet()
    positions = mx.sym.broadcast_mul(mx.sym.transpose(features, axes=(0, 2, 3, 1)), mask)
    return mx.sym.linalg.syrk(mx.sym.Reshape(positions, shape=(-1, channels)), transpose=True)


def squared_distance(value: Symbol, target: Symbol) -> Symbol:
    """S = sum (value - target)^2, shape (1,): the raw content loss of features, the raw style loss of Gram matrices."""
    mx = load_mxnet()
    return mx.sym.sum(mx.sym.square(value - target))


def laplacian(image: Symbol) -> Symbol:
    """K x: the Laplacian of every channel of an image (1, 3, H, W), with zero padding.

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
