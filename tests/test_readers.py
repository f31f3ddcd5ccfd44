"""Every command reads every kind of picture alike: by the one reader."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from test_images import HEIC, png_of_16_bits

from styletransfer.feedforward import folders
from styletransfer.feedforward.jobs import Job
from styletransfer.judging import verdicts
from styletransfer.page.thumbnails import Thumbnails
from styletransfer.page.uploads import Uploads
from styletransfer.pictures import images, pixels
from styletransfer.session.picture_sources import FILES, PictureSources
from styletransfer.training.photographs import Crops

SIDE, VALUE = 12, 64  # of pictures of one grey


def saved(image: Image.Image | NDArray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def tiff(values: NDArray, **options: object) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, values, metadata=None, **options)
    return stream.getvalue()


def kinds() -> dict[str, bytes]:
    """A picture of one grey in every mode of Pillow that a file can have, and in every format."""
    grey = Image.new("L", (SIDE, SIDE), VALUE)
    colours = grey.convert("RGB")
    half = Image.new("L", (SIDE, SIDE), 127)  # black as far as it is opaque
    clear = Image.merge("RGBA", [grey.point(lambda value: 0)] * 3 + [half])
    deep = np.full((SIDE, SIDE), VALUE * 257, np.uint16)
    exif = Image.Exif()
    exif[0x112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.profileToProfile(
        colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    return {
        **{f"RGB {kind}": saved(colours, kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")},
        "RGB WEBP": saved(colours, "WEBP", lossless=True),
        "RGB GIF": saved(colours, "GIF"),
        "RGB HEIF": HEIC,
        "RGB with orientation": saved(colours, "JPEG", exif=exif),
        "RGB with profile": saved(colours, "JPEG", icc_profile=profile),
        "RGB of 16 bits": png_of_16_bits(np.repeat(deep[..., None], 3, axis=2)),
        "RGB in planes": tiff(np.stack([deep] * 3), photometric="rgb", planarconfig="separate"),
        "RGB of floats": tiff(np.full((SIDE, SIDE, 3), VALUE / 255, np.float32), photometric="rgb"),
        **{f"L {kind}": saved(grey, kind) for kind in ("PNG", "JPEG", "BMP", "TIFF", "PPM")},
        "P": saved(colours.quantize(4), "PNG"),
        "P of GIF": saved(colours.quantize(4), "GIF"),
        "CMYK JPEG": saved(Image.new("CMYK", (SIDE, SIDE), (0, 0, 0, 255 - VALUE)), "JPEG"),
        "CMYK TIFF": saved(Image.new("CMYK", (SIDE, SIDE), (0, 0, 0, 255 - VALUE)), "TIFF"),
        "YCbCr": saved(colours.convert("YCbCr"), "TIFF", compression="jpeg"),
        "LAB": saved(lab, "TIFF"),
        "I": saved(np.full((SIDE, SIDE), VALUE, np.int32), "TIFF"),
        "I of 16 bits": saved(deep, "PPM"),
        "I;16 PNG": saved(deep, "PNG"),
        "I;16 TIFF": saved(deep, "TIFF"),
        "I;16 inverted": tiff(65535 - deep, photometric="miniswhite"),
        "F": saved(np.full((SIDE, SIDE), VALUE / 255, np.float32), "TIFF"),
        # Composited on white.
        "RGBA PNG": saved(clear, "PNG"),
        "RGBA TIFF": saved(clear, "TIFF"),
        "RGBA WEBP": saved(clear, "WEBP", lossless=True, exact=True),
        "LA": saved(clear.convert("LA"), "PNG"),
        "LA of 16 bits": tiff(
            np.stack([0 * deep, deep // VALUE * 127], axis=-1), photometric="minisblack", extrasamples=["unassalpha"]
        ),
        "1": saved(Image.new("1", (SIDE, SIDE), 1), "PNG"),
        "P with transparency": saved(Image.new("P", (SIDE, SIDE), 0), "PNG", transparency=0),
    }


KINDS = kinds()


def _expected(kind: str) -> float:
    if kind in ("1", "P with transparency"):
        return 1.0
    return 128 / 255 if kind.startswith(("RGBA", "LA")) and kind != "LAB" else VALUE / 255


def _training(path: Path) -> NDArray:
    crops = Crops([path], SIDE, 1, 0, "rgb255")
    return pixels.to_picture(crops.sample(0), "rgb255")


def _stylize(path: Path) -> NDArray:
    job = Job(path, path.with_name("stylized.png"))
    assert folders.make([job], lambda picture: picture, None, lambda job: None) == []
    return images.read(job.target)


def _upload(path: Path) -> NDArray:
    return images.read(Uploads(path.parent, path.parent).accept(path, "photo"))


def _thumbnail(path: Path) -> NDArray:
    return images.read(Thumbnails(path.parent).small(path))


def _judged(path: Path) -> NDArray:
    folder = path.parent / "judged"
    cases = verdicts.cases([str(path)], [str(path)], [str(path)])
    list(verdicts.judge_cases(cases, SIDE, (), (), folder))
    return images.read(folder / f"{path.stem}.png")


def _in_memory(path: Path) -> NDArray:
    """Read Pillow's own image, as from Python, where Pillow reads the file rightly."""
    with images.open_picture(path) as image:
        return PictureSources({"<content.image>": image}).read("<content.image>")


READERS: dict[str, Callable[[Path], NDArray]] = {
    "the reader": images.read,
    "a run": lambda path: FILES.read(str(path)),
    "a run in memory": _in_memory,
    "a training": _training,
    "stylize": _stylize,
    "judge": _judged,
    "a thumbnail": _thumbnail,
    "an upload": _upload,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_reads_every_kind_alike(tmp_path: Path, kind: str) -> None:
    for number, (name, reader) in enumerate(READERS.items()):
        path = tmp_path / f"{number}.picture"
        path.write_bytes(KINDS[kind])
        np.testing.assert_allclose(reader(path), _expected(kind), atol=3 / 255, err_msg=name)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if _expected(kind) == VALUE / 255])
def test_masks_are_read_like_pictures(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mask"
    path.write_bytes(KINDS[kind])
    np.testing.assert_allclose(FILES.read_mask(str(path)), VALUE / 255, atol=3 / 255)


@pytest.mark.parametrize("kind", ["RGBA PNG", "LA", "P with transparency", "LA of 16 bits"])
def test_what_is_transparent_in_a_mask_is_black_in_a_file_and_in_memory(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mask"
    path.write_bytes(KINDS[kind])
    assert FILES.read_mask(str(path)).max() == 0
    with images.open_picture(path) as image:
        assert PictureSources({"<mask>": image}).read_mask("<mask>").max() == 0
    clear = np.stack([np.ones((3, 4)), np.zeros((3, 4))], axis=-1)
    assert PictureSources({"<mask>": clear}).read_mask("<mask>").max() == 0


def test_a_training_and_a_thumbnail_turn_photographs_upright(tmp_path: Path) -> None:
    """Dark above and bright below, stored lying on its side; Pillow maps the TIFF into memory if it may."""
    exif = Image.Exif()
    exif[0x112] = 6
    ramp = np.repeat(np.linspace(0, 255, 40)[:, None], 30, axis=1).astype(np.uint8)
    for name in ("a.jpg", "b.tif"):
        stored = Image.fromarray(ramp).transpose(Image.Transpose.ROTATE_90)
        (tmp_path / name).write_bytes(saved(stored, "JPEG" if name == "a.jpg" else "TIFF", exif=exif))
        for reader in (_training, _thumbnail):
            rows = reader(tmp_path / name).mean(axis=(1, 2))
            assert np.diff(rows).min() > -0.01 and rows[-1] - rows[0] > 0.2, (name, reader)
