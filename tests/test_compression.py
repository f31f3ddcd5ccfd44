"""The compression of VGG-19: the factors of a convolution, and the network made of them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import relative_error
from shrunk import PROJECT
from true_vgg19 import true_vgg19

torch = pytest.importorskip("torch")

from torch.nn import functional

from models import model_vgg19, model_vgg19_small, to_torch, vgg
from research import compress
from styletransfer import weights
from styletransfer.pictures import images, pixels

SIDE = 48
PHOTO = PROJECT / "input" / "astronaut.jpg"


def samples(kernel, bias, seed: int):
    """Random patches (channels, 9, samples), and the responses of a convolution to them."""
    patches = torch.randn(kernel.shape[1], 9, 4000, generator=torch.Generator().manual_seed(seed)) + 0.5
    return patches, torch.einsum("fck,cks->fs", kernel.flatten(2), patches) + bias[:, None]


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_convolution_of_the_rank_is_recovered(scale) -> None:
    """Also where earlier errors, here a constant factor, have changed its input."""
    generator = torch.Generator().manual_seed(0)
    shapes = (4, 12), (5, 4, 3, 3), (20, 5)
    reduce, core, expand = (torch.randn(*shape, generator=generator) for shape in shapes)
    kernel = torch.einsum("fs,srkl,rc->fckl", expand, core, reduce)
    bias = torch.randn(20, generator=generator)
    patches, targets = samples(kernel, bias, 1)
    kernels, found, error = compress.fit(kernel, 4, 5, scale * patches, targets)
    assert [tuple(factor.shape) for factor in kernels] == [(4, 12, 1, 1), (5, 4, 3, 3), (20, 5, 1, 1)]
    image = torch.randn(1, 12, 9, 8, generator=generator)
    assert error < 1e-4
    expected = functional.conv2d(image, kernel, bias, padding=1)
    values = scale * image
    for factor in kernels:
        values = functional.conv2d(values, factor, padding=factor.shape[2] // 2)
    assert relative_error((values + found[:, None, None]).numpy(), expected.numpy()) < 0.01


def test_less_rank_leaves_more_error() -> None:
    kernel, bias = torch.randn(20, 12, 3, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(20)
    errors = [compress.fit(kernel, rank, rank, *samples(kernel, bias, 1))[2] for rank in (2, 6, 12)]
    assert errors[0] > errors[1] > errors[2] > 0.01


def test_the_network_keeps_the_layers_of_vgg19_and_costs_less(tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 3, SIDE, SIDE, generator=generator) * 50 for _ in range(2)]
    vgg19 = {name: torch.from_numpy(values.copy()) for name, values in weights.random(model_vgg19.SPEC, 0).items()}
    ranks = compress.uniform_ranks(8)
    spec = compress.compressed(ranks)
    parameters, errors = compress.compress(vgg19, ranks, images, 9, generator)
    weights.save(tmp_path / "small.params", {name: values.numpy() for name, values in parameters.items()})
    saved = {name: torch.from_numpy(v.copy()) for name, v in weights.load(spec, tmp_path / "small.params").items()}
    assert set(errors) == set(ranks)
    layers = [*vgg.STYLE_LAYERS, *vgg.CONTENT_LAYERS]
    expected = to_torch.features(model_vgg19.SPEC, vgg19, layers)(images[0])
    found = to_torch.features(spec, saved, layers)(images[0])
    assert {layer: values.shape for layer, values in found.items()} == {n: v.shape for n, v in expected.items()}
    assert torch.equal(found["relu1_1"], expected["relu1_1"])
    assert all(values.isfinite().all() for values in found.values())
    whole, multiplications = compress.cost(compress.compressed({}))
    assert multiplications == 361_152
    fewer, less = compress.cost(spec)
    assert fewer < whole / 15 and less < multiplications / 15
    assert compress.cost(compress.compressed(model_vgg19_small.RANKS))[1] == pytest.approx(60_000, rel=0.01)


@pytest.mark.parametrize("draw", ["normal", "standard_cauchy"])
def test_kernels_in_eight_bits_are_close_to_the_best_of_their_table(draw) -> None:
    """Also with outliers: steps of equal length would cost a hundred times as much."""
    kernel = getattr(np.random.default_rng(0), draw)(size=(60, 50, 3, 3)).astype(np.float32)
    found = compress.eight_bits(kernel)
    assert found.shape == kernel.shape and found.dtype == np.float32 and len(np.unique(found)) <= 256
    assert relative_error(found, kernel) < 0.02
    table = np.unique(found)
    nearest = np.abs(kernel.reshape(-1, 1) - table).argmin(1)
    assert relative_error(found.ravel(), table[nearest]) < 1e-3


def test_the_bundled_network_sees_what_vgg19_sees() -> None:
    parameters = [
        {name: torch.from_numpy(values.copy()) for name, values in found.items()}
        for found in (true_vgg19(), weights.load(model_vgg19_small.SPEC))
    ]
    image = torch.from_numpy(np.ascontiguousarray(pixels.from_picture(images.read(PHOTO)[100:228, 100:228], "rgb255")))
    expected, found = (
        to_torch.features(spec, values, list(vgg.STYLE_LAYERS))(image)
        for spec, values in zip((model_vgg19.SPEC, model_vgg19_small.SPEC), parameters)
    )
    errors = [relative_error(found[layer].numpy(), expected[layer].numpy()) for layer in vgg.STYLE_LAYERS]
    assert errors[0] < 1e-6 and max(errors) < 0.35
