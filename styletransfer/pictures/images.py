"""Picture files: reading, resizing, denoising and writing.

A picture is a float array (H, W, 3), RGB, values 0..1.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from styletransfer.pictures import marks, profiles, tiff
from styletransfer.pictures.formats import JPEG, JPEG_QUALITY
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write

LOGGER = logging.getLogger(__name__)
Picture = NDArray[np.floating]

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIF", "JPEG2000")
_WITH_FRAMES = ("PNG", "WEBP", "TIFF", "GIF", "AVIF")  # or pages; those of JPEG and HEIF are other things
_ORIENTED_ON_LOAD = ("PNG", "TIFF")  # orientation stored after the pixels, or applied by Pillow itself
_WHITE_16_BIT = 65535.0


@functools.cache
def formats() -> tuple[str, ...]:
    """The formats that are read, by Pillow's names, to which HEIF is added."""
    from pi_heif import register_heif_opener

    register_heif_opener()
    return _FORMATS


def read(path: str | os.PathLike[str]) -> Picture:
    """Read a picture file.

    JPEG, PNG, WebP, TIFF, BMP, GIF, PPM, AVIF, HEIC and JPEG 2000 are supported, in greyscale (8 and 16 bits), palette,
    RGB and CMYK. Of several frames or pages the first is read, with a warning. The camera's orientation (EXIF) is
    applied. Colours are converted to sRGB with the file's colour profile; a broken one is ignored with a warning.
    Transparency is composited on white, which is logged.

    Raises UserError if the file does not exist, is not a picture, is damaged, or is too large (a decompression bomb).
    """
    with open_picture(Path(path)) as image:
        return from_pillow(image, path)


def from_pillow(image: Image.Image, name: str | os.PathLike[str] | None, background: str = "white") -> Picture:
    """Convert a PIL image, whose file is read now if it has not been.

    Parameters
    ----------
    image : PIL image
    name : str or path, or None
        For the log; None: nothing is logged.
    background : str
        The colour on which transparency is composited.
    """
    converted = _converted(image, name, background)
    return np.asarray(converted, dtype=np.float32) / 255 if isinstance(converted, Image.Image) else converted


def to_rgb(image: Image.Image, name: str | os.PathLike[str] | None) -> Image.Image:
    """Convert as :func:`from_pillow`, but to Pillow's RGB with 8 bits, which usually takes less time and memory."""
    converted = _converted(image, name, "white")
    return converted if isinstance(converted, Image.Image) else Image.fromarray(to_bytes(converted))


def _converted(image: Image.Image, name: str | os.PathLike[str] | None, background: str) -> Image.Image | Picture:
    """An RGB image, or a picture if 8 bits are not enough."""
    if name is not None and image.format in _WITH_FRAMES and getattr(image, "fp", None):
        count = getattr(image, "n_frames", 1)
        if count > 1:
            LOGGER.warning("%s: has %d frames or pages, only the first is used", name, count)
    image.load()
    upright = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _from_grey(upright, _white(image), name, background)
    return _from_colours(upright, name, background)


def read_mask(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Read a picture file as a mask: grey values (H, W), 0..1; what is transparent is 0.

    Raises UserError as for :func:`read`.
    """
    with open_picture(Path(path)) as image:
        return from_pillow(image, path, background="black").mean(axis=2)


def size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of the picture that :func:`read` would return, usually from the file's header alone.

    Raises UserError as for :func:`read`; damage after the header may go undetected.
    """
    with open_picture(Path(path)) as image:
        if image.format in _ORIENTED_ON_LOAD:
            image.load()
        return oriented_size(image)


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an image once its EXIF orientation has been applied."""
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return image.size if turned else (image.height, image.width)


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture file, usually without loading it; any error inside the context is reported as a UserError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)
            if not path.is_file() and path.exists() and not path.is_dir():
                raise ValueError("it is a pipe or a device, expected a file")  # reading it might block forever
            with path.open("rb") as stream, _open(path, stream) as image:
                yield image
    except FileNotFoundError:
        raise UserError(f"picture {path}: no such file") from None
    except UnidentifiedImageError:
        raise UserError(f"picture {path}: not a picture in a known format ({', '.join(_FORMATS[:4])})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(f"picture {path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels, too large to read") from None
    except Exception as error:  # decoders may raise any exception on a damaged file
        raise UserError(f"picture {path}: cannot be read: {reason_of(error)}") from None


def _open(path: Path, stream: BinaryIO) -> Image.Image:
    """Open from a stream: given a name, Pillow 11.3 maps some rotated TIFFs into memory and garbles them."""
    try:
        image = Image.open(stream, formats=formats())
    except UnidentifiedImageError:
        if tiff.is_tiff(path):
            return tiff.read(path)
        raise
    if not (isinstance(image, TiffImageFile) and tiff.is_misread(image)):
        return image
    with image:
        return tiff.read(path)


def _white(image: Image.Image) -> float:
    """The value of white in a grey image of integers or floating-point numbers."""
    if image.mode == "F":
        return 1.0
    if image.mode != "I" or image.format == "PPM":
        return _WHITE_16_BIT
    values = np.asarray(image)
    return 255.0 if values.min() >= 0 and values.max() <= 255 else _WHITE_16_BIT


def _from_grey(image: Image.Image, white: float, name: str | os.PathLike[str] | None, background: str) -> Picture:
    """Convert greyscale of more than 8 bits."""
    values = np.asarray(image)
    grey = np.asarray(values, dtype=np.float64) / white
    if not (grey.min() >= 0 and grey.max() <= 1):
        raise ValueError(f"grey values outside 0..{white:g}")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and (values == transparent).any():
        grey[values == transparent] = background == "white"
        _log_transparency(name, background)
    if image.info.get("icc_profile") and name is not None:
        LOGGER.warning("%s: its colour profile is ignored, as it is grey with more than 8 bits", name)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


def _from_colours(image: Image.Image, name: str | os.PathLike[str] | None, background: str) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not image.has_transparency_data:
        return profiles.to_srgb(image, profile, name)
    with_alpha = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = with_alpha.getchannel("A")
    if alpha.getextrema()[0] < 255:  # type: ignore[operator]
        _log_transparency(name, background)
    opaque = with_alpha.getchannel("R") if image.mode.startswith("L") else with_alpha.convert("RGB")
    return Image.composite(profiles.to_srgb(opaque, profile, name), Image.new("RGB", image.size, background), alpha)


def _log_transparency(name: str | os.PathLike[str] | None, background: str) -> None:
    if name is not None:
        LOGGER.info("%s has transparent parts: composited on %s", name, background)


def fit(height: int, width: int, long_edge: int) -> tuple[int, int]:
    """(height, width) with the given long edge and the same proportions; the short edge is rounded down, at least 1."""
    longest = max(height, width)
    return max(1, height * long_edge // longest), max(1, width * long_edge // longest)


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Resize; smooth first when downsampling, to avoid aliasing."""
    if picture.shape[:2] == (height, width):
        return picture
    from skimage import transform

    return np.clip(transform.resize(picture, (height, width), order=1, mode="reflect", anti_aliasing=True), 0, 1)


def resize_to(picture: Picture, long_edge: int) -> Picture:
    """Resize to a long edge, in the same proportions."""
    return resize(picture, *fit(picture.shape[0], picture.shape[1], long_edge))


def reduce_to(picture: Picture, long_edge: int | None) -> Picture:
    """Resize to a long edge if the picture's is longer; None: never."""
    return picture if long_edge is None or max(picture.shape[:2]) <= long_edge else resize_to(picture, long_edge)


def enlarged(array: NDArray, height: int, width: int) -> NDArray[np.float32]:
    """Resize an array (1, channels, H, W) of arbitrary values by bilinear interpolation."""
    from skimage import transform

    if array.shape[2:] == (height, width):
        return array
    values = array[0].transpose(1, 2, 0)
    resized = transform.resize(values, (height, width), order=1, mode="reflect", preserve_range=True)
    return resized.transpose(2, 0, 1)[None].astype(np.float32)


def denoise(picture: Picture, weight: float) -> Picture:
    """Total variation denoising (Chambolle 2004); a larger weight removes more, 0 none."""
    if weight == 0:
        return picture
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(picture, weight=weight, channel_axis=-1)


def to_bytes(picture: Picture) -> NDArray[np.uint8]:
    """Convert to (H, W, 3), 0..255, rounded."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def write(
    path: str | os.PathLike[str],
    picture: Picture,
    quality: int = JPEG_QUALITY,
    exif: bytes = b"",
    texts: Mapping[str, str] | None = None,
    mark: str = "",
) -> None:
    """Write a picture atomically, tagged as sRGB, in the format given by the suffix of `path`.

    Raises OSError if it cannot be written.

    Parameters
    ----------
    path : path
        With the suffix .png, .jpg, .webp or .tiff, which has 16 bits a channel; any other is written as PNG.
    picture : array (H, W, 3), RGB, 0..1
    quality : int
        1 to 100, for JPEG and WebP.
    exif : bytes
        For all but TIFF.
    texts : dict of str, optional
        Texts by keyword, for PNG.
    mark : str
        The kind of results that it is, of :mod:`styletransfer.pictures.marks`, to be noted in the file.
    """
    kind = Path(path).suffix.lower()
    tags = {"icc_profile": profiles.srgb(), "exif": exif, **marks.tags(kind, mark)}
    with atomic_write(path) as stream:
        if kind in (".tif", ".tiff"):
            _write_tiff(stream, picture, mark)
            return
        image = Image.fromarray(to_bytes(picture))
        if kind in JPEG:
            image.save(stream, format="JPEG", quality=quality, subsampling=0, **tags)
        elif kind == ".webp":
            image.save(stream, format="WEBP", quality=quality, **tags)
        else:
            image.save(stream, format="PNG", pnginfo=marks.png_texts(mark, texts), **tags)


def _write_tiff(stream: BinaryIO, picture: Picture, mark: str) -> None:
    """Write 16 bits a channel, which Pillow cannot."""
    import tifffile

    values = np.rint(np.clip(picture, 0, 1) * _WHITE_16_BIT).astype(np.uint16)
    tifffile.imwrite(
        stream,
        values,
        photometric="rgb",
        compression="zlib",
        iccprofile=profiles.srgb(),
        metadata=None,
        software=marks.text(mark) if mark else False,
    )
