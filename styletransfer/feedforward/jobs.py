"""A picture or video that is to be given a style."""

from __future__ import annotations

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
    def parts(self) -> Path:
        """The folder with the parts of a video while it is unfinished."""
        return self.target.with_name(f".{self.target.name}.parts")

    @property
    def is_begun(self) -> bool:
        """Whether it is a video that is unfinished, and can be resumed."""
        return self.is_video and (self.parts / RECORD).is_file()


def is_video(file: Path) -> bool:
    """Whether a file is a video, by its suffix."""
    return file.suffix.lower() in VIDEO_SUFFIXES
