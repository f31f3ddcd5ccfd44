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
    """The raw Gram matrix of features multiplied by `mask`, (1, height, width, 1).

    With 1 and 0 it is that of the positions where the mask is 1; with the root of a guidance map, that of a region.

    On current processors, MXNet's forward-only convolutions leave their results in memory with channels last. Using
    them in that order is many times faster than transposing large ones into rows of channels.
    """
    mx = load_mxnet()
    positions = mx.sym.broadcast_mul(mx.sym.transpose(features, axes=(0, 2, 3, 1)), mask)
    return mx.sym.linalg.syrk(mx.sym.Reshape(positions, shape=(-1, channels)), transpose=True)


def masked_whole_gram(features: Symbol, mask: Symbol, channels: int) -> Symbol:
    """The same for `mask` (1, 1, height, width): faster where the features are those of a network that goes back."""
    return gram(load_mxnet().sym.broadcast_mul(features, mask), channels)


def guided_gradient(features: Symbol, matrices: Symbol, maps: Symbol, channels: int, regions: int) -> Symbol:
    """sum of T_r 2 D_r F over regions r, of the shape of the features F: the gradient of losses of their Gram matrices.

    `matrices`, (regions, channels, channels), are 2 D_r, where D_r, symmetric, is the gradient with respect to
    the raw Gram matrix G_r = sum of T_r F F^T; `maps`, (regions, 1, height, width), are T_r.
    """
    mx = load_mxnet()
    rows = mx.sym.Reshape(features, shape=(channels, -1))
    total = None
    for region in range(regions):
        matrix, guide = (mx.sym.slice_axis(each, axis=0, begin=region, end=region + 1) for each in (matrices, maps))
        product = mx.sym.dot(mx.sym.Reshape(matrix, shape=(channels, channels)), rows)
        part = mx.sym.broadcast_mul(product, mx.sym.Reshape(guide, shape=(1, -1)))
        total = part if total is None else total + part
    return mx.sym.reshape_like(total, features)


def squared_distance(value: Symbol, target: Symbol, by_region: bool = False) -> Symbol:
    """S = sum (value - target)^2, shape (1,): the raw content loss of features, the raw style loss of Gram matrices.

    `by_region`, values are (regions, channels, channels), and S is (regions,).
    """
    mx = load_mxnet()
    squares = mx.sym.square(value - target)
    return mx.sym.sum(squares, axis=(1, 2)) if by_region else mx.sym.sum(squares)


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
