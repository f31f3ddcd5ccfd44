"""Picture files: every kind is read as RGB, anything else is rejected, and writes are atomic."""

from __future__ import annotations

import base64
import functools
import io
import logging
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import BmpImagePlugin, Image, ImageCms, PngImagePlugin

from styletransfer.pictures import images
from styletransfer.support.errors import UserError

GREY = (np.arange(12 * 17).reshape(12, 17) % 251).astype(np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(np.arange(24)[:, None] * 8, np.arange(32) * 7, 90), axis=-1).astype(np.uint8)
ORIENTATION = 0x112


def encoded(image, kind, **options):
    """The bytes of a picture file."""
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def read(tmp_path):
    """Read a picture from its bytes; checks that `size` reports its size."""

    def read_bytes(content, name="picture"):
        path = tmp_path / name
        path.write_bytes(content)
        picture = images.read(path)
        assert images.size(path) == picture.shape[:2]
        return picture

    return read_bytes


def assert_shows(picture, expected, tolerance=0.0):
    """Check that a picture is float, RGB, 0..1, and within `tolerance` grey levels (of 255) of the expected values."""
    expected = np.asarray(expected, dtype=np.float64)
    expected = np.repeat(expected[..., None], 3, axis=2) if expected.ndim == 2 else expected
    assert picture.dtype == np.float32 and picture.shape == expected.shape
    assert picture.min() >= 0 and picture.max() <= 1
    np.testing.assert_allclose(picture * 255.0, expected, atol=tolerance + 1e-4)


# Kinds of pictures.


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("PPM", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("AVIF", {"quality": 95}, 12),
        ("JPEG2000", {}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 6),
        ("JPEG", {"quality": 95, "progressive": True}, 12),
    ],
)
def test_formats(read, kind, options, tolerance):
    assert_shows(read(encoded(SMOOTH, kind, **options)), SMOOTH, tolerance)


# Of 8 x 6 pixels of one grey, which pi-heif cannot write.
HEIC = base64.b85decode(
    "0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0004eZDn*}000000000XXk=`10000000000aA{+700000000000000000000B57=IV*mgE07O6l"
    "0RRC200001pa1~?00000001rk001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t000010002|X>f9I0002oX>en20001W"
    "Xm(>m0RwOV0058x000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!000939=ZZRVE_RDDMA4O18@KU0|1Z!00RI30{|YNAb|yz>aLpR"
    ";31&EfB*mtfB*mk0EA)y0RRR>0l{;@i2wiq6Ju{|a&BX6cmM$a4FCp!0000KX>)L8000000000$0000$0000eV{Bn?00008000010000600001"
    "|NsBU00002|NsBS000020000GaA|mH000000|*ER0000OX>e^}0000000001009Mo0s{qv0000sZDe6|0000gC;_hqvJ)Mkk}0@n`zx^mNA-G#"
    "pk~C$UEPJ}pkeaW^_(kcA^e^9{_g"
)


def test_heic(read):
    assert_shows(read(HEIC), np.full((6, 8), 64), tolerance=2)


def test_the_file_suffix_does_not_matter(read):
    assert_shows(read(encoded(SMOOTH, "PNG"), "picture.jpg"), SMOOTH)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_grey(read, kind):
    assert_shows(read(encoded(GREY, kind)), GREY)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_black_and_white(read, kind):
    assert_shows(read(encoded(Image.fromarray(GREY > 99), kind)), 255 * (GREY > 99))


def test_palette(read):
    image = Image.fromarray(GREY).quantize(16)
    assert_shows(read(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_grey_of_16_bits(read, kind):
    grey = np.arange(0, 65536, 257 * 5, dtype=np.uint16).reshape(4, 13)
    assert_shows(read(encoded(grey, kind)), grey / 257)


def test_grey_of_16_bits_keeps_full_precision(read):
    picture = read(encoded(np.array([[30_000, 30_001]], np.uint16), "PNG"))
    assert picture[0, 0, 0] < picture[0, 1, 0]


def png_of_16_bits(colours):
    """A PNG of (H, W, 3) uint16, which Pillow cannot write."""
    height, width = colours.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in colours)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b""))
    )


def tiff_of_16_bits(colours):
    """A TIFF of (H, W, 3) uint16, which Pillow cannot write."""
    height, width = colours.shape[:2]
    pixels = colours.astype("<u2").tobytes()
    tags = (
        (256, width),
        (257, height),
        (258, 3),
        (259, 1),
        (262, 2),
        (273, 8),
        (277, 3),
        (278, height),
        (279, len(pixels)),
    )
    bits_at = 8 + len(pixels)
    entries = b"".join(
        struct.pack("<HHII", tag, 3, 3, bits_at) if tag == 258 else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in tags
    )
    header = struct.pack("<2sHI", b"II", 42, bits_at + 6)
    return header + pixels + struct.pack("<HHH", 16, 16, 16) + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("encode", [png_of_16_bits, tiff_of_16_bits])
def test_colours_of_16_bits(read, encode):
    assert_shows(read(encode(SMOOTH.astype(np.uint16) * 257)), SMOOTH)


def test_floating_point_grey(read):
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    assert_shows(read(encoded(values, "TIFF")), values * 255)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan, np.inf])
def test_floating_point_grey_must_be_in_range(read, value):
    with pytest.raises(UserError, match=r"grey values outside 0\.\.1"):
        read(encoded(np.full((3, 4), value, np.float32), "TIFF"))


@pytest.mark.parametrize("value", [-1, 65536])
def test_grey_of_32_bits_must_fit_into_16(read, value):
    with pytest.raises(UserError, match=r"grey values outside 0\.\.65535"):
        read(encoded(np.full((3, 4), value, np.int32), "TIFF"))


@pytest.mark.parametrize(("whitest", "white"), [(200, 255), (255, 255), (256, 65535), (65535, 65535)])
def test_grey_of_32_bits_is_that_of_8_or_16_by_its_values(read, whitest, white):
    """The grey that Pillow makes of either."""
    values = np.array([[0, 7, whitest]], np.int32)
    assert_shows(read(encoded(values, "TIFF")), values * 255 / white)
    picture = images.from_pillow(Image.fromarray(values), "memory")
    assert_shows(picture, values * 255 / white)


def test_a_dark_picture_of_16_bits_stays_dark(read):
    for kind in ("PNG", "PPM", "TIFF"):
        assert read(encoded(np.full((3, 4), 200, np.uint16), kind)).max() < 0.01


# TIFF that Pillow does not know, or gets wrong.

RAMP = np.linspace(0, 1, 60).reshape(6, 10)
_SAMPLES = {"miniswhite": 1, "minisblack": 1, "rgb": 3, "separated": 4}


def tiff(photometric, dtype, opacity=None, planes="contig", compression=None, **options):
    """A TIFF of ramps, and the values that it shows, 0..255."""
    import tifffile

    white = 1.0 if np.dtype(dtype).kind == "f" else float(np.iinfo(dtype).max)
    count = _SAMPLES[photometric]
    samples = np.stack([np.roll(RAMP, 7 * number) for number in range(count)], axis=-1)
    alpha = np.full((*RAMP.shape, 1), 0.5 if opacity else 1.0)
    stored = samples * alpha if opacity == "assocalpha" else samples
    stored = np.concatenate([stored, alpha], axis=-1) if opacity else stored
    stored = (stored * white).astype(dtype)
    stored = stored[..., 0] if stored.shape[2] == 1 else stored
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        np.moveaxis(stored, 2, 0) if planes == "separate" else stored,
        photometric=photometric,
        planarconfig=planes if stored.ndim == 3 else None,
        extrasamples=[opacity] if opacity else None,
        compression=compression,
        metadata=None,
        **options,
    )
    shown = 1 - samples if photometric == "miniswhite" else samples
    shown = (1 - shown[..., :3]) * (1 - shown[..., 3:]) if photometric == "separated" else shown
    shown = np.broadcast_to(shown * alpha + 1 - alpha, (*RAMP.shape, 3))
    return stream.getvalue(), shown * 255


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("photometric", "dtype", "opacity", "planes"),
    [
        *((photometric, dtype, None, "contig")
          for photometric in ("miniswhite", "minisblack", "rgb") for dtype in ("u1", "u2", "f4")),
        *((photometric, dtype, opacity, planes)
          for photometric, dtype in (("rgb", "u1"), ("rgb", "u2"), ("rgb", "f4"), ("minisblack", "u2"))
          for opacity in ("unassalpha", "assocalpha") for planes in ("contig", "separate")),
        *(("rgb", dtype, None, "separate") for dtype in ("u1", "u2", "u4", "f2", "f4", "f8")),
        *(("separated", dtype, None, planes) for dtype in ("u1", "u2") for planes in ("contig", "separate")),
        *(("minisblack", "u1", "unassalpha", planes) for planes in ("contig", "separate")),
        ("miniswhite", "u2", "unassalpha", "contig"),
    ],
)  # fmt: skip
def test_kinds_of_tiff(read, photometric, dtype, opacity, planes, compression):
    content, shown = tiff(photometric, dtype, opacity, planes, compression)
    assert_shows(read(content), shown, tolerance=2.1)


def test_orientation_and_profile_of_a_tiff_that_pillow_gets_wrong(read):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()  # not usable
    tags = [(274, "H", 1, 6, True)]
    content, shown = tiff("rgb", "u2", planes="separate", extratags=tags, iccprofile=profile)
    assert_shows(read(content), np.rot90(shown, -1), tolerance=1)


def test_the_profile_of_such_a_tiff_is_applied(read):
    plain, _ = tiff("rgb", "u1")
    own = _wide()
    planar, _ = tiff("rgb", "u2", planes="separate", iccprofile=own)
    interleaved, _ = tiff("rgb", "u1", iccprofile=own)
    np.testing.assert_allclose(read(planar), read(interleaved), atol=3 / 255)
    assert np.abs(read(planar) - read(plain)).max() > 0.05


def _wide():
    """A profile of another white, with which colours change."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = profile.index(b"rXYZ")
    offset = struct.unpack(">I", profile[at + 4 : at + 8])[0]
    profile[offset + 8 : offset + 12] = struct.pack(">i", int(0.7 * 65536))
    return bytes(profile)


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_floating_point_colours_must_be_in_range(read, value):
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((3, 4, 3), value, np.float32), photometric="rgb")
    with pytest.raises(UserError, match=r"values from .* expected 0\.\.1"):
        read(stream.getvalue())


def test_a_compression_that_is_not_known_is_named(tmp_path):
    content, _ = tiff("rgb", "f4")
    at = content.index(struct.pack("<HHII", 259, 3, 1, 1))
    changed = content[: at + 8] + struct.pack("<I", 5) + content[at + 12 :]
    (tmp_path / "a.tif").write_bytes(changed)
    assert rejected(tmp_path / "a.tif") == (
        "cannot be read: a TIFF of 32 bits with the compression LZW; expected none or ZIP (deflate)"
    )


def test_a_bomb_in_a_tiff_is_rejected_before_decoding(tmp_path, monkeypatch):
    content, _ = tiff("rgb", "f4")
    (tmp_path / "a.tif").write_bytes(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 59)
    assert "too large to read" in rejected(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(read, kind):
    """Pillow writes CMYK JPEGs as Adobe does, inverted and marked so."""
    content = encoded(Image.new("CMYK", (16, 8), (255, 0, 0, 0)), kind)
    assert (b"Adobe" in content) == (kind == "JPEG")
    assert_shows(read(content), np.broadcast_to([0, 255, 255], (8, 16, 3)), tolerance=2)


@pytest.mark.parametrize(
    "profile", [b"damaged" * 50, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]
)
def test_cmyk_with_an_unusable_profile_is_read_without_it(read, caplog, profile):
    caplog.set_level(logging.INFO)
    image = Image.new("CMYK", (16, 8), (0, 255, 0, 0))
    plain = read(encoded(image, "JPEG"))
    assert not caplog.messages
    np.testing.assert_array_equal(read(encoded(image, "JPEG", icc_profile=profile)), plain)
    assert "its colour profile is not usable" in caplog.text


# Transparency.

ALPHA = np.linspace(0, 255, GREY.size).astype(np.uint8).reshape(GREY.shape)


def on_white(colours, alpha):
    """`colours` (H, W, 3) of 0..255 on white."""
    share = alpha[..., None] / 255.0
    return np.asarray(colours, dtype=np.float64) * share + 255 * (1 - share)


def rgba(mode="RGBA"):
    return Image.merge("RGBA", [Image.fromarray(band) for band in (GREY, GREY // 2, 255 - GREY, ALPHA)]).convert(mode)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})])
def test_transparency_is_composited_on_white_and_logged(read, caplog, kind, options):
    caplog.set_level(logging.INFO)
    picture = read(encoded(rgba(), kind, **options))
    assert_shows(picture, on_white(np.stack([GREY, GREY // 2, 255 - GREY], axis=-1), ALPHA), tolerance=1)
    (message,) = caplog.messages
    assert message.endswith("picture has transparent parts: composited on white")


def test_grey_with_transparency(read):
    image = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    assert_shows(read(encoded(image, "PNG")), on_white(np.stack([GREY] * 3, axis=-1), ALPHA), tolerance=1)


def test_grey_of_16_bits_with_a_transparent_value(read, tmp_path):
    content = encoded(np.array([[1000, 40_000]], np.uint16), "PNG", transparency=1000)
    assert_shows(read(content), [[255, 40_000 / 257]])
    assert images.read_mask(tmp_path / "picture")[0].tolist() == pytest.approx([0, 40_000 / 65535])


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette(read, kind):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert_shows(read(encoded(image, kind, transparency=0)), [[[255, 255, 255], [200, 100, 50]]])


@pytest.mark.parametrize(("mode", "colour"), [("L", 7), ("RGB", (7, 8, 9))])
def test_one_transparent_colour(read, mode, colour):
    assert_shows(read(encoded(Image.new(mode, (3, 2), colour), "PNG", transparency=colour)), np.full((2, 3), 255))


def test_opaque_pictures_are_not_logged(read, caplog):
    caplog.set_level(logging.INFO)
    image = Image.fromarray(SMOOTH).convert("RGBA")
    assert_shows(read(encoded(image, "PNG")), SMOOTH)
    assert not caplog.messages


# Orientation, frames, names.


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "turn_back"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_the_orientation_of_the_camera_is_applied(read, kind, orientation, turn_back):
    upright = Image.fromarray(SMOOTH)
    stored = upright if turn_back is None else upright.transpose(turn_back)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert_shows(read(encoded(stored, kind, exif=exif)), SMOOTH, tolerance={"JPEG": 12, "WEBP": 12}.get(kind, 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_may_be_in_the_xmp(read, kind, orientation):
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="{orientation}"/></x:xmpmeta>'
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    options = {
        "JPEG": {"xmp": xmp.encode()}, "PNG": {"pnginfo": text}, "TIFF": {"tiffinfo": {700: xmp.encode()}},
    }[kind]  # fmt: skip
    turned = orientation in (6, 8)
    assert read(encoded(SMOOTH, kind, **options)).shape == ((32, 24, 3) if turned else (24, 32, 3))


def test_the_size_is_read_from_the_header(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded(SMOOTH, "JPEG")[:-9])
    assert images.size(path) == (24, 32)
    with pytest.raises(UserError, match="cannot be read"):
        images.read(path)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_of_several_frames_is_read_with_a_warning(read, caplog, kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue", "green")]
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(kind, {})
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert_shows(read(content), np.broadcast_to([255, 0, 0], (4, 6, 3)), tolerance=3 * (kind == "AVIF"))
    (message,) = caplog.messages
    assert message.endswith("picture: has 3 frames or pages, only the first is used")
    caplog.clear()
    read(encoded(frames[0], kind, **options))
    assert not caplog.messages


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_tiny_pictures(read, shape):
    assert_shows(read(encoded(np.full(shape, 77, np.uint8), "PNG")), np.full(shape, 77))


@pytest.mark.parametrize(
    "name", ["a b.png", "a'b\".png", "a\nb.png", "绘画🎨.png", "-x.png", "100%s{}.png", "\udcff.png"]
)
def test_any_file_name(read, name):
    assert_shows(read(encoded(SMOOTH, "PNG"), name), SMOOTH)


# What is no picture.


def rejected(path):
    """The message with which a file is rejected."""
    with pytest.raises(UserError) as caught:
        images.read(path)
    message = str(caught.value)
    assert message.startswith(f"picture {path}: ")
    return message.removeprefix(f"picture {path}: ")


def test_a_missing_file_and_a_folder(tmp_path):
    assert rejected(tmp_path / "none.png") == "no such file"
    assert rejected(tmp_path) == "cannot be read: Is a directory"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"no picture\n",
        b"<svg/>",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"II*\0",
        b"P6 0 5 255\n",
        b"%!PS",
    ],
)
def test_files_that_are_not_pictures(tmp_path, content):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    assert rejected(path)


def test_the_message_lists_known_formats(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    assert rejected(tmp_path / "a.txt") == "not a picture in a known format (JPEG, PNG, WEBP, TIFF)"


def test_a_truncated_picture(tmp_path):
    content = encoded(SMOOTH, "JPEG")
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    assert "truncated" in rejected(tmp_path / "a.jpg").lower()


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_decompression_bomb_is_rejected_before_decoding(tmp_path, side):
    content = bytearray(encoded(SMOOTH, "PNG"))
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "bomb.png").write_bytes(content)
    assert "too large to read" in rejected(tmp_path / "bomb.png")


@pytest.mark.parametrize("error", [struct.error("odd"), KeyError("odd"), ZeroDivisionError("odd"), MemoryError("odd")])
def test_any_exception_of_a_decoder(tmp_path, monkeypatch, error):
    def load(image):
        raise error

    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "load", load)
    (tmp_path / "a.bmp").write_bytes(encoded(SMOOTH, "BMP"))
    assert re.fullmatch("cannot be read: '?odd'?", rejected(tmp_path / "a.bmp"))


def exif_of_a_camera():
    exif = Image.Exif()
    exif[ORIENTATION], exif[0x10F] = 6, "maker"
    return exif


@functools.cache
def whole_files():
    exif = exif_of_a_camera()
    return {
        "png": encoded(SMOOTH, "PNG", exif=exif),
        "palette png": encoded(Image.fromarray(SMOOTH).quantize(8), "PNG", transparency=3),
        "grey png": encoded(np.arange(60, dtype=np.uint16).reshape(6, 10), "PNG"),
        "jpeg": encoded(SMOOTH, "JPEG", exif=exif),
        "cmyk": encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG"),
        "webp": encoded(SMOOTH, "WEBP", exif=exif),
        "tiff": encoded(SMOOTH, "TIFF", exif=exif),
        "lzw": encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
        "float": encoded(np.zeros((5, 6), np.float32), "TIFF"),
        "planes": tiff("rgb", "u2", planes="separate", compression="zlib")[0],
        "colours": tiff("rgb", "f4")[0],
        "heic": HEIC,
        "avif": encoded(SMOOTH, "AVIF"),
        "jpeg 2000": encoded(SMOOTH, "JPEG2000"),
        "gif": encoded(SMOOTH, "GIF"),
        "bmp": encoded(SMOOTH, "BMP"),
    }


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(whole_files())),
    kept=st.floats(0, 1) | st.just(1.0),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=4),
)
@example(kind="png", kept=0.0, changes=[])
def test_a_damaged_file_is_read_or_rejected(read, monkeypatch, kind, kept, changes):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)  # a damaged size may be large, which only takes time
    content = bytearray(whole_files()[kind])
    for position, bit in changes:
        content[int(position * len(content))] ^= 1 << bit
    try:
        picture = read(content[: round(kept * len(content))])
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert picture.ndim == 3 and picture.shape[2] == 3 and picture.size
        assert picture.min() >= 0 and picture.max() <= 1


# Sizes.


@given(height=st.integers(1, 20_000), width=st.integers(1, 20_000), long_edge=st.integers(1, 20_000))
@example(height=450, width=300, long_edge=450)
@example(height=49, width=1, long_edge=49)
def test_fit_keeps_the_proportions_and_rounds_down(height, width, long_edge):
    found = images.fit(height, width, long_edge)
    assert max(found) == long_edge and min(found) >= 1
    assert found == tuple(max(1, int(side * long_edge / max(height, width))) for side in (height, width))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 9), (64, 48)])
@pytest.mark.parametrize("size", [(1, 1), (5, 8), (23, 61)])
def test_resizing_preserves_a_uniform_colour(shape, size):
    picture = np.broadcast_to(np.float32([0.1, 0.5, 1.0]), (*shape, 3))
    found = images.resize(picture, *size)
    assert found.shape == (*size, 3)
    np.testing.assert_allclose(found, np.broadcast_to([0.1, 0.5, 1.0], found.shape), atol=1e-6)


@pytest.mark.parametrize("size", [(6, 8), (12, 17), (40, 60)])
def test_resizing_stays_in_range_and_keeps_the_mean(size):
    picture = np.random.default_rng(1).random((12, 17, 3)).astype(np.float32)
    found = images.resize(picture, *size)
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found.mean((0, 1)), picture.mean((0, 1)), atol=0.03)


def test_resizing_to_the_same_size_changes_nothing():
    picture = np.random.default_rng(1).random((5, 6, 3))
    np.testing.assert_array_equal(images.resize(picture, 5, 6), picture)


def test_resizing_preserves_orientation():
    picture = np.zeros((20, 30, 3))
    picture[:10, :15, 0] = 1
    found = images.resize(picture, 10, 16)
    assert found[1, 1, 0] > 0.95 and found[8, 1, 0] < 0.05 and found[1, 14, 0] < 0.05 and not found[..., 1:].any()


def test_details_finer_than_a_pixel_become_grey():
    noise = np.random.default_rng(1).random((64, 64, 3))
    assert images.resize(noise, 16, 16).std() < 0.25 * noise.std()  # half without smoothing


# Noise removal.


def test_removing_no_noise_changes_nothing():
    picture = np.random.default_rng(1).random((5, 6, 3))
    np.testing.assert_array_equal(images.denoise(picture, 0), picture)


def test_a_larger_weight_removes_more_noise():
    noise = 0.5 + np.random.default_rng(1).normal(0, 0.1, (24, 32, 3))
    rest = [images.denoise(noise, weight).std() for weight in (0, 0.02, 0.1, 0.5)]
    assert rest == sorted(rest, reverse=True) and rest[-1] < 0.3 * rest[0]


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_noise_is_removed_from_pictures_of_any_shape(shape):
    np.testing.assert_allclose(images.denoise(np.full(shape, 0.4), 0.1), 0.4, atol=1e-6)


# Writing.


def test_bytes_are_rounded_and_clipped():
    values = np.array([-1, 0, 0.4 / 255, 0.6 / 255, 1.4 / 255, 254.6 / 255, 1, 7])
    assert images.to_bytes(values).tolist() == [0, 0, 0, 1, 1, 255, 255, 255]


@pytest.mark.parametrize("name", ["a.tif", "a.tiff"])
def test_tiff_has_16_bits_a_channel(tmp_path, name):
    import tifffile

    picture = np.random.default_rng(0).random((9, 14, 3))
    images.write(tmp_path / name, picture)
    stored = tifffile.imread(tmp_path / name)
    assert stored.dtype == np.uint16 and stored.shape == (9, 14, 3)
    np.testing.assert_allclose(stored / 65535, picture, atol=0.51 / 65535)
    assert_shows(images.read(tmp_path / name), picture * 255, tolerance=1)


def test_quality_is_that_of_jpeg_and_webp(tmp_path):
    picture = np.random.default_rng(0).random((64, 64, 3))
    for suffix in ("jpg", "webp"):
        sizes = []
        for quality in (10, 95):
            images.write(tmp_path / f"a.{suffix}", picture, quality)
            sizes.append((tmp_path / f"a.{suffix}").stat().st_size)
        assert sizes[0] < 0.5 * sizes[1]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
def test_the_same_picture_is_the_same_file(tmp_path, name):
    contents = []
    for _ in range(2):
        images.write(tmp_path / name, SMOOTH / 255)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_writing_and_reading_preserves_bytes(tmp_path, read):
    picture = read(encoded(SMOOTH, "PNG"))
    images.write(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), SMOOTH)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "PNG"), ("a.PNG", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP"), ("a.TIFF", "TIFF")],
)
def test_the_suffix_sets_the_format(tmp_path, name, kind):
    images.write(tmp_path / name, SMOOTH / 255)
    with Image.open(tmp_path / name) as written:
        assert written.format == kind and written.mode == "RGB" and written.size == (32, 24)
    assert_shows(images.read(tmp_path / name), SMOOTH, tolerance=12 if kind == "WEBP" else 6)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_pictures_are_written_atomically(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"before")
    monkeypatch.setattr(Image.Image, "save", fails_half_way)
    with pytest.raises(OSError, match="No space left"):
        images.write(tmp_path / name, SMOOTH / 255)
    assert (tmp_path / name).read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def fails_half_way(image, stream, **options):
    stream.write(b"half")
    raise OSError(28, "No space left on device")
