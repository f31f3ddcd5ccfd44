"""Compress VGG-19 up to conv5_1: every convolution but the first becomes three of lower rank.

A convolution 3 x 3 of C channels to N becomes 1 x 1 to r channels, 3 x 3 to s, and 1 x 1 to N; the ReLUs keep their
width, so style and content layers stay those of VGG-19. The factors are fitted to VGG-19's responses to pictures, layer
after layer, each to the output of those before it (X. Zhang et al., Accelerating Very Deep Convolutional Networks for
Classification and Detection, 2015, https://arxiv.org/abs/1505.06798, without its fit of the ReLU). It needs PyTorch
(requirements-dev.txt). `models/weights/vgg19_small.md` has the results.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models import graph, model_vgg19, model_vgg19_small, vgg
from models.graph import Nodes
from models.spec import ModelSpec
from models.vgg import Ranks
from research.distillation import crops
from styletransfer import weights

DEEPEST = "relu5_1"
_VALUES = 256  # of a kernel in 8 bits
_ROUNDS = 25  # of k-means
_RIDGE = 1e-3  # of a fit, share of the mean square
_LEAST = 1e-7  # of an eigenvalue, share of the largest

Parameters = dict[str, Tensor]  # by name


def uniform_ranks(divisor: float) -> dict[str, tuple[int, int]]:
    """The widths over `divisor` as ranks of all convolutions but the first."""
    shapes = {name: shape for name, shape in compressed({}).parameters.items() if len(shape) == 4}
    ranks = {
        name.removesuffix("_weight"): (round(channels / divisor), round(filters / divisor))
        for name, (filters, channels, _, _) in shapes.items()
    }
    del ranks["conv1_1"]
    return ranks


def compressed(ranks: Ranks) -> ModelSpec:
    """The bundled network with convolutions of the given ranks instead."""
    return dataclasses.replace(model_vgg19_small.SPEC, nodes=vgg.nodes(model_vgg19_small.BLOCKS, ranks=ranks))


def cost(spec: ModelSpec) -> tuple[int, float]:
    """The number of parameters, and the multiplications per pixel of all convolutions."""
    multiplications, positions = 0.0, 1.0
    for node in spec.nodes:
        positions /= node.stride**2
        if node.op == "conv":
            multiplications += positions * np.prod(spec.parameters[f"{node.name}_weight"])
    return sum(int(np.prod(shape)) for shape in spec.parameters.values()), multiplications


def respond(convolutions: Nodes, parameters: Parameters, values: Tensor) -> Tensor:
    """The responses of convolutions, one after the other, to `values`, (n, channels, h, w), in their precision."""
    for node in convolutions:
        weight, bias = (parameters[f"{node.name}_{part}"].to(values.dtype) for part in ("weight", "bias"))
        values = functional.conv2d(values, weight.contiguous(memory_format=torch.channels_last), bias, padding=node.pad)
    return values


@torch.no_grad()
def compress(
    vgg19: Parameters, ranks: Ranks, images: Sequence[Tensor], positions: int, generator: torch.Generator
) -> tuple[Parameters, dict[str, float]]:
    """Fit the factors of all convolutions that have ranks.

    Parameters
    ----------
    images : sequence of tensors (1, 3, h, w)
        In the pixels of VGG-19's SPEC.
    positions : int
        The number of random positions that each image contributes to the fit of a convolution.

    Returns
    -------
    parameters, errors
        Those of the compressed network, and the errors of the fits relative to the variance of VGG-19's responses.
    """
    found: Parameters = {}
    errors: dict[str, float] = {}
    true = [image.bfloat16().contiguous(memory_format=torch.channels_last) for image in images]
    mine = list(true)
    for node in graph.up_to(model_vgg19.SPEC.nodes, [DEEPEST]):
        if node.op == "relu":
            true, mine = ([functional.relu(values) for values in maps] for maps in (true, mine))
        elif node.op == "pool":
            true, mine = ([functional.max_pool2d(values, 2) for values in maps] for maps in (true, mine))
        elif node.op == "conv":
            true = [respond((node,), vgg19, values) for values in true]
            whole = {name: vgg19[name] for name in (f"{node.name}_weight", f"{node.name}_bias")}
            if node.name in ranks:
                patches, targets = [], []
                for values, response in zip(mine, true):
                    places = torch.randperm(response[0, 0].numel(), generator=generator)[:positions]
                    rows = functional.unfold(values.float(), 3, padding=1)[0][:, places]
                    patches.append(rows.reshape(values.shape[1], 9, -1))
                    targets.append(response[0].flatten(1)[:, places].float())
                kernels, bias, errors[node.name] = fit(
                    whole[f"{node.name}_weight"], *ranks[node.name], torch.cat(patches, 2), torch.cat(targets, 1)
                )
                zeros = [torch.zeros(len(kernel)) for kernel in kernels[:-1]]
                for factor, kernel, shift in zip(vgg.factors(node, ranks), kernels, [*zeros, bias]):
                    found[f"{factor.name}_weight"], found[f"{factor.name}_bias"] = kernel, shift
            else:
                found.update(whole)
            mine = [respond(vgg.factors(node, ranks), found, values) for values in mine]
    return found, errors


def fit(kernel: Tensor, r: int, s: int, patches: Tensor, targets: Tensor) -> tuple[list[Tensor], Tensor, float]:
    """Fit the factors of one convolution by reduced-rank regression.

    Parameters
    ----------
    kernel : tensor (filters, channels, 3, 3)
        The whole one, which tells which parts of the input the responses depend on.
    r, s : int
        The ranks.
    patches : tensor (channels, 9, samples)
        What the convolution will see.
    targets : tensor (filters, samples)
        The responses it should give.

    Returns
    -------
    kernels, bias, error
    """
    mean = targets.mean(1, keepdim=True)
    centred = targets - mean
    leading = torch.linalg.eigh((centred @ centred.T).double()).eigenvectors[:, -s:]
    # The r combinations of channels that matter most for the leading responses, positions taken as independent.
    effect = torch.einsum("fs,fckl->sckl", leading, kernel.double())
    root = _root(torch.einsum("sckl,sdkl->cd", effect, effect))
    middle = patches[:, 4]
    moment = (middle @ middle.T).double() / middle.shape[1]
    reduce = torch.linalg.eigh(root @ moment @ root).eigenvectors[:, -r:].T @ root
    reduce = reduce / (reduce @ moment @ reduce.T).diagonal().sqrt()[:, None]

    inputs = torch.einsum("rc,cks->rks", reduce.float(), patches).flatten(0, 1)
    input_mean = inputs.mean(1, keepdim=True)
    inputs = inputs - input_mean
    moment, product = ((left @ inputs.T).double() / inputs.shape[1] for left in (inputs, centred))
    moment += _RIDGE * moment.trace() / len(moment) * torch.eye(len(moment))
    regression = torch.linalg.solve(moment, product.T).T
    expand = torch.linalg.eigh(regression @ product.T).eigenvectors[:, -s:]
    core = expand.T @ regression
    error = ((expand @ core).float() @ inputs - centred).square().sum() / centred.square().sum()
    bias = mean[:, 0] - (expand @ (core @ input_mean[:, 0].double())).float()
    kernels = [reduce[:, :, None, None], core.reshape(s, r, 3, 3), expand[:, :, None, None]]
    return [kernel.float().contiguous() for kernel in kernels], bias, error.item()


def eight_bits(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """The kernel with at most 256 distinct values, by k-means in one dimension."""
    values = np.sort(kernel, axis=None).astype(np.float64)
    sums = np.concatenate([[0.0], values.cumsum()])
    # The start has the density of the best tables of many values: the cube root of the density of the kernel's.
    some = values[np.linspace(0, len(values) - 1, min(len(values), 4096)).astype(int)]
    places = np.concatenate([[0.0], (np.diff(some) ** (2 / 3)).cumsum()])
    table = np.interp(np.linspace(0, places[-1], _VALUES), places, some)
    for _ in range(_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(values, (table[1:] + table[:-1]) / 2), [len(values)]])
        counts = np.diff(ends)
        table = np.sort(np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), table))
    return table[np.searchsorted((table[1:] + table[:-1]) / 2, kernel)].astype(np.float32)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=_LEAST * values.max()).sqrt()) @ vectors.T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="files, or folders of them")
    parser.add_argument("--leave-out", nargs="*", default=[], help="names of files to leave out")
    parser.add_argument("--vgg19", type=Path, required=True, help="VGG-19's weights, in any format")
    parser.add_argument(
        "--divisor",
        type=float,
        help="ranks are the widths over this, instead of those of `models/model_vgg19_small.py`",
    )
    parser.add_argument("--crops", type=int, default=180, help="number of crops to fit to, of 256 x 256 pixels")
    parser.add_argument("--positions", type=int, default=160, help="positions in each crop")
    parser.add_argument("--output", type=Path, required=True, help="file of the weights (.params)")
    options = parser.parse_args()

    torch.set_num_threads(1)
    pictures = crops.load(crops.picture_files(options.pictures, options.leave_out))
    source = crops.Crops([crops.Group(1.0, pictures)], np.random.default_rng(0))
    images = [crops.entered(source.batch(1, 256)) for _ in range(options.crops)]
    vgg19 = {
        name: torch.from_numpy(values.copy()) for name, values in weights.load(model_vgg19.SPEC, options.vgg19).items()
    }
    ranks = uniform_ranks(options.divisor) if options.divisor else model_vgg19_small.RANKS
    found, errors = compress(vgg19, ranks, images, options.positions, torch.Generator().manual_seed(0))
    for name, error in errors.items():
        print(f"{name}: error {error:.3f}")
    print("{} parameters, {:.0f} multiplications per pixel".format(*cost(compressed(ranks))))
    arrays = {name: values.numpy() for name, values in found.items()}
    kernels = [name for name, values in arrays.items() if values.ndim > 1 and not name.startswith("conv1_1")]
    weights.save(options.output, {**arrays, **{name: eight_bits(arrays[name]) for name in kernels}})


if __name__ == "__main__":
    main()
