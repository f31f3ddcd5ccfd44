"""Pictures in a trained style: the plan of what is made from what, and threads that read and write meanwhile."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from styletransfer.engines import is_out_of_memory
from styletransfer.feedforward.jobs import Job, is_video
from styletransfer.pictures import images, marks
from styletransfer.pictures.folders import list_pictures
from styletransfer.pictures.formats import JPEG, VIDEO_RESULT
from styletransfer.pictures.images import Picture
from styletransfer.support import overwriting
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.files import DISK

LOGGER = logging.getLogger(__name__)
_WRITTEN_AS = (*JPEG, ".png")
_AHEAD = 2  # pictures that are read before they are needed, and written behind


def plan(sources: Sequence[Path], output: Path | None, style: str, force: bool, resume: bool) -> list[Job]:
    """Plan the results: a file from a file, or a folder from a folder or several files.

    Raises UserError if a source does not exist, a folder has no pictures or videos, or a result exists or is a
    source.

    Parameters
    ----------
    sources : files, or one folder
        Pictures and videos.
    output : Path, optional
        A file (.jpg or .png, or .mp4 for a video) for one file; else a folder. There, results have the names of their
        sources, with the suffix .jpg or .png, or .mp4. By default, the result of one file is beside it, with the name
        of the style in its name.
    style : str
        The name of the style.
    force : bool
        Whether existing results may be overwritten.
    resume : bool
        Whether existing results are kept, and unfinished videos continued.
    """
    sources = list({path.absolute(): path for path in sources}.values())
    files, one = _files(sources), len(sources) == 1 and not sources[0].is_dir()
    if output is None:
        if not one:
            raise UserError("--output is missing: expected a folder, for several pictures or videos")
        named = re.sub(r"[^\w.-]+", "_", style)
        jobs = [Job(files[0], files[0].with_name(f"{files[0].stem}_{named}{_suffix(files[0])}"))]
    elif one and output.suffix.lower() in _written_as(files[0]) and not output.is_dir():
        jobs = [Job(files[0], output)]
    elif output.suffix and not output.is_dir():
        written = " or ".join(_written_as(files[0])) if one else "a folder, for several pictures"
        raise UserError(f"--output {output}: expected {written}")
    else:
        jobs = [Job(file, output / f"{file.stem}{_suffix(file)}") for file in files]
    targets: dict[Path, Path] = {}
    for job in jobs:
        if job.target in targets:
            raise UserError(f"{job.source} and {targets[job.target]} would both become {job.target}; rename one")
        targets[job.target] = job.source
    overwriting.check(targets, {str(job.source): job.source for job in jobs}, force=True)
    if not force and not resume:
        _check_targets(jobs)
    return [job for job in jobs if not resume or not job.is_there or job.is_begun]


def _check_targets(jobs: Sequence[Job]) -> None:
    """Raise a UserError if a result exists, finished or not."""
    there = [job for job in jobs if job.is_there]
    if there:
        which = f"{there[0].target} exists" if len(there) == 1 else f"{there[0].target} and {len(there) - 1} more exist"
        raise UserError(f"{which} already; --force overwrites, --resume makes the missing ones")
    for job in jobs:
        if job.is_begun:
            raise UserError(f"{job.target} is unfinished; --resume continues, --force starts over")


def _files(sources: Sequence[Path]) -> list[Path]:
    if len(sources) == 1 and sources[0].is_dir():
        return list_pictures(sources[0], "folder ", videos=True)
    for source in sources:
        if source.is_dir():
            raise UserError(f"folder {source}: expected one folder, or files")
        if not source.exists():
            raise UserError(f"{'video' if is_video(source) else 'picture'} {source}: no such file")
    return list(sources)


def _written_as(file: Path) -> tuple[str, ...]:
    """The suffixes allowed for a result."""
    return (VIDEO_RESULT,) if is_video(file) else _WRITTEN_AS


def _suffix(file: Path) -> str:
    """The suffix of a result for which none is given."""
    if is_video(file):
        return VIDEO_RESULT
    return file.suffix if file.suffix.lower() in _WRITTEN_AS else ".png"


def make(
    jobs: Sequence[Job], stylise: Callable[[Picture], Picture], long_edge: int | None, done: Callable[[Job], None]
) -> list[str]:
    """Make all pictures; the next ones are read, and the last ones written, while the network computes.

    Raises OSError if the disk is full, or has another fault that the other pictures would meet too.

    Parameters
    ----------
    jobs : sequence of Job
        Of pictures.
    stylise : callable
        From picture to picture; called in this thread.
    long_edge : int, optional
        The long edge to which longer pictures are resized first.
    done : callable
        Called with every job whose result has been written.

    Returns
    -------
    list of str
        One line about every picture that could not be read, processed or written; the others are made.
    """

    def read(job: Job) -> Picture:
        return images.reduce_to(images.read(job.source), long_edge)

    def write(job: Job, picture: Picture) -> None:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        images.write(job.target, picture, mark=marks.STYLISED)

    def finish(job: Job, written: Future[None]) -> None:
        with collect_errors(job, problems):
            written.result()
            done(job)

    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=2) as threads:
        writing: deque[tuple[Job, Future[None]]] = deque()
        try:
            for job, reading in _ahead(threads, read, jobs):
                with collect_errors(job, problems):
                    writing.append((job, threads.submit(write, job, stylise(reading.result()))))
                while len(writing) > _AHEAD:
                    finish(*writing.popleft())
            while writing:
                finish(*writing.popleft())
        except BaseException:
            threads.shutdown(wait=True, cancel_futures=True)
            raise
    return problems


@contextlib.contextmanager
def collect_errors(job: Job, problems: list[str]) -> Iterator[None]:
    """Collect errors that concern one picture or video alone, each as a line; the others are still made."""
    try:
        yield
    except UserError as error:
        problems.append(str(error))
    except BrokenPipeError:  # nobody reads the output
        raise
    except OSError as error:
        if error.errno in DISK:
            raise
        problems.append(f"{job.target}: {reason_of(error)}")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        problems.append(f"{job.source}: out of memory")


def _ahead(
    threads: ThreadPoolExecutor, read: Callable[[Job], Picture], jobs: Sequence[Job]
) -> Iterator[tuple[Job, Future[Picture]]]:
    """Yield every job with its picture, while the next few are being read."""
    waiting: deque[tuple[Job, Future[Picture]]] = deque()
    for job in jobs:
        waiting.append((job, threads.submit(read, job)))
        if len(waiting) > _AHEAD:
            yield waiting.popleft()
    yield from waiting
