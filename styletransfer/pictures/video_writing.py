"""Video files: writing frames in parts, and joining them with the sound of the source, with FFmpeg's libraries."""

from __future__ import annotations

import contextlib
import heapq
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from styletransfer.pictures import marks
from styletransfer.pictures.video_files import FULL_RANGE, Coding, Colors, open_video, picture_stream, ticks
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import atomic_write

LOGGER = logging.getLogger(__name__)

_PIXELS = "yuv420p"  # all players can show it
# Without B-frames, packets are in the order of the frames: parts that were encoded one by one are joined as they are.
# One thread: with more, a busy machine now and then yields other bytes. A short lookahead, as frames are held for it.
_ENCODER = "libx264"
_ENCODING = {"preset": "medium", "crf": "18", "bf": "0", "threads": "1", "x264-params": "rc-lookahead=12"}
ENCODED_BY = f"{_ENCODER} of PyAV {av.__version__}, {_ENCODING}"  # parts that differ in it cannot be joined
_LIMITED_RANGE = 1
_SOUND_KEPT = ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac")  # players play these in MP4
_AAC_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1")
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


def planes(pixels: NDArray[np.uint8], colors: Colors) -> NDArray[np.uint8]:
    """The planes Y, Cb and Cr, in limited range and with half the chroma's resolution, as they are encoded.

    Sides must be even for that: the last row or column of an odd size is repeated.

    Parameters
    ----------
    pixels : array (H, W, 3), RGB, 0..255

    Returns
    -------
    array (3 H / 2, W), H and W even
    """
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(even, "rgb24")
    frame.colorspace = colors.matrix
    coded: Any = frame.reformat(
        format=_PIXELS, src_color_range=FULL_RANGE, dst_color_range=_LIMITED_RANGE, threads=1
    ).to_ndarray()
    return coded


def encode(stream: BinaryIO, frames: Iterable[tuple[NDArray[np.uint8], int]], coding: Coding) -> None:
    """Encode a part of a video, which :func:`join` joins with others.

    Raises OSError if it cannot be written.

    Parameters
    ----------
    stream : binary file
    frames : iterable of (planes, time)
        The planes of each frame, and its time.
    """
    with av.open(stream, "w", format="nut") as container:
        video: Any = None
        for values, time in frames:
            frame = av.VideoFrame.from_ndarray(values, _PIXELS)
            if video is None:
                video = _encoder(container, frame.width, frame.height, coding)
            frame.pts, frame.time_base = time, coding.time_base
            frame.colorspace, frame.color_range = coding.colors.matrix, _LIMITED_RANGE
            container.mux(video.encode(frame))
        container.mux(video.encode())


def _encoder(container: Any, width: int, height: int, coding: Coding) -> Any:
    video = container.add_stream(_ENCODER, rate=coding.rate.limit_denominator(100_000), options=dict(_ENCODING))
    video.width, video.height, video.pix_fmt = width, height, _PIXELS
    context = video.codec_context
    video.time_base = context.time_base = coding.time_base
    context.sample_aspect_ratio = coding.aspect
    context.color_range, context.colorspace = _LIMITED_RANGE, coding.colors.matrix
    context.color_primaries, context.color_trc = coding.colors.primaries, coding.colors.transfer
    return video


def join(target: Path, parts: Sequence[Path], source: Path, coding: Coding) -> None:
    """Write the parts of a video one after the other, with the sound of the source, as an MP4 file.

    Sound is copied packet by packet. If it is of a kind that players of MP4 do not play, it is encoded as AAC, which is
    logged. If it cannot be read or written, it is left out with a warning. Nothing is written to `target` until all is
    done.

    Raises UserError if FFmpeg cannot write the video. Raises OSError if the file cannot be written.

    Parameters
    ----------
    parts : sequence of Path
        Written by :func:`encode`.
    source : Path
        The video whose sound it gets.
    """
    with atomic_write(target) as stream:
        try:
            try:
                with open_video(source) as sound:
                    _write(stream.name, parts, source, coding, sound)
            except Exception as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                LOGGER.warning("video %s: its sound is left out: %s", source, reason_of(error))
                _write(stream.name, parts, source, coding, None)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror) from None
            raise UserError(f"video {target}: cannot be written: {reason_of(error)}") from None


def _write(name: str, parts: Sequence[Path], source: Path, coding: Coding, sound: Any) -> None:
    """Write the parts with the sound of the source, an open container, or without."""
    options = {"movflags": "+faststart", "movie_timescale": str(coding.time_base.denominator)}
    with (
        av.open(f"file:{name}", "w", format="mp4", container_options=options) as container,
        av.open(f"file:{parts[0]}") as first,
    ):
        container.metadata[marks.VIDEO_KEY] = marks.text(marks.STYLISED)
        pictures: Any = container.add_stream_from_template(first.streams.video[0], opaque=True)
        pictures.time_base = coding.time_base
        packets = [_pictures(parts, pictures, coding, _last_duration(sound and picture_stream(sound, source), coding))]
        if sound is not None:
            packets.append(_packets(sound, _sounds(container, sound, source)))
        for packet in heapq.merge(*packets, key=lambda found: found.dts * found.time_base):
            container.mux(packet)


def _last_duration(stream: Any, coding: Coding) -> Callable[[int], int]:
    """Make the function from the time of the last frame to its duration."""

    def duration(time: int) -> int:
        if stream is not None and stream.duration is not None:
            end = ((stream.start_time or 0) + stream.duration) * stream.time_base.numerator
            if 0 < (end - time) * coding.time_base < 10:
                return end - time
        return ticks(coding)

    return duration


def _pictures(parts: Sequence[Path], out: Any, coding: Coding, last: Callable[[int], int]) -> Iterator[Any]:
    """The packets of all parts, in order."""
    for part in parts:
        with av.open(f"file:{part}") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is not None:  # the last, empty packet has none
                    time = int(packet.pts * packet.time_base / coding.time_base)  # NUT has a finer time base
                    packet.pts = packet.dts = time
                    packet.time_base = coding.time_base
                    packet.duration = last(time)  # MP4 uses that of the last packet only
                    packet.stream = out
                    yield packet


def _sounds(container: Any, source: Any, path: Path) -> dict[int, Any]:
    """The streams of sound to be written, by the index of that in the source; they have an encoder if one is needed."""
    outputs = {}
    for stream in source.streams.audio:
        name = stream.codec_context.name if stream.codec_context is not None else "of an unknown kind"
        if stream.codec_context is None:
            LOGGER.warning("video %s: its sound is %s and is left out", path, name)
            continue
        if _kind(stream) in _SOUND_KEPT:
            out = container.add_stream_from_template(stream)
        else:
            LOGGER.warning("video %s: its sound (%s) does not fit into MP4 and is encoded as AAC", path, name)
            rate = stream.codec_context.sample_rate
            out = container.add_stream("aac", rate=rate if rate in _AAC_RATES else 48000)
            layout = stream.codec_context.layout
            usual = "mono" if layout.nb_channels == 1 else "stereo"  # old files do not say which channels they have
            out.codec_context.layout = layout.name if layout.name in _AAC_LAYOUTS else usual
            out.codec_context.bit_rate = 96_000 * layout.nb_channels
        out.metadata.update({key: text for key, text in stream.metadata.items() if key == "language"})
        outputs[stream.index] = out
    return outputs


def _kind(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name


def _packets(source: Any, sounds: dict[int, Any]) -> Iterator[Any]:
    """The packets of all sounds, copied or encoded, in the order of the file; their times increase."""
    last: dict[int, int] = {}
    streams = [stream for stream in source.streams.audio if stream.index in sounds]
    if not streams:
        return
    for packet in source.demux(streams):
        stream = packet.stream
        out = sounds[stream.index]
        if _kind(stream) not in _SOUND_KEPT:
            yield from _reencoded(packet, out)
        elif packet.size and packet.dts is not None:
            before = last.get(stream.index)
            if before is not None and packet.dts <= before:
                packet.dts = before + 1
            if packet.pts is None or packet.pts < packet.dts:
                packet.pts = packet.dts
            last[stream.index] = packet.dts
            packet.stream = out
            yield packet


def _reencoded(packet: Any, out: Any) -> Iterator[Any]:
    with contextlib.suppress(av.error.InvalidDataError):  # damaged: left out
        for frame in packet.decode():
            yield from out.encode(frame)
    if not packet.size:  # the end
        yield from out.encode()
