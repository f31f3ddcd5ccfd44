"""Weight files: values written by MXNet or by hand are read back, and any other file is a UserError."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers import features_of, mxnet, network_of
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from shrunk import shrunk
from test_weight_formats import WRITERS, some_weights

import models
from models.graph import IMAGE, Node
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.optimization.loop import StoppingRule, optimize
from styletransfer.pictures import images, pixels
from styletransfer.session import binding, inputs
from styletransfer.session.resolve import resolve
from styletransfer.support.errors import UserError
from styletransfer.weights import codebook, deep_compression, mxnet_params

ROOT = Path(__file__).resolve().parents[1]
SQUEEZENET = ROOT.parent / "shared" / "teacher" / "compressed_SqueezeNet.net"
SPEC = ModelSpec(
    name="small",
    title="Small",
    nodes=(
        IMAGE,
        Node("conv1", "conv", ("data",), 4, kernel=3),
        Node("relu1", "relu", ("conv1",), 4),
        Node("conv2", "conv", ("relu1",), 2),
    ),
    pixels="rgb255",
    pooling="max",
    weights_file="no such file.params",
    how_to_get="ask for it",
    licence="none",
    source="here",
    style_layers={"relu1": 1.0},
    content_layers={"relu1": 1.0},
)
TYPE_FLAGS = {"float32": 0, "float64": 1, "float16": 2, "int32": 4}


def example(dtype: str = "float32") -> dict[str, NDArray]:
    generator = np.random.default_rng(3)
    return {name: generator.normal(size=shape).astype(dtype) for name, shape in SPEC.parameters.items()}


def header(generation: int, array: NDArray) -> bytes:
    """The header of an array in the generations 0 (2015) to 3 of the format."""
    flag = struct.pack("<iii", 1, 0, TYPE_FLAGS[array.dtype.name])  # device type, device number, type of the values
    if generation == 0:
        return struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape) + flag
    storage = struct.pack("<i", 0) if generation >= 2 else b""
    magic = struct.pack("<I", 0xF993FAC7 + generation)
    return magic + storage + struct.pack(f"<I{array.ndim}q", array.ndim, *array.shape) + flag


def by_hand(arrays: dict[str, NDArray], generation: int = 2) -> bytes:
    """A `.params` file, written according to the format description."""
    names = b"".join(struct.pack("<Q", len(name.encode())) + name.encode() for name in arrays)
    bodies = b"".join(header(generation, array) + array.tobytes() for array in arrays.values())
    count = struct.pack("<Q", len(arrays))
    return struct.pack("<QQ", 0x112, 0) + count + bodies + count + names


def read(contents: bytes) -> dict[str, NDArray]:
    return mxnet_params.read(io.BytesIO(contents), len(contents))


def assert_same(found: dict[str, NDArray], expected: dict[str, NDArray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


# --- the .params format against MXNet


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32"])
@pytest.mark.parametrize("prefix", ["arg:", "aux:", ""])
def test_reads_files_of_mxnet(tmp_path: Path, dtype: str, prefix: str) -> None:
    mx = mxnet()
    arrays = {name: (array * 100).astype(dtype) for name, array in example().items()}
    file = tmp_path / "w.params"
    mx.nd.save(str(file), {prefix + name: mx.nd.array(array, dtype=dtype) for name, array in arrays.items()})
    assert_same(read(file.read_bytes()), arrays)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_mxnet_reads_our_files(tmp_path: Path, dtype: str) -> None:
    mx = mxnet()
    arrays = example(dtype)
    file = tmp_path / "w.params"
    weights.save(file, arrays)
    loaded = {name: array.asnumpy() for name, array in mx.nd.load(str(file)).items()}
    assert_same(loaded, {"arg:" + name: array for name, array in arrays.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["w.params"]


@pytest.mark.parametrize("generation", [0, 1, 2, 3])
def test_reads_all_generations_of_the_format(tmp_path: Path, generation: int) -> None:
    mx = mxnet()
    arrays = example()
    contents = by_hand({"arg:" + name: array for name, array in arrays.items()}, generation)
    file = tmp_path / "w.params"
    file.write_bytes(contents)
    with mx.util.np_shape(generation == 3):  # MXNet agrees that this is the format
        oracle = {name[4:]: array.asnumpy() for name, array in mx.nd.load(str(file)).items()}
    assert_same(oracle, arrays)
    assert_same(read(contents), arrays)
    assert_same(weights.load(SPEC, file), arrays)


def test_reads_a_scalar_of_the_third_generation_and_what_follows() -> None:
    arrays = {"a": np.array(2.5, np.float32), "b": np.arange(3, dtype=np.float32)}
    assert_same(read(by_hand(arrays, generation=3)), arrays)


def test_only_known_prefixes_are_removed_from_names() -> None:
    assert list(read(by_hand({"arg:a:b": np.ones(1, np.float32), "c:d": np.ones(1, np.float32)}))) == ["a:b", "c:d"]


# --- loading into a network


def test_load_gives_the_parameters_as_float32_in_the_order_of_the_spec(tmp_path: Path) -> None:
    file = tmp_path / "w.params"
    arrays = example("float16")
    file.write_bytes(by_hand({name: arrays[name] for name in reversed(arrays)}))
    assert_same(weights.load(SPEC, file), {name: array.astype(np.float32) for name, array in arrays.items()})


def test_load_ignores_fully_connected_layers(tmp_path: Path) -> None:
    file = tmp_path / "w.params"
    file.write_bytes(by_hand({**example(), "fc6_weight": np.ones((2, 2), np.float32)}))
    assert_same(weights.load(SPEC, file), example())


def losses(file: Path) -> NDArray:
    """All losses of the start and of two steps with the config key `weights`, VGG-16 up to its last block."""
    small = ("shape=[30, 40]", "stop.max_iterations=2", "optimizer={name: adam, learning_rate: 5}", f"weights={file}")
    config = shrunk("keras_vgg16", small)
    plan = resolve(config)
    prepared = binding.bind(plan, plan.scales[0], inputs.read_pictures(plan)[0], inputs.load_parameters(plan))
    records = optimize(
        prepared.engine,
        prepared.image,
        prepared.objective,
        prepared.optimizer,
        StoppingRule(config.steps[0], config.stop.relative_change),
    )
    return np.array([[*record.losses.layers.values(), record.losses.tv, record.gradient_norm] for record in records])


def test_every_published_format_gives_the_same_curve(tmp_path: Path) -> None:
    """If the pixel scale is folded into the first convolution, the difference is about 6e-7, else 0."""
    arrays = some_weights(models.load("vgg16").SPEC)
    file = tmp_path / "weights of some kind"
    curves = {}
    for form in ("params", "torch", "keras-2016", "matconvnet-old", "npz"):  # the fastest of each kind
        WRITERS[form][1](file, arrays)
        curves[form] = losses(file)
    file.unlink()
    expected = curves["params"]
    assert expected.shape == (3, 8)
    assert (np.abs(np.diff(expected[:, :6], axis=0)) > 1e-3 * expected[0, :6]).any(axis=0).all()  # every layer moves
    for form, found in curves.items():
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=form)


def changed(name: str, array: NDArray | None) -> bytes:
    arrays: dict[str, NDArray] = {**example()}
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    return by_hand(arrays)


WHOLE = by_hand(example())
NOT_FINITE = "conv1_bias contains values that are not finite in float32"
REFUSED = {
    "missing": (changed("conv2_bias", None), "conv2_bias of small is missing"),
    "extra": (changed("conv9_weight", np.ones(2, np.float32)), "conv9_weight is not a parameter of small"),
    "shape": (changed("conv2_weight", np.ones((2, 4), np.float32)), "conv2_weight has shape (2, 4)"),
    "nan": (changed("conv1_bias", np.array([0, np.nan, 0, 0], np.float32)), NOT_FINITE),
    "infinite": (
        changed("conv1_bias", np.array([0, -np.inf, 0, 0], np.float16)),
        NOT_FINITE,
    ),
    "too large": (changed("conv1_bias", np.array([0, 1e300, 0, 0], np.float64)), NOT_FINITE),
    "integers": (changed("conv1_bias", np.zeros(4, np.int32)), "conv1_bias has dtype int32"),
    "empty file": (b"", "cannot read weights"),
    "only the beginning": (WHOLE[:-1], "it is truncated"),
    "trailing bytes": (WHOLE + b"\0", "it has trailing bytes"),
    "another format": (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot read weights"),
    "a web page": (b"<!DOCTYPE html><html>404: not found</html>", "cannot read weights"),
    "no names": (struct.pack("<QQQQ", 0x112, 0, 0, 1), "its arrays have no names"),
    "no arrays": (struct.pack("<QQQQ", 0x112, 0, 0, 0), "conv1_weight of small is missing"),
    "the same name twice": (
        by_hand({"arg:conv1_bias": np.ones(4, np.float32), "aux:conv1_bias": np.ones(4, np.float32)}),
        "two arrays are named conv1_bias",
    ),
    "a sparse array": (WHOLE.replace(b"\xc9\xfa\x93\xf9\0", b"\xc9\xfa\x93\xf9\1", 1), "it contains a sparse array"),
    "an empty array": (by_hand({"a": np.ones((2, 0), np.float32)}), "an array is empty"),
    "no array": (struct.pack("<QQQIiI", 0x112, 0, 1, 0xF993FAC9, 0, 0) + bytes(40), "an array is empty"),
    "a long name": (by_hand({"n" * 300: np.ones(1, np.float32)}), "the name of an array is too long"),
    "a name that is no text": (WHOLE[:-10] + b"\xff" * 10, "the name of an array is not valid UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_load_rejects(tmp_path: Path, case: str) -> None:
    contents, reason = REFUSED[case]
    file = tmp_path / "w.params"
    file.write_bytes(contents)
    with pytest.raises(UserError) as caught:
        weights.load(SPEC, file)
    assert reason in str(caught.value)
    assert str(file) in str(caught.value)


def test_load_explains_how_to_get_missing_weights() -> None:
    with pytest.raises(UserError, match=r"weights of small not found at .*no such file\.params: ask for it"):
        weights.load(SPEC)


def test_load_rejects_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.params", tmp_path):
        with pytest.raises(UserError, match="not found at"):
            weights.load(SPEC, path)
        with pytest.raises(UserError, match="cannot read weights"):
            weights.load_deep_compression(SPEC, path)


def test_every_truncation_is_rejected() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(ValueError, match="is truncated"):
            read(WHOLE[:length])


@pytest.mark.parametrize(
    "shape",
    [(2**31 - 1, 2**31 - 1), (2**32 - 1,) * 32, (1 << 40,), (-1, 4), (4, -(2**63))],
    ids=["2 sides", "32 sides", "1 side", "negative", "very negative"],
)
def test_a_huge_or_negative_shape_is_rejected_before_allocation(shape: tuple[int, ...]) -> None:
    array = struct.pack(f"<IiI{len(shape)}qiii", 0xF993FAC9, 0, len(shape), *shape, 1, 0, 0)
    contents = struct.pack("<QQQ", 0x112, 0, 1) + array + bytes(1000)
    assert peak_of_refusal(contents) < 100_000


@pytest.mark.parametrize("count", [2**63, 2**32, 10**6])
def test_huge_counts_are_rejected_before_allocation(count: int) -> None:
    assert peak_of_refusal(struct.pack("<QQQ", 0x112, 0, count) + bytes(1000)) < 100_000
    one = by_hand({"a": np.ones(1, np.float32)})
    assert peak_of_refusal(one[:-9] + struct.pack("<Q", count) + bytes(1000)) < 100_000


def peak_of_refusal(contents: bytes) -> int:
    """Peak memory in bytes while the file is rejected."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            read(contents)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def load_or_refuse(folder: Path, contents: bytes) -> bool:
    """Return whether the file is accepted; it may be rejected only with UserError, using little memory."""
    file = folder / "w.params"
    file.write_bytes(contents)
    tracemalloc.start()
    try:
        weights.load(SPEC, file)
        return True
    except UserError:
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 500_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@given(st.binary(max_size=300), st.sampled_from([b"", WHOLE[:16], WHOLE[:24], WHOLE[:32]]))
def test_random_bytes_are_rejected(folder: Path, contents: bytes, start: bytes) -> None:
    assert not load_or_refuse(folder, start + contents)


@given(st.lists(st.integers(0, 8 * len(WHOLE) - 1), min_size=1, max_size=8, unique=True), st.integers(0, len(WHOLE)))
def test_flipped_bits_and_truncations_raise_only_user_errors(folder: Path, bits: list[int], length: int) -> None:
    contents = bytearray(WHOLE)
    for bit in bits:
        contents[bit // 8] ^= 1 << bit % 8
    load_or_refuse(folder, bytes(contents))
    if length < len(WHOLE):
        assert not load_or_refuse(folder, bytes(contents[:length]))


def test_any_flipped_bit_outside_the_values_is_rejected_or_harmless() -> None:
    """The reserved word of the list and the device of an array are harmless."""
    values = WHOLE.index(example()["conv1_weight"].tobytes())
    names = len(WHOLE) - sum(8 + len(name) for name in SPEC.parameters) - 8
    accepted = set()
    for bit in [*range(8 * values), *range(8 * names, 8 * len(WHOLE))]:
        contents = bytearray(WHOLE)
        contents[bit // 8] ^= 1 << bit % 8
        try:
            weights.check(SPEC, read(bytes(contents)), Path("w.params"))
            accepted.add(bit // 8)
        except (ValueError, UserError):
            pass
    device = values - 12
    assert accepted == {*range(8, 16), *range(device, device + 8)}


# --- kernels of few values


def test_kernels_of_few_values_are_stored_in_8_bits_and_read_back_exactly(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    arrays = {
        "few_weight": generator.choice(generator.normal(size=256), (64, 9, 3, 3)).astype(np.float32),
        "many_weight": generator.choice(generator.normal(size=257), (64, 9, 3, 3)).astype(np.float32),
        "late_weight": np.concatenate(
            [np.zeros((64, 9, 3, 3)), generator.normal(size=(64, 9, 3, 3))], dtype=np.float32
        ),
        "small_weight": generator.normal(size=(2, 2, 3, 3)).astype(np.float32),  # the table would be larger
        "few_bias": np.zeros(64, np.float32),
    }
    weights.save(tmp_path / "w.params", arrays)
    stored = read((tmp_path / "w.params").read_bytes())
    assert stored["few_weight_codes"].dtype == np.uint8 and stored["few_weight_table"].shape == (256,)
    assert set(stored) == {*arrays, "few_weight_codes", "few_weight_table"} - {"few_weight"}
    assert_same(codebook.decode(stored), arrays)


@pytest.mark.parametrize(
    ("table", "codes", "said"),
    [
        (None, np.zeros((2, 2), np.uint8), "conv2_weight_table is missing"),
        (np.zeros(3, np.float32), np.full((2, 2), 3, np.uint8), "a code of conv2_weight exceeds its table"),
        (np.zeros((3, 2), np.float32), np.zeros((2, 2), np.uint8), "conv2_weight have an unknown type"),
        (np.zeros(3, np.int32), np.zeros((2, 2), np.uint8), "conv2_weight have an unknown type"),
        (np.zeros(3, np.float32), np.zeros((2, 2), np.int32), "conv2_weight have an unknown type"),
        (np.zeros(3, np.float32), np.zeros((2, 2), np.uint8), "conv2_weight has shape (2, 2), expected"),
    ],
)
def test_codes_that_cannot_be_looked_up_are_rejected(
    table: NDArray | None, codes: NDArray, said: str, tmp_path: Path
) -> None:
    arrays = example()
    del arrays["conv2_weight"]
    arrays |= {"conv2_weight_codes": codes} | ({} if table is None else {"conv2_weight_table": table})
    with (tmp_path / "w.params").open("wb") as stream:
        mxnet_params.write(stream, arrays)
    with pytest.raises(UserError, match=re.escape(said)):
        weights.load(SPEC, tmp_path / "w.params")


# --- writing


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "w.params"
    weights.save(file, example())
    before = file.read_bytes()
    with pytest.raises(KeyError):
        weights.save(file, {"a": np.ones(2, np.float32), "b": np.ones(2, np.complex64)})
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["w.params"]


def test_saving_and_loading_is_exact(tmp_path: Path) -> None:
    file = tmp_path / "w.params"
    weights.save(file, example())
    assert_same(weights.load(SPEC, file), example())
    assert file.read_bytes() == by_hand({"arg:" + name: array for name, array in example().items()})


def test_random_weights_have_the_scale_of_he_and_are_reproducible() -> None:
    spec = models.load("vgg_slim").SPEC
    first, second, third = (weights.random(spec, seed) for seed in (1, 1, 2))
    assert_same(first, second)
    assert {name: array.shape for name, array in first.items()} == dict(spec.parameters)
    assert not np.array_equal(first["conv1_1_weight"], third["conv1_1_weight"])
    for name, array in first.items():
        if name.endswith("_bias"):
            assert not array.any()
        else:
            assert array.std() == pytest.approx(np.sqrt(2 / np.prod(array.shape[1:])), rel=0.1)


# --- Deep Compression

SHAPES = {"a_weight": (3, 4, 3, 3), "a_bias": (3,), "b_weight": (5, 3, 1, 1), "b_bias": (5,)}
LONGEST_GAP = 15


def encode(parameters: dict[str, NDArray]) -> bytes:
    """A Deep Compression file, written according to the format description; at most 255 nonzero values per layer."""
    counts, bodies = b"", b""
    for name, weight in parameters.items():
        if not name.endswith("_weight"):
            continue
        flat = weight.ravel()
        values = np.unique(flat[flat != 0])
        shared = np.zeros(256, np.float32)
        shared[1 : len(values) + 1] = values
        codes, gaps, last = [], [], -1
        for position in np.flatnonzero(flat):
            while position - last - 1 > LONGEST_GAP:  # a stored zero in between
                codes.append(0)
                gaps.append(LONGEST_GAP)
                last += LONGEST_GAP + 1
            codes.append(int(np.searchsorted(values, flat[position])) + 1)
            gaps.append(int(position) - last - 1)
            last = int(position)
        counts += struct.pack("<I", len(codes))
        padded = [*gaps, 0] if len(gaps) % 2 else gaps
        packed = bytes(low | high << 4 for low, high in zip(padded[::2], padded[1::2]))
        bias = parameters[name.replace("_weight", "_bias")].astype("<f4").tobytes()
        bodies += shared.astype("<f4").tobytes() + bias + bytes(codes) + packed
    return counts + bodies


def sparse(seed: int, density: float) -> dict[str, NDArray]:
    generator = np.random.default_rng(seed)
    palette = generator.normal(size=20)
    parameters = {}
    for name, shape in SHAPES.items():
        values = generator.choice(palette, shape) * (generator.random(shape) < density)
        parameters[name] = (values if name.endswith("_weight") else generator.normal(size=shape)).astype(np.float32)
    return parameters


def decode(contents: bytes) -> dict[str, NDArray]:
    return dict(deep_compression.read(io.BytesIO(contents), len(contents), SHAPES))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]))
def test_deep_compression_is_decoded_exactly(seed: int, density: float) -> None:
    parameters = sparse(seed, density)
    assert_same(decode(encode(parameters)), parameters)


def test_a_layer_of_deep_compression_written_out_by_hand() -> None:
    """Stored: 7 at position 2, 9 at 2 + 1 + 4 = 7; three codes, so the last byte of gaps is half used."""
    shared = np.zeros(256, np.float32)
    shared[[1, 2]] = 7, 9
    bias = np.array([0.5], np.float32)
    contents = struct.pack("<I", 3) + shared.tobytes() + bias.tobytes() + bytes([1, 2, 1]) + bytes([2 | 4 << 4, 0])
    found = deep_compression.read(io.BytesIO(contents), len(contents), {"a_weight": (1, 3, 2, 2), "a_bias": (1,)})
    np.testing.assert_array_equal(found["a_weight"].ravel(), [0, 0, 7, 0, 0, 0, 0, 9, 7, 0, 0, 0])
    np.testing.assert_array_equal(found["a_bias"], bias)


@given(st.data())
def test_a_truncated_or_extended_deep_compression_file_is_rejected(data: st.DataObject) -> None:
    contents = encode(sparse(data.draw(st.integers(0, 10**6)), 0.3))
    length = data.draw(st.integers(0, len(contents) - 1))
    with pytest.raises(ValueError, match="is truncated"):
        decode(contents[:length])
    with pytest.raises(ValueError, match="has trailing bytes"):
        decode(contents + data.draw(st.binary(min_size=1, max_size=20)))


def deep_compression_file(folder: Path, contents: bytes) -> Path:
    file = folder / "small.net"
    file.write_bytes(contents)
    return file


def test_damage_to_a_deep_compression_file_is_a_user_error(folder: Path) -> None:
    parameters = {
        name: np.ones(shape, np.float32) if name.endswith("_weight") else np.zeros(shape, np.float32)
        for name, shape in SPEC.parameters.items()
    }
    whole = encode(parameters)
    assert_same(weights.load_deep_compression(SPEC, deep_compression_file(folder, whole)), parameters)
    far_beyond, just_beyond = (whole[:-1] + gaps for gaps in (b"\xff", b"\x10"))
    not_finite = whole[:8] + struct.pack("<ff", 0, np.nan) + whole[16:]
    for contents, reason in {
        b"": "it is truncated",
        whole[:-1]: "it is truncated",
        whole + b"\0": "it has trailing bytes",
        far_beyond: "a weight of conv2 is beyond the end of the layer",
        just_beyond: "a weight of conv2 is beyond the end of the layer",
        struct.pack("<II", 2**32 - 1, 8) + whole[8:]: "conv1 stores more weights than it has",
        not_finite: "conv1_weight contains values that are not finite in float32",
    }.items():
        file = deep_compression_file(folder, contents)
        with pytest.raises(UserError) as caught:
            weights.load_deep_compression(SPEC, file)
        assert reason in str(caught.value)
        assert str(file) in str(caught.value)


@given(st.binary(max_size=6000))
def test_random_bytes_are_not_a_deep_compression_file(folder: Path, contents: bytes) -> None:
    with pytest.raises(UserError):
        weights.load_deep_compression(SPEC, deep_compression_file(folder, contents))


# --- the published SqueezeNet

needs_squeezenet = pytest.mark.skipif(not SQUEEZENET.is_file(), reason="the published SqueezeNet is not at hand")


@needs_squeezenet
def test_the_published_squeezenet_is_the_one_that_is_meant() -> None:
    contents = SQUEEZENET.read_bytes()
    assert len(contents) == 675_763
    assert hashlib.sha256(contents).hexdigest() == "e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261"


@needs_squeezenet
@pytest.mark.parametrize(("picture", "label"), [("chelsea", 285), ("coffee", 967), ("camera", 872)])
def test_the_published_squeezenet_recognises(picture: str, label: int) -> None:
    """An Egyptian cat, an espresso, a tripod."""
    from skimage import data

    values = np.asarray(getattr(data, picture)(), dtype=np.float64) / 255
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    side = min(values.shape[:2])
    top, left = ((length - side) // 2 for length in values.shape[:2])
    square = images.resize(values[top : top + side, left : left + side], 227, 227)

    parameters = weights.load_deep_compression(models.load("squeezenet").SPEC, SQUEEZENET)
    network = network_of("squeezenet", parameters)
    scores = features_of(network, ["classes"], pixels.from_picture(square, "caffe"))["classes"]
    assert scores.shape == (1, 1000)
    assert int(scores.argmax()) == label
