"""The student's task: its projections estimate the principal components of the teachers' layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import model_vgg_slim, vgg
from models.runtime import Array, Symbol, load_mxnet
from styletransfer.network.arithmetic import squared_norm
from styletransfer.weights import Parameters


@dataclass(frozen=True)
class Target:
    """A layer of a teacher, and the projection of the student that estimates it."""

    layer: str
    projection: vgg.Projection
    weight: float  # in the sum of the losses


# Auxiliary projections, discarded after training: they keep information in the student that its deeper layers need.
AUXILIARY = (
    vgg.Projection("proj2_2", of="relu2_2", channels=64),
    vgg.Projection("proj3_4", of="relu3_4", channels=96),
)
TARGETS = tuple(
    Target(projection.name.replace("proj", "relu"), projection, weight)
    for projections, weight in ((model_vgg_slim.PROJECTIONS, 1.0), (AUXILIARY, 0.3))
    for projection in projections
)


def student_symbol() -> Symbol:
    """The projections of `TARGETS`, in order, as functions of ``data``, (batch, 3, side, side)."""
    mx = load_mxnet()
    projections = [target.projection for target in TARGETS]
    names = [projection.name for projection in projections]
    found = vgg.build(model_vgg_slim.BLOCKS, names, model_vgg_slim.SPEC.pooling, projections=projections)
    return mx.sym.Group([found[name] for name in names])


def initial_parameters(compressed: Parameters, generator: np.random.Generator) -> Parameters:
    """The student's initialization: the compressed network, extended by more filters.

    The first filters of every convolution are the compressed network's, with small weights for the additional channels.
    The additional filters and the projections are random (He et al. 2015). For images in the pixels of its SPEC.

    Parameters
    ----------
    compressed : dict of arrays
        Those of the SPEC of `models/model_vgg19_16x.py`.
    """
    shapes = vgg.parameters(model_vgg_slim.BLOCKS, [target.projection for target in TARGETS])
    found: Parameters = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            found[name] = np.zeros(shape, np.float32)
            continue
        variance = (0.1 if name.startswith("proj") else 2.0) / np.prod(shape[1:])
        found[name] = (generator.standard_normal(shape) * np.sqrt(variance)).astype(np.float32)
    for block, widths in enumerate(model_vgg_slim.BLOCKS, start=1):
        for position in range(1, len(widths) + 1):
            name = f"conv{block}_{position}"
            weight, bias = compressed[f"{name}_weight"], compressed[f"{name}_bias"]
            filters, channels = weight.shape[:2]
            found[f"{name}_weight"][:filters] *= 0.05
            found[f"{name}_weight"][:filters, :channels] = weight
            found[f"{name}_bias"][:filters] = bias
    return found


@dataclass(frozen=True)
class Basis:
    """The leading principal components of a layer's features, not centred.

    Attributes
    ----------
    rows : array (components, channels)
        Orthogonal, scaled so that the mean squares of the components over all positions sum to 1.
    """

    rows: NDArray[np.float32]

    @classmethod
    def of(cls, second_moment: NDArray, components: int) -> Basis:
        """From the mean over positions of F F^T, (channels, channels)."""
        values, vectors = np.linalg.eigh(second_moment)
        kept = vectors[:, ::-1][:, :components].T
        return cls((kept / np.sqrt(values[::-1][:components].sum())).astype(np.float32))

    def components(self, features: Array) -> Array:
        """Project (batch, channels, h, w) to (batch, components, h, w)."""
        mx = load_mxnet()
        weight = mx.nd.array(self.rows[:, :, None, None])
        return mx.nd.Convolution(features, weight, kernel=(1, 1), num_filter=len(self.rows), no_bias=True)


def losses_and_heads(
    estimates: Mapping[str, Array], targets: Mapping[str, Array], gram_weight: float
) -> tuple[dict[str, tuple[float, float]], list[Array]]:
    """The losses of all targets, and the head gradients of the projections.

    For estimates E and targets T, (batch, channels, h, w) each, with M = h w positions, a layer's loss is the mean over
    batch and positions of |E - T|^2, plus `gram_weight` times the mean over the batch of |G_E - G_T|^2 / |G_T|^2 for
    the Gram matrices of each crop. The first is 1 for estimates of 0.
    """
    mx = load_mxnet()
    found: dict[str, tuple[float, float]] = {}
    heads = []
    for target in TARGETS:
        name = target.projection.name
        estimate, wanted = estimates[name], targets[name]
        batch, channels, height, width = estimate.shape
        positions = height * width
        error = estimate - wanted
        rows, wanted_rows = (value.reshape((batch, channels, positions)) for value in (estimate, wanted))
        gram, wanted_gram = (mx.nd.batch_dot(value, value, transpose_b=True) for value in (rows, wanted_rows))
        difference = gram - wanted_gram
        energy = _squared_norms(wanted_gram) + 1e-6 * positions**2
        distance = _squared_norms(difference) / energy
        head = error * (2 * target.weight / (batch * positions))
        factor = 4 * target.weight * gram_weight / batch
        heads.append(head + mx.nd.batch_dot(difference / energy * factor, rows).reshape(estimate.shape))
        found[name] = (squared_norm(error) / (batch * positions), float(distance.mean().asscalar()))
    return found, heads


def _squared_norms(matrices: Array) -> Array:
    """The sum of squares of each of (batch, n, n), as (batch, 1, 1); much faster than MXNet's ``sum``."""
    flat = matrices.reshape((matrices.shape[0], 1, -1))
    return load_mxnet().nd.batch_dot(flat, flat, transpose_b=True)
