"""Random crops of photographs, decoded in a thread while the networks compute."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from styletransfer.config import find_input
from styletransfer.feedforward.folders import SUFFIXES
from styletransfer.pictures import images, pixels
from styletransfer.support.errors import UserError

_BATCHES, _SAMPLES = 0, 1  # streams of random numbers


def files_of(sources: Sequence[str]) -> list[Path]:
    """The photographs in folders, in order of their names, and single files.

    Raises
    ------
    UserError
        If a source does not exist, or a folder has no pictures.
    """
    files: list[Path] = []
    for source in sources:
        place = find_input(source)
        if place.is_dir():
            found = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
            if not found:
                raise UserError(f"photographs.sources: {source}: a folder without pictures ({', '.join(SUFFIXES)})")
            files += found
        elif place.is_file():
            files.append(place)
        else:
            raise UserError(f"photographs.sources: {source}: no such file or folder")
    return files


def checksum(files: Sequence[Path]) -> str:
    """The sha256 of names and sizes of the photographs; reading thousands of them would take long."""
    listing = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


class Crops:
    """Random square crops. Batch number n is the same whenever it is asked for.

    A photograph is drawn, then the side of a window between that of the crop and the photograph's short side, then its
    place; the window is resized to the crop, and mirrored at every second draw. Smaller photographs are enlarged.

    Parameters
    ----------
    files : sequence of Path
    side : int
        Of a crop, in pixels.
    count : int
        Crops in a batch.
    seed : int
    space : str
        The pixel space of the crops.
    """

    def __init__(self, files: Sequence[Path], side: int, count: int, seed: int, space: str) -> None:
        self._files, self._side, self._count, self._seed, self._space = files, side, count, seed, space
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._next: tuple[int, Future[NDArray[np.float32]]] | None = None

    def batch(self, number: int) -> NDArray[np.float32]:
        """Batch number `number`, (count, 3, side, side); the next one is prepared meanwhile.

        Raises
        ------
        UserError
            If a photograph cannot be read.
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
        file = self._files[generator.integers(len(self._files))]
        scale, left, top, mirrored = generator.random(4)
        with images.opened(file) as image:
            short = min(image.size)
            window = self._side * max(1.0, short / self._side) ** scale  # uniform in the logarithm
            window = min(window, short)
            shrunk = self._side / window
            image.draft("RGB", (int(image.width * shrunk), int(image.height * shrunk)))
            reduction = min(image.size) / short  # by which the decoder has made it smaller
            window *= reduction
            left, top = left * (image.width - window), top * (image.height - window)
            crop = image.convert("RGB").resize(
                (self._side, self._side), Image.Resampling.BILINEAR, box=(left, top, left + window, top + window)
            )
        values = np.asarray(crop, dtype=np.float32) / 255
        return pixels.from_picture(values[:, ::-1] if mirrored < 0.5 else values, self._space)
