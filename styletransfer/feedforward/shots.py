"""The shots of a video: where one camera picture is cut to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from styletransfer.pictures.video_files import Reader

_EDGE = 48  # pixels, of the frames that are compared
_CUT = 0.12  # mean absolute difference of consecutive frames, of 0..1; a fast pan has half of that


def starts(path: Path) -> list[int]:
    """Find the first frame of every shot: consecutive frames that differ in most pixels are a cut.

    The whole video is decoded for it, at a small size. Raises UserError as :class:`Reader`.
    """
    found, last = [0], None
    with Reader(path, _EDGE) as video:
        for number, frame in enumerate(video.frames()):
            pixels = frame.pixels.astype(np.float32) / 255
            if last is not None and np.abs(pixels - last).mean() > _CUT:
                found.append(number)
            last = pixels
    return found
