"""The sources of the pictures of a run: files, and pictures that the calling program has in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import find_input
from styletransfer.pictures import images, in_memory
from styletransfer.pictures.images import Picture
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.weights import sources


@dataclass(frozen=True)
class PictureSources:
    """Reads the pictures that a config names.

    Attributes
    ----------
    in_memory : dict of PIL images and arrays
        Pictures that are not files, by their names in the config, such as ``<content.image>``.
    """

    in_memory: Mapping[str, in_memory.PictureInMemory] = field(default_factory=dict)

    def size(self, name: str) -> tuple[int, int]:
        """(height, width) of a picture; of a file, usually from its header alone.

        Raises UserError if it is not a picture.
        """
        if name in self.in_memory:
            return in_memory.size(self.in_memory[name], name)
        return images.size(picture_file(name))

    def read(self, name: str) -> Picture:
        """A picture (H, W, 3), RGB, 0..1.

        Raises UserError if it cannot be read.
        """
        if name in self.in_memory:
            return in_memory.read(self.in_memory[name], name)
        return images.read(picture_file(name))

    def read_mask(self, name: str) -> NDArray[np.floating]:
        """A picture as a mask: grey values (H, W), 0..1; what is transparent is 0.

        Raises UserError if it cannot be read.
        """
        if name in self.in_memory:
            return in_memory.read(self.in_memory[name], name, background="black").mean(axis=2)
        return images.read_mask(picture_file(name))


FILES = PictureSources()  # all pictures are files


def picture_file(name: str) -> Path:
    """The file of a picture.

    Raises UserError if it is missing, but can be fetched or was in memory.
    """
    path = find_input(name)
    if not path.exists():
        if in_memory.is_name(name):
            raise UserError(f"picture {name}: it was in the memory of another program; name a file in its place")
        hint = sources.how_to_get(PROJECT_FOLDER / path)
        if hint:
            raise UserError(f"picture {path}: no such file; {hint}")
    return path
