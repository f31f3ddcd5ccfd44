"""Video files: reading their frames, times and colours, with FFmpeg's libraries.

Colours are described by the numbers of ITU-T H.273: the matrix between RGB and Y'CbCr, the primaries, the transfer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from styletransfer.pictures import images
from styletransfer.pictures.formats import VIDEO_SUFFIXES
from styletransfer.support.errors import UserError

LOGGER = logging.getLogger(__name__)

_READ_AS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"  # and not as playlists, which name other files

FULL_RANGE = 2
_UNSPECIFIED = (0, 2)  # and reserved
_BT709, _BT601 = 1, 6
_MATRICES = (1, 4, 5, 6, 7, 9)
_HD = 720  # rows from which a video without a colour description is BT.709; else it is BT.601


@dataclass(frozen=True)
class Colors:
    """The coding of RGB values, and the light they stand for."""

    matrix: int
    primaries: int
    transfer: int


@dataclass(frozen=True)
class Frame:
    """A frame: RGB, (H, W, 3), 0..255, upright; `time` is when it is shown, in units of the video's `time_base`."""

    pixels: NDArray[np.uint8]
    time: int


@dataclass(frozen=True)
class Coding:
    """The properties shared by all frames of a video.

    Attributes
    ----------
    time_base : Fraction
        The unit of times in seconds, one over a whole number.
    rate : Fraction
        The mean or nominal number of frames a second.
    aspect : Fraction
        Width of a pixel over its height.
    """

    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    colors: Colors


class Reader:
    """Reads the frames of a video file; a context manager.

    Raises UserError if the file does not exist, is not a video, or none of its frames can be decoded; one line.

    Parameters
    ----------
    long_edge : int, optional
        The long edge to which longer frames are reduced.

    Attributes
    ----------
    count : int, or None
        The number of frames in the file's header, which may be wrong; None if it has none.
    """

    def __init__(self, path: Path, long_edge: int | None = None) -> None:
        self._path, self._damaged = path, 0
        self._container = open_video(path)
        try:
            self._stream = picture_stream(self._container, path)
            self._stream.thread_type = "AUTO"
            self._step = self._stream.time_base.numerator
            self._decoded = self._decode()
            first = next(self._decoded, None)
            if first is None:
                raise UserError(f"video {path}: none of its frames can be decoded")
            self._first = first
            self._matrix = _matrix_of_display(first)
            self._height, self._width = self._reduced(first, long_edge)
            self.coding = self._coding(first)
            self.count = self._stream.frames or self._estimated_count()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """The frames in the order they are shown; can be called once.

        What is damaged is left out, and one warning says so at the end. Times increase strictly: where the file has
        none, or the same again, one follows from the frame before.

        Parameters
        ----------
        skip : int
            The number of frames to leave out at the start.
        """
        last: int | None = None
        for index, frame in enumerate(self._all()):
            last = self._time(frame, last)
            if index >= skip:
                yield Frame(self._pixels(frame), last)
        if self._damaged:
            LOGGER.warning(
                "video %s: damaged; packets that cannot be decoded are left out: %d", self._path, self._damaged
            )

    def _all(self) -> Iterator[av.VideoFrame]:
        yield self._first
        yield from self._decoded

    def _decode(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                decoded = packet.decode()
            except av.error.EOFError:
                return
            except av.FFmpegError:
                self._damaged += 1
                if self._damaged > 1000:  # there may be no end
                    return
                continue
            yield from decoded

    def _time(self, frame: av.VideoFrame, last: int | None) -> int:
        if frame.pts is not None:
            time = frame.pts * self._step
            return time if last is None else max(time, last + 1)
        return 0 if last is None else last + ticks(self.coding)

    def _pixels(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        if not frame.format.is_rgb:
            frame.colorspace = self.coding.colors.matrix
        plain: Any = frame.reformat(
            self._width, self._height, "rgb24", interpolation="BICUBIC", dst_color_range=FULL_RANGE, threads=1
        ).to_ndarray()
        return np.ascontiguousarray(upright(plain, self._matrix))

    def _reduced(self, frame: av.VideoFrame, long_edge: int | None) -> tuple[int, int]:
        if long_edge is None or max(frame.height, frame.width) <= long_edge:
            return frame.height, frame.width
        return images.fit(frame.height, frame.width, long_edge)

    def _coding(self, frame: av.VideoFrame) -> Coding:
        matrix = frame.colorspace
        if matrix not in _MATRICES:
            matrix = _BT709 if min(frame.height, frame.width) >= _HD else _BT601
        usual = matrix if matrix in (_BT709, 5, _BT601, 7) else _BT709
        colors = Colors(
            matrix,
            usual if frame.color_primaries in _UNSPECIFIED else frame.color_primaries,
            (_BT601 if usual == 5 else usual) if frame.color_trc in _UNSPECIFIED else frame.color_trc,
        )
        rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        aspect = self._stream.sample_aspect_ratio or Fraction(1)
        if _is_turned(self._matrix):
            aspect = 1 / aspect
        return Coding(Fraction(1, self._stream.time_base.denominator), rate, aspect, colors)

    def _estimated_count(self) -> int | None:
        if self._stream.duration:
            seconds = self._stream.duration * self._stream.time_base
        elif self._container.duration:
            seconds = Fraction(self._container.duration, av.time_base)
        else:
            return None
        return max(1, round(seconds * self.coding.rate))


def open_video(path: Path) -> Any:
    """Open a video file as a container of PyAV, which is to be closed.

    Raises UserError if there is no such file, or it is not a video; one line.
    """
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"video {path}: expected a file")
        return av.open(f"file:{path}", options={"format_whitelist": _READ_AS})
    except FileNotFoundError:
        raise UserError(f"video {path}: no such file") from None
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise UserError(f"video {path}: {error.strerror}") from None
        raise UserError(f"video {path}: damaged, or not a video ({', '.join(VIDEO_SUFFIXES)})") from None


def picture_stream(container: Any, path: Path) -> Any:
    """The stream of a container that has the frames.

    Raises UserError if there is none, or its codec is not known; `path` is for the message.
    """
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise UserError(f"video {path}: there are no pictures in it, only sound or other data")
    if stream.codec_context is None:
        raise UserError(f"video {path}: its codec is not known")
    return stream


def ticks(coding: Coding) -> int:
    """The usual time between frames."""
    return max(1, round(1 / (coding.rate * coding.time_base)))


def _matrix_of_display(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d of a frame's display matrix: the pixel (x, y) is shown at (a x + c y, b x + d y)."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), "=i4")[:5])
    return a, b, c, d


def _is_turned(matrix: tuple[int, int, int, int]) -> bool:
    return abs(matrix[1]) > abs(matrix[0])


def upright(pixels: NDArray[np.uint8], matrix: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Turn and mirror pixels (H, W, 3) as a display matrix says, to the nearest multiple of 90 degrees.

    Parameters
    ----------
    pixels : array (H, W, 3)
    matrix : a, b, c, d
        The pixel (x, y) is shown at (a x + c y, b x + d y).
    """
    a, b, c, d = matrix
    if _is_turned(matrix):
        pixels, right, down = pixels.transpose(1, 0, 2), c, b
    else:
        right, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]
