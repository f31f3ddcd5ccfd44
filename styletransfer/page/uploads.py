"""Pictures that come from a browser: limited, decoded, and saved again.

Nothing of an upload is kept but its pixels and, without unusual characters, its name: no metadata, no byte of the file.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from styletransfer.pictures import images
from styletransfer.support.errors import UserError
from styletransfer.support.files import hashed
from styletransfer.sweeps import names

MOST_BYTES = 32 * 10**6
MOST_PIXELS = 60 * 10**6  # decoded, three numbers of four bytes each
LONGEST_EDGE = 4096  # larger pictures are reduced; twice the largest picture that the page makes
FOLDER = "uploads"
_LONGEST_NAME = 60  # characters


class Uploads:
    """The uploads of a server.

    Parameters
    ----------
    arrivals : Path
        The folder in which the server puts what a browser sends. Other files are not taken: a request may name any.
    output : Path
        The folder of all runs; uploads go into a folder of it.
    """

    def __init__(self, arrivals: Path, output: Path) -> None:
        self._arrivals, self._folder = arrivals, output / FOLDER
        self._decoding = threading.Lock()  # one picture at a time: it takes much memory

    def accept(self, file: Path, name: str) -> Path:
        """Take an upload; the file that was sent is removed.

        Raises UserError if it is too large, is not a picture, or is damaged.

        Parameters
        ----------
        file : Path
            The upload, under whatever name.
        name : str
            Its name in the browser.

        Returns
        -------
        Path
            The picture as a JPEG file of that name, in a folder named after what was sent: the same upload always gives
            the same path.
        """
        if not (file.resolve().is_relative_to(self._arrivals.resolve()) and file.is_file()):
            raise UserError("the file has not arrived; send it again")
        try:
            return self._accept(file, name)
        finally:
            file.unlink(missing_ok=True)

    def _accept(self, file: Path, name: str) -> Path:
        size = file.stat().st_size
        if size > MOST_BYTES:
            most = f"{MOST_BYTES / 1e6:.0f} MB at most"
            raise UserError(f"the file has {size / 1e6:.0f} MB; expected a picture of {most}")
        stem = names.safe_name(Path(name).stem)[:_LONGEST_NAME] or "picture"
        path = self._folder / hashed(file, hashlib.sha256())[:8] / f"{stem}.jpg"
        with self._decoding:
            if not path.exists():
                picture = _limited(_read(file))
                path.parent.mkdir(parents=True, exist_ok=True)
                images.write(path, picture)
        return path


def _read(file: Path) -> images.Picture:
    try:
        _check_pixels(*images.size(file))
        return images.read(file)
    except UserError as error:
        raise UserError(str(error).replace(f"picture {file}", "the file")) from None


def _check_pixels(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise UserError(
            f"the picture has {width} x {height} pixels; expected {MOST_PIXELS / 1e6:.0f} million pixels at most"
        )


def _limited(picture: images.Picture) -> images.Picture:
    """The picture with a long edge of at most `LONGEST_EDGE` pixels."""
    height, width = picture.shape[:2]
    if max(height, width) <= LONGEST_EDGE:
        return picture
    height, width = images.fit(height, width, LONGEST_EDGE)
    smaller = Image.fromarray(images.to_bytes(picture)).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(smaller, dtype=np.float32) / 255
