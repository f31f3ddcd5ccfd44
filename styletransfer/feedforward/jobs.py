"""A picture or video that is to be given a style."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from styletransfer.pictures.formats import VIDEO_SUFFIXES

RECORD = "video.json"  # in the folder of an unfinished video


@dataclass(frozen=True)
class Job:
    """A picture or video file, and where the result goes."""

    source: Path
    target: Path

    @property
    def is_video(self) -> bool:
        return is_video(self.source)

    @property
    def is_there(self) -> bool:
        """Return whether the result exists."""
        return os.path.exists(self.target)  # noqa: PTH110 - Path.exists raises an error for names that are too long

    @property
    def parts(self) -> Path:
        """The folder with the parts of a video while it is unfinished."""
        return self.target.with_name(f".{self.target.name}.parts")

    @property
    def is_begun(self) -> bool:
        """Return whether it is an unfinished video, which can be resumed."""
        return self.is_video and os.path.isfile(self.parts / RECORD)  # noqa: PTH113 - as above


def is_video(file: Path) -> bool:
    """Return whether a file is a video, by its suffix."""
    return file.suffix.lower() in VIDEO_SUFFIXES
