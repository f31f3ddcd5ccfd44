"""Random crops of photographs, decoded in a thread while the networks compute."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styletransfer.config import find_input
from styletransfer.pictures import folders, images, pixels
from styletransfer.support.errors import UserError

LOGGER = logging.getLogger(__name__)
_BATCHES, _SAMPLES = 0, 1  # streams of random numbers


def files_of(sources: Sequence[str]) -> list[Path]:
    """The photographs in folders, in order of their names, and single files, each once.

    Raises UserError if a source does not exist, or a folder has no pictures.
    """
    files: list[Path] = []
    for source in sources:
        place = find_input(source)
        if place.is_dir():
            files += folders.list_pictures(place, "photographs.sources: ")
        elif place.is_file():
            files.append(place)
        else:
            raise UserError(f"photographs.sources: {source}: no such file or folder")
    return list({file.absolute(): file for file in files}.values())


def checksum(files: Sequence[Path]) -> str:
    """The sha256 of names and sizes of the photographs; reading thousands of them would take long."""
    listing = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


class Crops:
    """Random square crops. Batch number n is the same whenever it is asked for.

    A photograph is drawn, then the side of a window between that of the crop and the photograph's short side, then its
    place; the window is resized to the crop, and mirrored at every second draw. Smaller photographs are enlarged.
    Photographs that cannot be read are left out with a warning, and others are drawn in their place.

    Parameters
    ----------
    side : int
        Of a crop, in pixels.
    count : int
        Crops in a batch.
    space : str
        The pixel space of the crops.
    """

    def __init__(self, files: Sequence[Path], side: int, count: int, seed: int, space: str) -> None:
        self._files, self._side, self._count, self._seed, self._space = files, side, count, seed, space
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._seen: set[Path] = set()
        self._left_out: set[Path] = set()
        self._next: tuple[int, Future[NDArray[np.float32]]] | None = None

    def batch(self, number: int) -> NDArray[np.float32]:
        """Batch number `number`, (count, 3, side, side); the next one is prepared meanwhile.

        Raises UserError if no photograph can be read.
        """
        if self._next is None or self._next[0] != number:
            self._prepare(number)
        assert self._next is not None
        crops = self._next[1].result()
        self._prepare(number + 1)
        return crops

    def sample(self, number: int) -> NDArray[np.float32]:
        """A batch of its own kind, which training does not see, to measure photographs by."""
        return self._draw(_SAMPLES, number)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, number: int) -> None:
        self._next = number, self._thread.submit(self._draw, _BATCHES, number)

    def _draw(self, stream: int, number: int) -> NDArray[np.float32]:
        generator = np.random.default_rng([self._seed, stream, number])
        return np.concatenate([self._crop(generator) for _ in range(self._count)])

    def _crop(self, generator: np.random.Generator) -> NDArray[np.float32]:
        while True:  # the numbers drawn do not depend on which photographs are known to be unusable
            file = self._files[generator.integers(len(self._files))]
            place = generator.random(4)
            if file not in self._left_out:
                try:
                    return self._part(file, *place)
                except UserError as error:
                    self._leave_out(file, str(error))

    def _leave_out(self, file: Path, why: str) -> None:
        self._left_out.add(file)
        if self._left_out.issuperset(self._files):
            raise UserError(f"photographs.sources: none of the photographs can be read; {why}")
        LOGGER.warning("%s; this photograph is left out", why)

    def _part(self, file: Path, scale: float, left: float, top: float, mirrored: float) -> NDArray[np.float32]:
        """A window of a photograph; `scale`, `left` and `top` are its size and place, 0..1."""
        with images.open_picture(file) as image:
            short = min(image.size)
            window = self._side * max(1.0, short / self._side) ** scale  # uniform in the logarithm
            window = min(window, short)
            shrunk = self._side / window
            image.draft("RGB", (int(image.width * shrunk), int(image.height * shrunk)))
            picture = images.to_rgb(image, None if file in self._seen else file)
        self._seen.add(file)
        window *= min(picture.size) / short  # the decoder may have made it smaller
        left, top = left * (picture.width - window), top * (picture.height - window)
        crop = picture.resize(
            (self._side, self._side), Image.Resampling.BILINEAR, box=(left, top, left + window, top + window)
        )
        values = np.asarray(crop, dtype=np.float32) / 255
        return pixels.from_picture(values[:, ::-1] if mirrored < 0.5 else values, self._space)
