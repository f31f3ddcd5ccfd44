"""Any painting at once: moments of features, decoders, tiles, paintings, the command, the call, starts of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import ENGINE, mxnet, random_picture, relative_error
from processes import PROJECT

from models import decoders, graph
from scripts.stylize import main
from styletransfer import config as configs
from styletransfer import stylize, weights
from styletransfer.engines import installed, load
from styletransfer.feedforward import instant
from styletransfer.feedforward.instant import Instant, least_map, reach
from styletransfer.feedforward.paintings import STRENGTH, Painting, PaintingStylizer
from styletransfer.pictures import images
from styletransfer.pictures.moments import Moments, mixed, moments
from styletransfer.session import inputs
from styletransfer.session.resolve import resolve
from styletransfer.support.errors import UserError

every_layer = pytest.mark.parametrize("layer", decoders.LAYERS)


@pytest.fixture(scope="module")
def painter() -> Instant:
    return Instant(ENGINE, "float32")


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return images.resize(images.read(PROJECT / "input/coffee.jpg"), 90, 120)


@pytest.fixture(scope="module")
def painting() -> np.ndarray:
    return images.resize(images.read(PROJECT / "input/night.jpg"), 100, 120)


def covariance(seed: int, channels: int = 6, rank: int | None = None) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(channels, rank or 3 * channels))
    return values @ values.T


# The map of moments.


def test_the_map_gives_the_wanted_covariance_and_is_symmetric() -> None:
    found, wanted = covariance(1), covariance(2)
    matrix = least_map(found, wanted)
    np.testing.assert_allclose(matrix @ found @ matrix.T, wanted, atol=1e-9)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(least_map(found, found), np.eye(6), atol=1e-9)


def test_the_map_moves_values_less_than_whitening_and_colouring() -> None:
    """E|Ax - x|^2 = tr(A C A' - 2 A C + C)."""
    found, wanted = covariance(1), covariance(2)

    def moved(matrix: np.ndarray) -> float:
        return float(np.trace(matrix @ found @ matrix.T - 2 * matrix @ found + found))

    def root(matrix: np.ndarray, exponent: float) -> np.ndarray:
        values, axes = np.linalg.eigh(matrix)
        return (axes * values**exponent) @ axes.T

    assert moved(least_map(found, wanted)) < moved(root(wanted, 0.5) @ root(found, -0.5))


def test_a_singular_covariance_is_harmless() -> None:
    matrix = least_map(covariance(1, rank=2), covariance(2))
    assert np.isfinite(matrix).all() and np.linalg.matrix_rank(matrix, tol=1e-6) == 2
    np.testing.assert_array_equal(least_map(np.zeros((6, 6)), covariance(2)), np.zeros((6, 6)))


@pytest.mark.parametrize("regions", [1, 2])
def test_transformed_features_have_the_moments_of_the_style(regions: int) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(3, 2, (5, 96, 48)).astype(np.float32)
    styles = [Moments(generator.normal(size=5), covariance(number, 5)) for number in range(regions)]
    masks: list = [None]
    if regions == 2:
        masks = [np.zeros((80, 32)), np.zeros((80, 32))]
        masks[0][:37], masks[1][37:] = 1, 1
    instant._transform(features, list(zip(masks, styles)), 1.0)
    for mask, style in zip(masks, styles):
        whole = None if mask is None else instant._mask_for(features, mask)
        found = moments(features.transpose(1, 2, 0), whole)
        np.testing.assert_allclose(found.mean, style.mean, atol=1e-4)
        np.testing.assert_allclose(found.covariance, style.covariance, atol=1e-3)


# The decoders.


def test_all_decoders_are_in_one_small_file() -> None:
    shapes = [decoders.spec(layer).parameters for layer in decoders.LAYERS]
    assert len({name for each in shapes for name in each}) == sum(map(len, shapes))
    assert decoders.spec("proj1_1").weights_path.stat().st_size < 3 * 2**20


@every_layer
def test_a_decoder_gives_an_image_of_the_size_that_the_encoder_saw(layer: str) -> None:
    spec = decoders.spec(layer)
    sides = instant._SPEC.output_shape(layer, 48, 64)
    assert spec.output_shape(decoders.image(layer), *sides[1:]) == (3, 48, 64)
    assert graph.up_to(spec.nodes, [decoders.image(layer)]) == spec.nodes


@every_layer
def test_the_reach_of_a_decoder_is_what_its_image_depends_on(layer: str) -> None:
    """With positive weights and biases every ReLU passes on, so what can have an effect has one."""
    spec, result = decoders.spec(layer), decoders.image(layer)
    positive = {name: np.full(shape, 0.01, np.float32) for name, shape in spec.parameters.items()}
    network = ENGINE.network(spec, positive, "max", "float32")
    far, side = reach(spec.nodes), 2 * reach(spec.nodes) + 3
    channels = spec.nodes[0].channels
    bound = network.bind([result], (channels, side, 1), trainable=False)
    factor = spec.output_shape(result, side, 1)[1] // side
    middle = side // 2

    def painted(changed: int) -> np.ndarray:
        values = np.ones((1, channels, side, 1), np.float32)
        values[:, :, changed] = 2
        bound.forward(ENGINE.array(values))
        return ENGINE.numpy(bound.features(result))[0, :, middle * factor : (middle + 1) * factor]

    unchanged = painted(middle - far - 1)
    np.testing.assert_array_equal(painted(middle + far + 1), unchanged)
    assert np.abs(painted(middle - far) - unchanged).max() > 0
    assert np.abs(painted(middle + far) - unchanged).max() > 0


@every_layer
def test_pictures_are_rebuilt_from_their_features(painter: Instant, photograph: np.ndarray, layer: str) -> None:
    image = instant._entered(photograph)
    rebuilt = painter._decode(painter._encode(image, [layer])[layer], layer)
    image, rebuilt = (each[:, :, 8:-8, 8:-8] for each in (image, rebuilt))
    worst = {"proj1_1": 0.1, "proj2_1": 0.25, "proj3_1": 0.4, "proj4_1": 0.8, "proj5_1": 0.9}
    centred = image - image.mean((2, 3), keepdims=True)
    assert np.linalg.norm(rebuilt - image) < worst[layer] * np.linalg.norm(centred)


# Pictures.


def test_tiles_give_what_the_whole_gives(painter: Instant) -> None:
    picture = random_picture(300, 430, seed=1)
    style = random_picture(280, 300, seed=2)
    tiled = Instant(ENGINE, "float32", tile=176)
    found = tiled(picture, [(None, tiled.style(style))], 0.7)
    np.testing.assert_allclose(found, painter(picture, [(None, painter.style(style))], 0.7), atol=2e-5)


def test_features_that_are_not_held_are_found_again(
    painter: Instant, photograph: np.ndarray, painting: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = painter.style(painting)
    expected = painter(photograph, [(None, style)], 0.6)
    monkeypatch.setattr(instant, "_HELD", 0)
    np.testing.assert_allclose(painter(photograph, [(None, style)], 0.6), expected, atol=2e-5)


def test_both_engines_give_the_same(photograph: np.ndarray, painting: np.ndarray) -> None:
    mxnet()
    if not installed("torch"):
        pytest.skip("PyTorch is not installed")
    painters = [Instant(load(name), "float32") for name in ("mxnet", "torch")]
    first, second = (each(photograph, [(None, each.style(painting))], 0.7) for each in painters)
    assert relative_error(first, second) < 1e-4


def test_the_style_comes_closer_with_strength(painter: Instant, photograph: np.ndarray, painting: np.ndarray) -> None:
    style = painter.style(painting)

    def distance(picture: np.ndarray) -> float:
        found = painter.style(picture.astype(np.float32))
        return float(np.mean([relative_error(found[layer].covariance, style[layer].covariance) for layer in found]))

    distances = [distance(painter(photograph, [(None, style)], strength)) for strength in (0.0, 0.5, 1.0)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < distance(photograph) / 2
    assert np.abs(painter(photograph, [(None, style)], 0.0) - photograph).mean() < 0.02  # as decoded


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (15, 16), (17, 33), (300, 3)])
@pytest.mark.parametrize("kind", ["random", "one colour", "grey"])
def test_any_picture_of_any_size(painter: Instant, size: tuple[int, int], kind: str) -> None:
    picture = random_picture(*size, seed=1)
    if kind == "one colour":
        picture[:] = (0.2, 0.5, 0.9)
    if kind == "grey":
        picture[:] = picture[..., :1]
    other = random_picture(40, 50, seed=2)
    for photo, style in ((picture, other), (other, picture), (picture, picture)):
        found = painter(photo, [(None, painter.style(style))], 1.0)
        assert found.shape == photo.shape and np.isfinite(found).all()
        assert found.min() >= 0 and found.max() <= 1


def test_a_mask_gives_each_part_its_painting(painter: Instant, photograph: np.ndarray) -> None:
    red, blue = np.zeros((32, 32, 3), np.float32), np.zeros((32, 32, 3), np.float32)
    red[..., 0], blue[..., 2] = 0.9, 0.9
    left = np.zeros((9, 12))
    left[:, :6] = 1
    stylizer = PaintingStylizer(painter, [Painting(red), Painting(blue)], 1.0, regions=[left, None])
    found = stylizer(photograph)
    assert found[:, :50, 0].mean() > found[:, :50, 2].mean() + 0.3
    assert found[:, 70:, 2].mean() > found[:, 70:, 0].mean() + 0.3


def test_a_blend_has_the_moments_of_both(painter: Instant, photograph: np.ndarray, painting: np.ndarray) -> None:
    other = images.resize(images.read(PROJECT / "input/wave.jpg"), 90, 120)
    styles = [painter.style(painting), painter.style(other)]
    blend = instant.blended([(0.25, styles[0]), (0.75, styles[1])])
    stylizer = PaintingStylizer(painter, [Painting(painting), Painting(other, 3.0)], 0.8, 120)
    np.testing.assert_array_equal(stylizer(photograph), painter(photograph, [(None, blend)], 0.8))
    wanted = mixed([(0.25, styles[0]["proj1_1"]), (0.75, styles[1]["proj1_1"])])
    np.testing.assert_allclose(blend["proj1_1"].covariance, wanted.covariance)


def test_the_size_of_the_painting_matters(painter: Instant, photograph: np.ndarray, painting: np.ndarray) -> None:
    small = PaintingStylizer(painter, [Painting(painting)], style_size=40)(photograph)
    assert np.abs(small - PaintingStylizer(painter, [Painting(painting)])(photograph)).max() > 0.01


def test_the_frames_of_a_shot_are_moved_as_its_first(painter: Instant, photograph: np.ndarray) -> None:
    """So a part that two frames share looks the same in both, though the second has something bright beside it."""
    bright = photograph.copy()
    bright[:, 80:] = 1
    stylizer = PaintingStylizer(painter, [Painting(images.read(PROJECT / "input/night.jpg"))], 0.8)
    alone = stylizer(bright)
    stylizer.begin_shot()
    first, second = stylizer(photograph), stylizer(bright)
    np.testing.assert_array_equal(first, PaintingStylizer.__call__(stylizer, photograph))
    far = np.s_[:, :20]  # beyond what the networks see of the bright part, but for the deepest levels
    assert np.abs(second[far] - first[far]).mean() < 0.3 * np.abs(alone[far] - first[far]).mean()
    stylizer.begin_shot()
    np.testing.assert_array_equal(stylizer(bright), alone)


# The command and the call.


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photograph: np.ndarray, painting: np.ndarray) -> Path:
    monkeypatch.chdir(tmp_path)
    images.write("photo.png", photograph)
    images.write("one.png", painting)
    images.write("two.jpg", images.resize(images.read(PROJECT / "input/wave.jpg"), 60, 80))
    mask = np.zeros((90, 120, 3), np.float32)
    mask[:40] = 1
    images.write("mask.png", mask)
    return tmp_path


def command(*arguments: str) -> int:
    return main([*arguments, "--precision", "float32"])


def found(name: str) -> np.ndarray:
    return images.to_bytes(images.read(name))


def test_the_command_and_the_call_give_the_same(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert command("photo.png", "--style", "one.png") == 0
    assert capsys.readouterr().out == "photo_one.png\n"
    np.testing.assert_array_equal(
        np.asarray(stylize("photo.png", "one.png", engine=ENGINE.name, precision="float32")), found("photo_one.png")
    )
    assert command("photo.png", "--style", "one.png", "--strength", str(STRENGTH), "--output", "again.png") == 0
    np.testing.assert_array_equal(found("again.png"), found("photo_one.png"))


def test_blends_masks_and_colours(place: Path) -> None:
    two = ("photo.png", "--style", "one.png", "--style", "two.jpg", "--output")
    assert command(*two, "a.png", "--style-weights", "3,1", "--style-size", "80") == 0
    assert command(*two, "b.png", "--mask", "mask.png", "--mask", "rest", "--keep-colors") == 0
    options = {"engine": ENGINE.name, "precision": "float32"}
    blend = stylize("photo.png", {"one.png": 3, "two.jpg": 1}, style_size=80, **options)
    np.testing.assert_array_equal(np.asarray(blend), found("a.png"))
    parts = stylize(
        images.to_bytes(images.read("photo.png")), ["one.png", "two.jpg"], masks=["mask.png", None], keep_colors=True,
        **options,
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(parts), found("b.png"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--style", "three.png"), "picture three.png: no such file"),
        (("--style", "nigth"), "style nigth: there is no such style; did you mean 'night'?"),
        (("--style", "photo.png", "--output", "one.png", "--style", "one.png", "--force"), "is read by this command"),
        (("--style", "one.png", "--style-weights", "1,2"), "--style-weights: 2 for 1 paintings; expected one for each"),
        (("--style", "one.png", "--style", "night"), "--style night: a trained style cannot be blended"),
        (("--style", "night", "--style-size", "80"), "--style-size is for paintings, and night is a trained style"),
        (("--style", "one.png", "--mask", "none.png"), "picture none.png: no such file"),
        (("--style", "one.png", "--mask", "mask.png"), "regions: the masks leave"),
        (("--style", "one.png", "--style", "two.jpg", "--mask", "rest", "--mask", "rest"), "expected once at most"),
        (("--style", "mask.txt"), "picture mask.txt: no such file"),
    ],
)
def test_a_mistake_is_one_line(
    place: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], words: str
) -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*")}
    assert command("photo.png", *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert {path: path.read_bytes() for path in Path().rglob("*")} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"style": "three.png"}, "picture three.png: no such file"),
        ({"style": "one.png", "strength": 2}, "strength: 2 is not a number from 0 to 1"),
        ({"style": "one.png", "masks": ["mask.png", None]}, "masks: 2 for 1 paintings"),
        ({"style": 3}, "expected a path, a PIL image or an array"),
    ],
)
def test_a_mistake_of_the_call_is_one_line(place: Path, arguments: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        stylize("photo.png", **arguments)


# The start of a run.


def start_of(**keys: object) -> np.ndarray:
    values: dict = {
        "content": {"image": "photo.png"}, "style": {"images": "one.png"}, "size": 120, "scales": 1,
        "precision": "float32", "engine": ENGINE.name, **keys,
    }  # fmt: skip
    (pictures,) = inputs.read_pictures(resolve(configs.parse(values, "test")))
    assert pictures.start is not None
    return pictures.start


def test_a_run_starts_with_the_instant_picture(place: Path, painter: Instant) -> None:
    style = painter.style(images.resize(images.read("one.png"), 100, 120))
    expected = painter(images.read("photo.png"), [(None, style)], 0.5)
    np.testing.assert_allclose(start_of(init={"kind": "instant", "strength": 0.5}), expected, atol=1e-5)


def test_a_run_with_regions_starts_with_a_painting_in_each(place: Path) -> None:
    regions = [{"content": "mask.png", "style": "one.png"}, {"content": None, "style": "two.jpg"}]
    both = start_of(init={"kind": "instant"}, style={}, regions=regions)
    one = start_of(init={"kind": "instant"})
    assert both.shape == one.shape and np.abs(both - one)[60:].mean() > 1.5 * np.abs(both - one)[:30].mean()


def test_a_grey_run_starts_grey(place: Path) -> None:
    start = start_of(init={"kind": "instant"}, color="keep")
    np.testing.assert_allclose(start[..., 0], start[..., 1], atol=1e-6)


def test_weights_of_the_wrong_decoder_are_refused(tmp_path: Path) -> None:
    parameters = {**weights.load(decoders.spec("proj1_1")), "conv1_1_weight": np.zeros((16, 3, 3, 3), np.float32)}
    weights.save(tmp_path / "wrong.params", parameters)
    with pytest.raises(UserError, match="conv1_1_weight is not a parameter of decoder of proj1_1"):
        weights.load(decoders.spec("proj1_1"), tmp_path / "wrong.params")
