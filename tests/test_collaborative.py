"""The encoder of Collaborative Distillation: the published file format against the published network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import features_of, network_of, random_picture, relative_error

import models
from styletransfer import weights
from styletransfer.pictures import images, pixels
from styletransfer.support.errors import UserError
from styletransfer.weights import collaborative, recognise, sources

torch = pytest.importorskip("torch")
from reference.torch_collaborative import Arrays, random_arrays, see, write

SPEC = models.load("vgg19_16x").SPEC
SHARED = Path(__file__).resolve().parents[2] / "shared"
PUBLISHED = SHARED / "teacher" / "vgg19_16x" / "20191109-211322_E20.pth"
MEAN = np.array([123.68, 116.779, 103.939])

needs_published = pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published file is not at hand")
each_file = pytest.mark.parametrize("kind", ["made up", pytest.param("published", marks=needs_published)])


def file_and_arrays(kind: str, folder: Path) -> tuple[Path, Arrays]:
    if kind == "made up":
        return write(folder / "encoder", random_arrays()), random_arrays()
    model = torch.load(PUBLISHED, map_location="cpu", weights_only=True)["model"]
    return PUBLISHED, {name: tensor.numpy() for name, tensor in model.items()}


def renamed(name: str) -> str:
    """Our name of a parameter of the file: conv11.weight is conv1_1_weight, conv11_aux.weight a read-out's."""
    layer, kind = name.split(".")
    if layer.endswith("_aux"):
        return f"relu{layer[4]}_{layer[5]}_read_out_{kind}"
    return f"conv{layer[4]}_{layer[5]}_{kind}"


@each_file
def test_every_array_comes_back_under_its_name(kind: str, tmp_path: Path) -> None:
    file, arrays = file_and_arrays(kind, tmp_path)
    assert recognise.recognise(file) == "pytorch"
    found = weights.load_whole(SPEC, file)
    assert list(found) == [*SPEC.parameters, *SPEC.read_out_parameters]
    for name, array in arrays.items():
        if not name.startswith("conv0") and not name.startswith("conv11."):
            np.testing.assert_array_equal(found[renamed(name)], array)
    assert len(found) == len(arrays) - 2
    assert list(weights.load(SPEC, file)) == list(SPEC.parameters)


def test_both_layouts_of_pytorch_give_the_same_arrays(tmp_path: Path) -> None:
    old, new = (
        weights.load_whole(SPEC, write(tmp_path / "encoder", random_arrays(), zipped)) for zipped in (False, True)
    )
    for name, array in old.items():
        np.testing.assert_array_equal(new[name], array)


@each_file
def test_the_folded_convolution_equals_the_first_two(kind: str, tmp_path: Path) -> None:
    """Away from the border, in every space whose channels are RGB."""
    _, arrays = file_and_arrays(kind, tmp_path)
    picture = random_picture(48, 64, seed=2)
    expected = see(arrays, picture)["relu1_1"].numpy()[:, :, 1:-1, 1:-1]
    two = [arrays[f"{layer}.{kind}"] for layer in ("conv0", "conv11") for kind in ("weight", "bias")]
    for space in ("rgb255", "torchvision"):
        weight, bias = (torch.tensor(array.astype(np.float64)) for array in collaborative.fold(*two, space))
        image = torch.tensor(pixels.from_picture(picture, space).astype(np.float64))
        found = torch.relu(torch.nn.functional.conv2d(image, weight, bias)).numpy()
        assert relative_error(found, expected) < 1e-6


@each_file
def test_the_network_matches_the_published_one_except_for_padding(kind: str, tmp_path: Path) -> None:
    file, arrays = file_and_arrays(kind, tmp_path)
    picture = random_picture(70, 90, seed=3)
    network = network_of(SPEC.name, weights.load(SPEC, file))
    found = features_of(network, SPEC.layer_names, pixels.from_picture(picture, SPEC.pixels))
    surrounded = see(arrays, picture, MEAN / 255)
    assert [layer for layer in found if layer.startswith("relu")] == [
        layer for layer in surrounded if not layer.endswith("read_out")
    ]
    for layer, (weight, bias) in read_outs(file).items():
        read_out = np.einsum("ncyx,fc->nfyx", found[layer], weight[:, :, 0, 0]) + bias.reshape(1, -1, 1, 1)
        found[f"{layer}_read_out"] = np.maximum(read_out, 0)
    for layer, expected in surrounded.items():
        assert relative_error(found[layer], expected) < 1e-5, layer
    reflected = see(arrays, picture)
    for layer, border in (("relu1_1", 1), ("relu1_2", 2), ("relu2_1", 2), ("relu2_2", 3), ("relu3_1", 3)):
        inside = (..., slice(border, -border), slice(border, -border))
        assert relative_error(found[layer][inside], reflected[layer][inside]) < 1e-5, layer
        assert relative_error(found[layer], reflected[layer]) > 0.01, layer


def read_outs(file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The weight and the bias of each read-out, by its layer."""
    arrays = weights.load_whole(SPEC, file)
    return {layer: (arrays[f"{layer}_read_out_weight"], arrays[f"{layer}_read_out_bias"]) for layer in SPEC.read_outs}


@each_file
def test_fetched_weights_have_the_read_outs(kind: str, tmp_path: Path) -> None:
    file, _ = file_and_arrays(kind, tmp_path)
    (target,) = sources.catalogue()[SPEC.name]
    (source,) = target.sources
    assert source.reader is not None and target.reader is not None
    saved = tmp_path / "saved.params"
    weights.save(saved, source.reader(file))
    target.reader(saved)
    for load in (weights.load, weights.load_whole):
        for name, array in load(SPEC, file).items():
            np.testing.assert_array_equal(load(SPEC, saved)[name], array)
    assert {layer: (weight.shape, bias.shape) for layer, (weight, bias) in read_outs(saved).items()} == {
        "relu1_1": ((64, 16, 1, 1), (64,)),
        "relu2_1": ((128, 32, 1, 1), (128,)),
        "relu3_1": ((256, 64, 1, 1), (256,)),
        "relu4_1": ((512, 128, 1, 1), (512,)),
        "relu5_1": ((512, 128, 1, 1), (512,)),
    }


def test_parameters_without_read_outs_are_accepted(tmp_path: Path) -> None:
    file = tmp_path / "network.params"
    weights.save(file, weights.random(SPEC, 0))
    assert list(weights.load(SPEC, file)) == list(SPEC.parameters)
    with pytest.raises(UserError, match="relu1_1_read_out_weight of vgg19_16x is missing"):
        weights.load_whole(SPEC, file)


def without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: array for key, array in arrays.items() if key != name}


REFUSED: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "a layer is missing": (without("conv51.weight"), "conv51.weight is missing"),
    "a read-out is missing": (without("conv51_aux.bias"), "conv51_aux.bias is missing"),
    "conv0 is half": (without("conv0.bias"), "conv0.bias is missing"),
    "another layer": (lambda arrays: {**arrays, "conv52.bias": np.ones(3)}, "conv52.bias is not a parameter"),
    "another shape": (
        lambda arrays: {**arrays, "conv12.bias": np.ones(3)},
        "conv12.bias has shape (3,), expected (16,)",
    ),
    "integers": (lambda arrays: {**arrays, "conv12.bias": np.ones(16, int)}, "does not contain floating-point numbers"),
    "no number": (
        lambda arrays: {**arrays, "conv0.bias": np.array([0, np.nan, 0])},
        "conv1_1_bias contains values that are not finite in float32",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_network_is_rejected(case: str, tmp_path: Path) -> None:
    change, reason = REFUSED[case]
    file = write(tmp_path / "encoder", change(random_arrays()))
    with pytest.raises(UserError) as caught:
        weights.load(SPEC, file)
    assert reason in str(caught.value) and str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_file_is_rejected_for_another_network(tmp_path: Path) -> None:
    file = write(tmp_path / "encoder", random_arrays())
    for name in models.names():
        if name != SPEC.name:
            with pytest.raises(UserError, match=r"is not a parameter of|is missing|has shape"):
                weights.load(models.load(name).SPEC, file)


@needs_published
def test_the_published_file_is_the_one_that_is_meant() -> None:
    (source,) = sources.catalogue()[SPEC.name][0].sources
    assert source.checksum is not None
    assert PUBLISHED.stat().st_size == source.size
    assert hashlib.sha256(PUBLISHED.read_bytes()).hexdigest() == source.checksum.digits


@needs_published
def test_the_published_arrays_are_those_of_the_archive() -> None:
    _, arrays = file_and_arrays("published", PUBLISHED.parent)
    with np.load(PUBLISHED.with_name("vgg19_16x.npz")) as archive:
        assert sorted(archive.files) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive[name], array)


@needs_published
def test_the_read_outs_reconstruct_vgg19() -> None:
    """The first of its convolutions, on a photograph: pixels in another order or range would not."""
    (exact,) = (SHARED / "teacher" / "vgg19_blocks_1_to_3").glob("*.npz")
    picture = images.resize(images.read(SHARED / "images" / "IMG_4343.jpg"), 160, 240)
    parameters, (weight, bias) = weights.load(SPEC, PUBLISHED), read_outs(PUBLISHED)["relu1_1"]

    def relu(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        tensors = (torch.tensor(np.ascontiguousarray(values, dtype=np.float64)) for values in (image, kernel, bias))
        return torch.relu(torch.nn.functional.conv2d(*tensors)).numpy()

    ours = relu(pixels.from_picture(picture, SPEC.pixels), parameters["conv1_1_weight"], parameters["conv1_1_bias"])
    with np.load(exact) as archive:
        theirs = relu(pixels.from_picture(picture, "bgr255"), archive["conv1_1.weight"], archive["conv1_1.bias"])
    found = relu(ours, weight, bias)
    expected = theirs / theirs.mean(axis=(0, 2, 3), keepdims=True)
    found /= found.mean(axis=(0, 2, 3), keepdims=True) + 1e-9
    residual = ((found - expected) ** 2).sum() / ((expected - expected.mean(axis=(2, 3), keepdims=True)) ** 2).sum()
    assert residual < 0.1, residual
