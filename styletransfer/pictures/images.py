"""Pictures as people have them: reading, resizing, noise removal and writing.

A picture is a float array (H, W, 3), RGB, values 0..1.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from styletransfer.support.errors import UserError
from styletransfer.support.files import written_whole

LOGGER = logging.getLogger(__name__)
Picture = NDArray[np.floating]

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_TURNED_ON_LOADING = ("PNG", "TIFF")  # whose orientation stands behind the pixels, or which Pillow turns itself
_WHITE_16_BIT = 65535.0
_JPEG_QUALITY = 95


def read(path: str | os.PathLike[str]) -> Picture:
    """Read a picture file.

    JPEG, PNG, WebP, TIFF, BMP, GIF (first frame) and PPM are understood, in grey, palette, RGB, CMYK and with 16 bits.
    The camera's orientation (EXIF) is applied. Transparency is composited on white, which is said in the log.

    Raises
    ------
    UserError
        If the file is absent, no picture, damaged, or too large to be one (decompression bomb).
    """
    with _opened(Path(path)) as image:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image), Path(path))


def size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of what :func:`read` makes of a picture file, mostly told from the head of the file.

    Raises
    ------
    UserError
        As :func:`read`; damage further on in the file is not seen.
    """
    with _opened(Path(path)) as image:
        if image.format in _TURNED_ON_LOADING:
            image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return image.size if turned else (image.height, image.width)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture file, opened but not loaded; whatever goes wrong with it from here on is an error of the user's."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)
            if not path.is_file() and path.exists() and not path.is_dir():
                raise ValueError("it is a pipe or a device, expected a file")  # reading it might never end
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except FileNotFoundError:
        raise UserError(f"picture {path}: no such file") from None
    except UnidentifiedImageError:
        raise UserError(f"picture {path}: not a picture in a known format ({', '.join(_FORMATS[:4])})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(f"picture {path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels, too large to read") from None
    except Exception as error:  # a decoder may raise anything at all on a damaged file
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"picture {path}: cannot be read: {reason}") from None


def _to_rgb(image: Image.Image, path: Path) -> Picture:
    if image.mode.startswith(("I", "F")):  # grey: whole numbers of 16 bits, or floating-point numbers
        white = 1.0 if image.mode == "F" else _WHITE_16_BIT
        grey = np.asarray(image, dtype=np.float64) / white
        if not (grey.min() >= 0 and grey.max() <= 1):
            raise ValueError(f"grey values outside 0..{white:g}")
        return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
            LOGGER.info("%s has transparent parts: they are shown on white", path)
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode == "CMYK":
        image = _cmyk_to_rgb(image, path)
    return np.asarray(image.convert("RGB"), dtype=np.float32) / 255


def _cmyk_to_rgb(image: Image.Image, path: Path) -> Image.Image:
    """By the picture's own colour profile where it carries a usable one, else by Pillow's simple formula."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            LOGGER.info("%s: its colour profile is not usable and left aside", path)
    return image.convert("RGB")


def fit(height: int, width: int, long_edge: int) -> tuple[int, int]:
    """(height, width) with the same proportions (the short side rounded down, at least 1) and that long edge."""
    longest = max(height, width)
    return max(1, height * long_edge // longest), max(1, width * long_edge // longest)


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Resize, smoothing first where the picture gets smaller, so that fine patterns do not alias."""
    if picture.shape[:2] == (height, width):
        return picture
    from skimage import transform

    return np.clip(transform.resize(picture, (height, width), order=1, mode="reflect", anti_aliasing=True), 0, 1)


def enlarged(array: NDArray, height: int, width: int) -> NDArray[np.float32]:
    """An array (1, channels, H, W) of any values, brought to another size by bilinear interpolation."""
    from skimage import transform

    if array.shape[2:] == (height, width):
        return array
    values = array[0].transpose(1, 2, 0)
    resized = transform.resize(values, (height, width), order=1, mode="reflect", preserve_range=True)
    return resized.transpose(2, 0, 1)[None].astype(np.float32)


def denoise(picture: Picture, weight: float) -> Picture:
    """Remove noise by total variation (Chambolle 2004); a larger weight removes more, 0 nothing."""
    if weight == 0:
        return picture
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(picture, weight=weight, channel_axis=-1)


def to_bytes(picture: Picture) -> NDArray[np.uint8]:
    """(H, W, 3) of 0..255, rounded."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def write(path: str | os.PathLike[str], picture: Picture) -> None:
    """Write a picture as the ending of `path` says (.png, .jpg), whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    image = Image.fromarray(to_bytes(picture))
    with written_whole(path) as stream:
        if Path(path).suffix.lower() in (".jpg", ".jpeg"):
            image.save(stream, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
        else:
            image.save(stream, format="PNG")
