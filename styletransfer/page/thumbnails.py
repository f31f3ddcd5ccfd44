"""Small copies of pictures, made once, for a browser to load."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from styletransfer.pictures import images
from styletransfer.support.files import atomic_write

_EDGE = 320  # pixels
_QUALITY = 85


class Thumbnails:
    """Thumbnails in a folder, by the path, size and time of the picture.

    Parameters
    ----------
    folder : Path
        An existing one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, picture: Path) -> Path:
        """The thumbnail of a picture of ours, in its proportions.

        Raises
        ------
        OSError
            If it is gone or cannot be read.
        """
        with Image.open(picture) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            size = (image.width, image.height) if turned else (image.height, image.width)
        height, width = images.fit(*size, min(_EDGE, max(size)))
        return self.resized(picture, height, width)

    def resized(self, picture: Path, height: int, width: int) -> Path:
        """A copy of a picture of ours with that height and width in pixels.

        Raises
        ------
        OSError
            If it is gone or cannot be read.
        """
        facts = picture.stat()
        key = f"{picture.resolve()} {facts.st_mtime_ns} {facts.st_size} {width} {height}"
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.jpg"
        if not path.exists():
            with Image.open(picture) as image:
                image.draft("RGB", (2 * width, 2 * height))
                upright = ImageOps.exif_transpose(image).convert("RGB")
            with atomic_write(path) as stream:
                upright.resize((width, height), Image.Resampling.LANCZOS).save(stream, format="JPEG", quality=_QUALITY)
        return path
