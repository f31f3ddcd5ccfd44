"""EXIF that is carried over, and texts in PNGs."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from test_images import SMOOTH, encoded

from styletransfer.pictures import images, metadata

BASE, IFD = ExifTags.Base, ExifTags.IFD


def photograph(path, kind="JPEG", more=()):
    """A photograph as a camera writes it, turned by it."""
    exif = Image.Exif()
    exif.update(
        {BASE.Make: "maker", BASE.DateTime: "2020:02:02 12:00:00", BASE.Orientation: 6, BASE.XResolution: 300.0}
    )
    exif.update({BASE.Artist: "someone", **dict(more)})
    if kind == "TIFF":  # Pillow does not write its sub-folders
        path.write_bytes(encoded(SMOOTH, kind, exif=exif))
        return path
    exif[IFD.Exif] = {
        BASE.ExposureTime: 0.01,
        BASE.ExifImageWidth: 4000,
        BASE.MakerNote: b"secret" * 9,
        BASE.ISOSpeedRatings: 200,
    }
    exif[IFD.GPSInfo] = {1: "N", 2: (52.0, 30.0, 0.0)}
    path.write_bytes(encoded(SMOOTH, kind, exif=exif))
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_camera_date_place_and_author_are_copied_and_nothing_else(tmp_path, kind, name):
    exif = metadata.exif_of(photograph(tmp_path / "photo", kind))
    images.write(tmp_path / name, SMOOTH / 255, exif=exif)
    with Image.open(tmp_path / name) as written:
        assert written.size == (32, 24)
        found = written.getexif()
        inner, place = found.get_ifd(IFD.Exif), found.get_ifd(IFD.GPSInfo)
    folders = {int(IFD.Exif), int(IFD.GPSInfo)}
    assert {tag: found[tag] for tag in found if tag not in folders} == {
        BASE.Make: "maker", BASE.DateTime: "2020:02:02 12:00:00", BASE.Artist: "someone",
    }  # fmt: skip
    if kind == "TIFF":
        return
    assert inner == {BASE.ExposureTime: 0.01, BASE.ISOSpeedRatings: 200}
    assert place[1] == "N" and [float(value) for value in place[2]] == [52.0, 30.0, 0.0]
    np.testing.assert_array_equal(images.size(tmp_path / name), (24, 32))


def test_by_default_there_is_none(tmp_path):
    images.write(tmp_path / "a.jpg", SMOOTH / 255)
    with Image.open(tmp_path / "a.jpg") as written:
        assert not written.getexif()


def test_a_picture_without_has_none(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(encoded(SMOOTH, "PNG"))
    assert metadata.exif_of(tmp_path / "a.png") == b"" and not caplog.messages


def test_more_than_a_jpeg_holds_is_left_out_with_a_warning(tmp_path, caplog):
    path = photograph(tmp_path / "photo.png", "PNG", {BASE.ImageDescription: "x" * 70_000}.items())
    assert metadata.exif_of(path) == b""
    assert caplog.messages == [f"{path}: its EXIF is not copied: more than 60,000 bytes"]


def test_damaged_exif_is_left_out_or_copied_in_part(tmp_path, caplog):
    """No change of one byte ends a run, and what is copied can be read."""
    content = photograph(tmp_path / "photo.jpg").read_bytes()
    start = content.index(b"Exif\0\0")
    for position in range(start + 6, start + 200, 3):
        changed = bytearray(content)
        changed[position] ^= 0xFF
        (tmp_path / "damaged.jpg").write_bytes(changed)
        exif = metadata.exif_of(tmp_path / "damaged.jpg")
        images.write(tmp_path / "a.jpg", SMOOTH / 255, exif=exif)
        assert images.read(tmp_path / "a.jpg").shape == SMOOTH.shape


# Texts in PNGs.


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(*chunks):
    """A PNG with these chunks after its header."""
    content = encoded(SMOOTH, "PNG")
    return content[:33] + b"".join(chunks) + content[33:]


@pytest.mark.parametrize("text", ["a: 1\nb: [2, 3]\n", "äß绘画🎨", "", "x" * 50_000])
def test_a_text_comes_back(tmp_path, text):
    images.write(tmp_path / "a.png", SMOOTH / 255, texts={"other": "no", "key": text})
    content = (tmp_path / "a.png").read_bytes()
    assert metadata.png_text(content, "key") == text
    assert metadata.png_text(content[: content.index(b"IDAT") + 9], "key") == text  # the pixels are not needed
    assert metadata.png_text(content, "absent") is None


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("add", ["add_text", "add_itxt"])
def test_a_text_that_another_program_has_packed_comes_back(tmp_path, add, compressed):
    texts = PngInfo()
    getattr(texts, add)("key", "a: 1", zip=compressed)
    assert metadata.png_text(encoded(SMOOTH, "PNG", pnginfo=texts), "key") == "a: 1"


@pytest.mark.parametrize(
    "hostile",
    [
        chunk(b"zTXt", b"key\0\0" + zlib.compress(b"x" * 50_000_000)),
        chunk(b"iTXt", b"key\0\1\0\0\0" + zlib.compress(b"x" * 50_000_000)),
    ],
    ids=["zTXt", "iTXt"],
)
def test_a_text_that_unpacks_to_too_much_is_refused(hostile):
    with pytest.raises(ValueError, match="too large"):
        metadata.png_text(png_with(hostile), "key")


def test_many_texts_that_unpack_to_too_much_are_refused():
    bombs = [chunk(b"zTXt", b"key%d\0\0" % number + zlib.compress(b"x" * 1_000_000)) for number in range(100)]
    with pytest.raises(ValueError, match="Too much memory"):
        metadata.png_text(png_with(*bombs), "key1")


@pytest.mark.parametrize("length", [0, 8, 20, 40])
def test_a_truncated_png_is_refused(length):
    with pytest.raises(ValueError):
        metadata.png_text(encoded(SMOOTH, "PNG")[:length], "key")
