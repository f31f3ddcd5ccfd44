"""Small copies of pictures, made once, for a browser to load."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from PIL import Image

from styletransfer.pictures import images
from styletransfer.support.errors import UserError
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

    def small(self, picture: Path) -> Path:
        """The thumbnail of a picture, in its proportions; a grey one if it is gone or cannot be read."""
        try:
            size = images.size(picture)
            height, width = images.fit(*size, min(_EDGE, max(size)))
            return self.resized(picture, height, width)
        except (OSError, UserError):
            return self._saved("unreadable", Image.new("RGB", (_EDGE, _EDGE), "grey"))

    def resized(self, picture: Path, height: int, width: int) -> Path:
        """A copy of a picture with that height and width in pixels.

        Raises OSError if it is gone, or the copy cannot be written. Raises UserError if it cannot be read.
        """
        facts = picture.stat()
        key = f"{picture.resolve()} {facts.st_mtime_ns} {facts.st_size} {width} {height}"
        name = hashlib.sha256(os.fsencode(key)).hexdigest()[:20]
        if self._path(name).exists():
            return self._path(name)
        with images.open_picture(picture) as image:
            image.draft("RGB", (2 * width, 2 * height))
            upright = images.to_rgb(image, None)
        return self._saved(name, upright.resize((width, height), Image.Resampling.LANCZOS))

    def _saved(self, name: str, image: Image.Image) -> Path:
        with atomic_write(self._path(name)) as stream:
            image.save(stream, format="JPEG", quality=_QUALITY)
        return self._path(name)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.jpg"
