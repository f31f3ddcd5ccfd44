"""Pictures in memory: PIL images and arrays give what the same picture in a file gives, others are refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from styletransfer.pictures import images, in_memory
from styletransfer.support.errors import UserError

GENERATOR = np.random.default_rng(0)
COLOURS = GENERATOR.integers(0, 256, (9, 13, 3), dtype=np.uint8)
OPACITY = GENERATOR.integers(0, 256, (9, 13, 1), dtype=np.uint8)
NAME = "<content.image>"


def read(picture):
    """Read a picture; checks that `size` reports its size, and that it is left as it was."""
    before = np.array(picture)
    found = in_memory.read(picture, NAME)
    assert in_memory.size(picture, NAME) == found.shape[:2]
    assert found.dtype == np.float32 and found.shape[2] == 3 and found.min() >= 0 and found.max() <= 1
    np.testing.assert_array_equal(np.array(picture), before)
    return found


def in_a_file(image, path, **options):
    """Read the same picture from a file."""
    image.save(path, **options)
    return images.read(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "I;16"])
def test_an_image_gives_what_its_file_gives(tmp_path, mode):
    image = Image.fromarray(np.concatenate([COLOURS, OPACITY], axis=2))
    if mode == "I;16":
        image = Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257)
    elif mode != "RGBA":
        image = image.convert(mode)
    np.testing.assert_array_equal(read(image), in_a_file(image, tmp_path / "picture.png"))


def test_an_opened_file_gives_what_the_file_gives(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6  # the camera was turned
    expected = in_a_file(Image.fromarray(COLOURS), tmp_path / "picture.jpg", exif=exif)
    assert expected.shape[:2] == (13, 9)
    with Image.open(tmp_path / "picture.jpg") as image:
        np.testing.assert_array_equal(read(image), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_bytes_give_what_their_file_gives(tmp_path, channels):
    array = np.concatenate([COLOURS, OPACITY], axis=2)[..., [[0], [0, 3], [0, 1, 2], [0, 1, 2, 3]][channels - 1]]
    image = Image.fromarray(array[..., 0] if channels == 1 else array)
    np.testing.assert_array_equal(read(array), in_a_file(image, tmp_path / "picture.png"))
    if channels == 1:
        np.testing.assert_array_equal(read(array[..., 0]), read(array))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_are_shares_of_white(kind):
    values = GENERATOR.uniform(0, 1, (9, 13, 3)).astype(kind)
    np.testing.assert_array_equal(read(values), values.astype(np.float32))


def test_floats_and_bytes_of_a_picture_are_the_same():
    np.testing.assert_array_equal(read(COLOURS / np.float32(255)), read(COLOURS))


def test_opacity_of_floats_is_composited_on_white():
    values, opacity = GENERATOR.uniform(0, 1, (9, 13, 3)), GENERATOR.uniform(0, 1, (9, 13, 1))
    expected = values * opacity + (1 - opacity)
    np.testing.assert_allclose(read(np.concatenate([values, opacity], axis=2)), expected, atol=1e-6)
    grey = read(np.concatenate([values[..., :1], opacity], axis=2))
    np.testing.assert_allclose(grey, np.repeat(expected[..., :1], 3, axis=2), atol=1e-6)


def test_16_bits_are_kept():
    values = np.array([[[30_000, 30_001, 65_535]]], np.uint16)
    np.testing.assert_allclose(read(values)[0, 0], values[0, 0] / 65535, rtol=1e-7)
    assert read(values)[0, 0, 0] < read(values)[0, 0, 1]


def test_true_is_white():
    np.testing.assert_array_equal(read(OPACITY[..., 0] > 99), np.repeat(OPACITY > 99, 3, axis=2))


def test_what_is_left_of_rounding_is_clipped():
    np.testing.assert_array_equal(read(np.array([[-1e-7, 1 + 1e-7]])), [[[0] * 3, [1] * 3]])


def test_views_and_arrays_of_others_are_read():
    np.testing.assert_array_equal(read(COLOURS[::-1, ::2]), read(COLOURS)[::-1, ::2])

    class Other:
        def __array__(self, dtype=None, copy=None):
            return COLOURS

    np.testing.assert_array_equal(in_memory.read(Other(), NAME), read(COLOURS))
    assert in_memory.is_picture(Other())


def test_tensors_of_pytorch_are_read():
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(in_memory.read(torch.from_numpy(COLOURS), NAME), read(COLOURS))
    with pytest.raises(UserError, match=r"^picture <content\.image>: cannot be read: .*requires grad"):
        in_memory.read(torch.zeros(4, 4, 3, requires_grad=True), NAME)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (COLOURS.transpose(2, 0, 1), "shape (3, 9, 13): expected (height, width, 3); of channels first, give "),
        (COLOURS[None], "shape (1, 9, 13, 3): expected (height, width, 3)"),
        (COLOURS[0, 0], "shape (3,): expected"),
        (COLOURS[:0], "shape (0, 13, 3): expected"),
        (np.zeros((4, 4, 5)), "shape (4, 4, 5): expected"),
        (COLOURS.astype(int), "int64: expected uint8 (0..255) or float (0..1)"),
        (np.zeros((4, 4), complex), "complex128: expected"),
        (np.full((4, 4), "a"), "<U1: expected"),
        (COLOURS.astype(float), "floats from 0 to 255: expected 0..1; divide it by 255, or convert it to uint8"),
        (np.full((4, 4), -0.5), "floats from -0.5 to -0.5: expected 0..1"),
        (np.full((4, 4), np.nan), "floats from nan to nan: expected 0..1"),
        (np.array([[0.5, np.inf]]), "floats from 0.5 to inf: expected 0..1"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, words):
    with pytest.raises(UserError, match=rf"^picture <content\.image>: an array of .*{re.escape(words)}") as refused:
        in_memory.read(array, NAME)
    assert "\n" not in str(refused.value)


def test_a_damaged_file_that_was_opened_is_one_line(tmp_path):
    Image.fromarray(np.repeat(np.repeat(COLOURS, 9, 0), 9, 1)).save(tmp_path / "picture.jpg")
    content = (tmp_path / "picture.jpg").read_bytes()
    (tmp_path / "picture.jpg").write_bytes(content[: len(content) // 2])
    for use in (in_memory.size, in_memory.read):
        with (
            Image.open(tmp_path / "picture.jpg") as image,
            pytest.raises(UserError, match=r"^picture <content\.image>: cannot be read: "),
        ):
            use(image, NAME)


def test_checksums_tell_pictures_apart():
    pictures = [COLOURS, COLOURS + np.uint8(1), COLOURS[:, :, 0], COLOURS.reshape(13, 9, 3), COLOURS / 255]
    pictures += [Image.fromarray(COLOURS), Image.fromarray(COLOURS).convert("L")]
    sums = [in_memory.checksum(picture) for picture in pictures]
    assert len(set(sums)) == len(sums)
    assert in_memory.checksum(COLOURS[::-1][::-1]) == in_memory.checksum(COLOURS.copy())
    assert in_memory.checksum(Image.fromarray(COLOURS)) == in_memory.checksum(Image.fromarray(COLOURS))


def test_what_is_a_picture():
    assert all(map(in_memory.is_picture, (COLOURS, COLOURS[..., 0], Image.fromarray(COLOURS))))
    assert not any(map(in_memory.is_picture, ("a.jpg", 3, np.float64(3), np.arange(3), [COLOURS], None)))
