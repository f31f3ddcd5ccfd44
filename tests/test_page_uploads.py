"""Uploads: limited, decoded, written anew."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from styletransfer.page import uploads
from styletransfer.page.uploads import Uploads
from styletransfer.pictures import images
from styletransfer.support.errors import UserError


@pytest.fixture
def place(tmp_path):
    (tmp_path / "arrivals").mkdir()
    return tmp_path


@pytest.fixture
def accept(place):
    taker = Uploads(place / "arrivals", place / "output")
    return lambda name: taker.accept(place / "arrivals" / name, name)


def send(place, name, size=(40, 30), **options):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(place / "arrivals" / name, **options)


def one_pixel_claiming(width, height):
    """A PNG of little data whose header claims a size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_picture_is_written_anew_under_its_name(place, accept):
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    send(place, "../arrivals/my holiday<script>.jpg", exif=exif, quality=95)
    before = images.read(place / "arrivals" / "my holiday<script>.jpg")
    path = accept("my holiday<script>.jpg")
    assert path.parent.parent == place / "output" / "uploads" and path.parent.name.isalnum()
    assert path.name == "my-holiday-script.jpg"
    assert np.abs(images.read(path) - before).mean() < 0.02
    with Image.open(path) as image:
        assert len(image.getexif()) == 0 and b"where I live" not in path.read_bytes()
    assert list((place / "arrivals").iterdir()) == []


def test_the_orientation_of_the_camera_is_applied(place, accept):
    exif = Image.Exif()
    exif[0x0112] = 6
    send(place, "a.jpg", exif=exif)
    assert images.size(accept("a.jpg")) == (40, 30)


def test_the_same_upload_has_the_same_path(place, accept):
    send(place, "a.png")
    first = accept("a.png")
    send(place, "a.png")
    assert accept("a.png") == first
    send(place, "b.png")
    assert accept("b.png") == first.with_name("b.jpg")
    send(place, "a.png", size=(41, 30))
    other = accept("a.png")
    assert other.name == first.name and other != first


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Zoë am Meer.jpeg", "Zoë-am-Meer"),
        ("a/../../b.png", "b"),
        ("...", "picture"),
        ("", "picture"),
        ("x" * 300, "x" * 60),
    ],
)
def test_its_name_is_kept_as_far_as_a_file_can_have_it(place, name, kept):
    send(place, "a.png")
    path = Uploads(place / "arrivals", place / "output").accept(place / "arrivals" / "a.png", name)
    assert path.name == f"{kept}.jpg" and path.parent.parent == place / "output" / "uploads"


def test_a_large_picture_is_made_smaller(place, accept, monkeypatch):
    monkeypatch.setattr(uploads, "LONGEST_EDGE", 20)
    send(place, "a.png")
    assert images.size(accept("a.png")) == (15, 20)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file: not a picture in a known format"),
        (b"#!/bin/sh\nrm -rf /\n", "the file: not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "the file: not a picture"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "the file"),
        (one_pixel_claiming(30_000, 30_000), "the file: more than .* pixels, too large"),
        (one_pixel_claiming(9_000, 8_000), "the picture has 9000 x 8000 pixels; expected 60 million|the file"),
    ],
    ids=["empty", "script", "svg", "damaged", "bomb", "many pixels"],
)
def test_what_is_no_picture_is_refused_and_removed(place, accept, content, words):
    (place / "arrivals" / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        accept("a.png")
    assert "\n" not in str(caught.value) and str(place) not in str(caught.value)
    assert list((place / "arrivals").iterdir()) == []
    assert not list(place.glob("output/uploads/*"))


def test_a_truncated_picture_is_refused(place, accept):
    send(place, "a.jpg", size=(200, 150))
    path = place / "arrivals" / "a.jpg"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="the file: cannot be read"):
        accept("a.jpg")


@pytest.mark.parametrize(
    ("limit", "most", "next_step", "words"),
    [("MOST_PIXELS", 1199, "read", "the picture has 40 x 30 pixels"), ("MOST_BYTES", 100, "size", "MB at most")],
)
def test_a_limit_is_checked_before_the_picture_is_read(place, accept, monkeypatch, limit, most, next_step, words):
    send(place, "a.png")
    monkeypatch.setattr(uploads, limit, most)
    monkeypatch.setattr(images, next_step, None)
    with pytest.raises(UserError, match=words):
        accept("a.png")


@pytest.mark.parametrize("name", ["../secret.png", "link.png", "folder", "", "gone.png"])
def test_only_what_has_arrived_is_taken(place, accept, name):
    """A request may name any file of this machine."""
    send(place, "../secret.png")
    (place / "arrivals" / "link.png").symlink_to(place / "secret.png")
    (place / "arrivals" / "folder").mkdir()
    with pytest.raises(UserError, match="the file has not arrived"):
        accept(name)
    assert (place / "secret.png").exists()
