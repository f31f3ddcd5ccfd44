"""Videos in a trained style: threads decode and encode while the network computes, and what is finished is kept.

Beside the result, a hidden folder has the frames that are finished. Every ``PART`` of them are encoded as one part,
which replaces them; at the end the parts are joined with the sound of the source, without being encoded again.

```text
.clip_night.mp4.parts/
  video.json               the source, the style and the options
  00000000-00000047.nut    frames 0 to 47, encoded
  00000048.npz             frame 48, its planes and its time
```

Every file is written atomically and depends only on its frames, so a video that was interrupted anywhere, and resumed,
is that of one that was not.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from styletransfer.feedforward import shots
from styletransfer.feedforward.folders import collect_errors
from styletransfer.feedforward.jobs import RECORD, Job
from styletransfer.feedforward.progress import FrameProgress
from styletransfer.pictures import images, video_writing
from styletransfer.pictures.images import Picture
from styletransfer.pictures.video_files import Coding, Frame, Reader
from styletransfer.support.errors import Interrupted, UserError
from styletransfer.support.files import atomic_write, hashed, remove_unfinished
from styletransfer.support.optional import UntilItFails

PART = 48  # frames
_AHEAD = 2  # frames that are decoded before they are needed, and written behind


def make(
    jobs: Sequence[Job],
    stylise: Callable[[Picture], Picture],
    long_edge: int | None,
    settings: Mapping[str, Any],
    resume: bool,
    stopped: Event,
    done: Callable[[Job], None],
) -> list[str]:
    """Make all videos, one after the other; the next frames are decoded, and the last ones encoded, meanwhile.

    Raises Interrupted if a video was stopped. Raises OSError if the disk is full, or has another fault that the
    other videos would meet too.

    Parameters
    ----------
    jobs : sequence of Job
        Of videos.
    stylise : callable
        From picture to picture; called in this thread.
    long_edge : int, optional
        The long edge to which longer frames are reduced.
    settings : dict of JSON values
        What must be the same when a video is resumed, by the names of the options.
    resume : bool
        Whether to continue unfinished videos. If not, their parts are removed.
    stopped : Event
        Once it is set, the video ends after the current frame.
    done : callable
        Called with every job whose result has been written.

    Returns
    -------
    list of str
        One line about every video that could not be read, processed or written, or has other settings; the others are
        made.
    """
    problems: list[str] = []
    for job in jobs:
        with collect_errors(job, problems):
            _make(job, stylise, long_edge, settings, resume, stopped)
            done(job)
    return problems


def _make(
    job: Job,
    stylise: Callable[[Picture], Picture],
    long_edge: int | None,
    settings: Mapping[str, Any],
    resume: bool,
    stopped: Event,
) -> None:
    with Reader(job.source, long_edge) as video:
        settings = {**settings, "video": hashed(job.source, hashlib.sha256()), "encoder": video_writing.ENCODED_BY}
        job.target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(job) as folder, contextlib.ExitStack() as stack:
            parts = _Parts(folder, video.coding)
            parts.begin(settings, resume)
            shown = UntilItFails("progress bar", lambda: FrameProgress(job.source.name, parts.finished, video.count))
            stack.callback(shown.close)
            try:
                _make_frames(job.source, video, parts, stylise, stopped, shown)
                parts.end(job.source, job.target)
            except UserError:
                if not parts.finished:
                    parts.remove()
                raise


@contextlib.contextmanager
def _locked(job: Job) -> Iterator[Path]:
    """Lock the folder of the parts against other processes."""
    folder = job.parts
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{job.target} is being made by another process") from None
    else:
        yield folder
    finally:
        os.close(descriptor)


def _make_frames(
    path: Path,
    video: Reader,
    parts: _Parts,
    stylise: Callable[[Picture], Picture],
    stopped: Event,
    shown: UntilItFails,
) -> None:
    def write(index: int, picture: Picture, time: int) -> None:
        parts.add(index, images.to_bytes(picture), time)

    done = parts.finished
    begin = getattr(stylise, "begin_shot", None)
    cuts = set(shots.starts(path)) if begin else set()
    number = max((cut for cut in cuts if cut <= done), default=done)  # of the frame; a shot's first is seen again
    with ThreadPoolExecutor(max_workers=1) as decoding, ThreadPoolExecutor(max_workers=1) as encoding:
        frames = video.frames(skip=number)
        ahead: deque[Future[Frame | None]] = deque(decoding.submit(next, frames, None) for _ in range(_AHEAD))
        writing: deque[Future[None]] = deque()
        try:
            while not stopped.is_set() and (frame := ahead.popleft().result()) is not None:
                ahead.append(decoding.submit(next, frames, None))
                if begin and number in cuts:
                    begin()
                if number >= done or number in cuts:
                    result = stylise(frame.pixels.astype(np.float32) / 255)
                if number >= done:
                    writing.append(encoding.submit(write, done, result, frame.time))
                    if len(writing) > _AHEAD:
                        writing.popleft().result()
                    done += 1
                    shown.update(done)
                number += 1
            while writing:
                writing.popleft().result()
        except BaseException:
            encoding.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            decoding.shutdown(wait=True, cancel_futures=True)
    if stopped.is_set():
        raise Interrupted(f"interrupted after {done} frames, which are kept: run again with --resume")


class _Parts:
    """The finished frames of a video, in a folder."""

    def __init__(self, folder: Path, coding: Coding) -> None:
        self._folder, self._coding = folder, coding

    def begin(self, settings: Mapping[str, Any], resume: bool) -> None:
        """Keep the finished frames of an earlier run that is resumed, or remove them."""
        record = self._folder / RECORD
        if resume and record.is_file():
            _check(record, settings)
            remove_unfinished(self._folder)
            encoded = self._encoded()
            for frame in self._frames():
                if int(frame.stem) < encoded:  # the process was killed before it removed them
                    frame.unlink()
            return
        self._empty()
        with atomic_write(record) as stream:
            stream.write(json.dumps(settings, indent=1).encode())

    @property
    def finished(self) -> int:
        """The number of frames."""
        return self._encoded() + len(self._frames())

    def add(self, index: int, pixels: Any, time: int) -> None:
        """Keep a frame, the one after those that are there."""
        planes = video_writing.planes(pixels, self._coding.colors)
        data = io.BytesIO()  # np.savez does not close its file when the disk is full
        np.savez(data, planes=planes, time=time)
        with atomic_write(self._folder / f"{index:08d}.npz") as stream:
            stream.write(data.getvalue())
        if (index + 1) % PART == 0:
            self._encode()

    def end(self, source: Path, target: Path) -> None:
        """Write the video and remove the folder."""
        if self._frames():
            self._encode()
        video_writing.join(target, self._parts(), source, self._coding)
        self.remove()

    def remove(self) -> None:
        """Remove the folder."""
        self._empty()
        with contextlib.suppress(OSError):  # it has something else in it
            self._folder.rmdir()

    def _empty(self) -> None:
        """Remove the record, and then the frames."""
        (self._folder / RECORD).unlink(missing_ok=True)
        remove_unfinished(self._folder)
        for path in (*self._parts(), *self._frames()):
            path.unlink()

    def _encode(self) -> None:
        """Encode the frames as a part."""
        frames = self._frames()
        with atomic_write(self._folder / f"{frames[0].stem}-{frames[-1].stem}.nut") as stream:
            video_writing.encode(stream, map(_frame, frames), self._coding)
        for frame in frames:
            frame.unlink()

    def _encoded(self) -> int:
        parts = self._parts()
        return int(parts[-1].stem.partition("-")[2]) + 1 if parts else 0

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.nut"))

    def _frames(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.npz"))


def _frame(path: Path) -> tuple[Any, int]:
    with np.load(path, allow_pickle=False) as stored:
        return stored["planes"], int(stored["time"])


def _check(record: Path, settings: Mapping[str, Any]) -> None:
    """Raise a UserError if an unfinished video has other settings."""
    try:
        begun = json.loads(record.read_bytes())
    except ValueError:
        begun = {}
    for name in settings:
        if name not in begun or begun[name] != settings[name]:
            raise UserError(f"--resume: {name} has changed since {record.parent} was started; start over with --force")
