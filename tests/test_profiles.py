"""Colour profiles: pictures come out in sRGB, whatever their profile, and go out tagged as sRGB."""

from __future__ import annotations

import io
import logging
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from test_images import GREY, SMOOTH, assert_shows, encoded, read  # noqa: F401

from styletransfer.pictures import images, profiles


def fixed(value):
    """An s15Fixed16 number of an ICC profile."""
    return struct.pack(">i", round(value * 65536))


def profile_of(space, tags):
    """An ICC profile, version 2, of a display device, from its tags, as ICC.1:2001-04 describes it."""
    body, entries, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        entries += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    size = offset + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    header += fixed(0.9642) + fixed(1.0) + fixed(0.8249)  # D50
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + body


def xyz(*values):
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))


def gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256)) + bytes(2)


def described(text):
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)


# The primaries of sRGB, adapted to D50, with another gamma: a colour (r, g, b) is (r, g, b) ** 1 in linear light.
_PRIMARIES = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
_COMMON = {b"desc": described(b"linear"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1.0, 0.8249)}


def linear_rgb(swap=False):
    """sRGB without its gamma; with the primaries of red and blue exchanged if `swap`."""
    names = (b"bXYZ", b"gXYZ", b"rXYZ") if swap else (b"rXYZ", b"gXYZ", b"bXYZ")
    primaries = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), (xyz(*_PRIMARIES[name]) for name in names)))
    return profile_of(b"RGB ", {**_COMMON, **primaries, **{name: gamma(1.0) for name in (b"rTRC", b"gTRC", b"bTRC")}})


def linear_grey():
    return profile_of(b"GRAY", {**_COMMON, b"kTRC": gamma(1.0)})


def encoded_in_srgb(linear):
    """The transfer function of sRGB (IEC 61966-2-1), 0..1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100, "subsampling": 0})],
)
def test_rgb_is_converted(read, kind, options):  # noqa: F811
    expected = 255 * encoded_in_srgb(SMOOTH / 255)
    picture = read(encoded(SMOOTH, kind, icc_profile=linear_rgb(), **options))
    dark = SMOOTH < 12  # there one level of the file is many of sRGB
    np.testing.assert_allclose(
        np.where(dark, 0, picture * 255), np.where(dark, 0, expected), atol=14 if kind == "JPEG" else 1.5
    )


def test_other_primaries_are_converted(read):  # noqa: F811
    picture = read(encoded(SMOOTH, "PNG", icc_profile=linear_rgb(swap=True)))
    assert_shows(picture, 255 * encoded_in_srgb(SMOOTH[..., ::-1] / 255), tolerance=1.5)


def test_grey_is_converted(read):  # noqa: F811
    grey = np.maximum(GREY, 12)  # below, one level of the file is many of sRGB
    assert_shows(read(encoded(grey, "PNG", icc_profile=linear_grey())), 255 * encoded_in_srgb(grey / 255), tolerance=2)


def test_a_palette_is_converted(read):  # noqa: F811
    image = Image.fromarray(SMOOTH).quantize(16)
    expected = 255 * encoded_in_srgb(np.asarray(image.convert("RGB")) / 255)
    assert_shows(read(encoded(image, "PNG", icc_profile=linear_rgb())), expected, tolerance=1.5)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_colours_are_converted_before_they_are_put_on_white(read, mode):  # noqa: F811
    image = Image.new(mode, (3, 2), (100, 100, 100, 128)[-len(mode) :] if mode == "RGBA" else (100, 128))
    profile = linear_rgb() if mode == "RGBA" else linear_grey()
    colour, share = 255 * float(encoded_in_srgb(100 / 255)), 128 / 255
    expected = np.full((2, 3), share * colour + (1 - share) * 255)
    assert_shows(read(encoded(image, "PNG", icc_profile=profile)), expected, tolerance=2)


def test_the_conversion_goes_with_the_orientation(read):  # noqa: F811
    exif = Image.Exif()
    exif[0x112] = 3
    turned = Image.fromarray(SMOOTH).transpose(Image.Transpose.ROTATE_180)
    picture = read(encoded(turned, "PNG", icc_profile=linear_rgb(), exif=exif))
    assert_shows(picture, 255 * encoded_in_srgb(SMOOTH / 255), tolerance=1.5)


def test_a_profile_of_srgb_leaves_every_value(read, caplog):  # noqa: F811
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (plain, profiles.srgb()):
        assert_shows(read(encoded(SMOOTH, "PNG", icc_profile=profile)), SMOOTH)
    assert not caplog.messages


@pytest.mark.parametrize(
    "profile",
    [b"\0", b"damaged" * 50, linear_rgb()[:200], linear_rgb()[:-100], linear_grey(), b"\xff" * 5000],
    ids=["a byte", "noise", "header", "cut", "of grey", "ones"],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_unusable_profile_is_one_warning(read, caplog, kind, profile):  # noqa: F811
    caplog.set_level(logging.WARNING)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_shows(read(encoded(SMOOTH, kind, icc_profile=profile, **options)), SMOOTH)
    (message,) = caplog.messages
    assert message.endswith("picture: its colour profile is not usable and is ignored")


def test_grey_of_16_bits_is_left_with_a_warning(read, caplog):  # noqa: F811
    grey = np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000
    assert_shows(read(encoded(grey, "PNG", icc_profile=linear_grey())), grey / 257)
    assert "its colour profile is ignored" in caplog.text


# Writing.


def test_the_profile_is_that_of_srgb_and_always_the_same():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(profiles.srgb()))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert profiles.srgb() == profiles.srgb() and profiles.srgb()[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
def test_written_pictures_are_tagged(tmp_path, name):
    images.write(tmp_path / name, SMOOTH / 255)
    with Image.open(tmp_path / name) as written:
        assert written.info["icc_profile"] == profiles.srgb()
