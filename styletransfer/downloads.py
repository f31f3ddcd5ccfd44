"""Downloads that are verified, converted and put in place, or leave nothing behind.

Only a download whose connection broke leaves something: its beginning, ``<name>.<source>.part`` beside the file it is
for, from which the next call goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

import models
from styletransfer import weights
from styletransfer.errors import UserError, nearest
from styletransfer.files import hashed, written_whole
from styletransfer.sources import Checksum, Kind, Source, Target

Say = Callable[[str], None]
Table = Mapping[str, Sequence[Target]]

_CHUNK = 1 << 14
_SECONDS_BETWEEN_LINES = 10.0
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, and how often it is asked again."""

    attempts: int = 3
    wait: float = 1.0  # seconds before the second attempt, twice as many before each further one
    connect: float = 10.0  # seconds for a connection to stand
    silence: float = 30.0  # seconds without a byte


class SourceFailed(Exception):
    """A source did not give the expected file.

    Parameters
    ----------
    again : bool
        Whether the same source may do better at once.
    keep : bool
        Whether what has come so far is good to go on from.
    """

    def __init__(self, reason: str, *, again: bool = False, keep: bool = False) -> None:
        super().__init__(reason)
        self.again = again
        self.keep = keep


def fetch(
    name: str, table: Table, say: Say, source: str | None = None, force: bool = False, patience: Patience | None = None
) -> None:
    """Download what `name` stands for, verify it, convert it and put it in place.

    Parameters
    ----------
    name : str
        A key of `table`.
    say : callable
        Takes the lines that tell the user what happens.
    source : str, optional
        The one source to use; else they are tried in turn.
    force : bool
        Replace what is there.

    Raises
    ------
    UserError
        If the name or the source is unknown, no source gives the file, something else is in its place, or it cannot
        be written.
    """
    for target in _find(name, table):
        chosen = _choose(target.sources, source)
        if force or not _is_present(target, say):
            _fetch_target(name, target, chosen, patience or Patience(), say)


def convert(name: str, table: Table, file: Path, say: Say, source: str | None = None, force: bool = False) -> None:
    """Verify and convert a file that was downloaded in another way, and put it in place.

    Raises
    ------
    UserError
        If the file is none of the files that the sources of `name` publish; else as :func:`fetch`.
    """
    candidates = [(target, s) for target in _find(name, table) for s in _choose(target.sources, source)]
    if not file.is_file():
        raise UserError(f"--from {file}: no such file")
    try:
        known = [(target, s) for target, s in candidates if s.checksum is not None and _matches(file, s.checksum)]
        target, recognised = known[0] if known else _without_checksum(name, file, candidates)
    except OSError as error:
        raise UserError(f"--from {file}: {error.strerror or error}") from None
    if force or not _is_present(target, say):
        with _writing(target.path):
            target.path.parent.mkdir(parents=True, exist_ok=True)
            _install(target, recognised, file, say)


def listing(table: Table) -> str:
    """The table as text, one line a source."""
    rows = [("name", "source", "size", "present", "file", "licence")]
    for name, targets in table.items():
        for target in targets:
            for s in target.sources:
                rows.append((name, s.name, megabytes(s.size), _presence(target), shown(target.path), s.licence))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def digest(file: Path, kind: Kind) -> str:
    """The sum of a file, as hexadecimal digits."""
    if kind == "md5":
        state = hashlib.md5(usedforsecurity=False)
    elif kind == "git blob sha1":
        state = hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False)
    else:
        state = hashlib.sha256()
    return hashed(file, state)


def download(source: Source, part: Path, patience: Patience, say: Say) -> None:
    """Download into the file `part`, going on from its end where an earlier download broke.

    Raises
    ------
    SourceFailed
        If it cannot be downloaded whole; `part` is then gone, unless it is the beginning to go on from.
    OSError
        If `part` cannot be written; it is then gone.
    UserError
        If another process is downloading it.
    """
    with part.open("ab") as stream:
        _lock(stream, part)
        if source.checksum is None:  # nothing would tell whether two halves belong together
            _empty(stream)
        try:
            _try_repeatedly(source, stream, patience, say)
            stream.flush()
        except BaseException as error:
            may_go_on = isinstance(error, KeyboardInterrupt) or (isinstance(error, SourceFailed) and error.keep)
            if not may_go_on or source.checksum is None or not stream.tell():
                part.unlink(missing_ok=True)
            raise


def megabytes(size: int) -> str:
    """A size for people: 0.7 MB."""
    return f"{size / 1e6:.1f} MB"


def shown(path: Path) -> str:
    """A path as a user would write it: relative to the current folder where it lies below it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _find(name: str, table: Table) -> Sequence[Target]:
    if name in table:
        return table[name]
    if name in models.names():
        raise UserError(f"there is nothing to fetch for {name}: {models.load(name).SPEC.how_to_get}")
    raise UserError(f"{name!r} cannot be fetched: {nearest(name, table)}")


def _choose(sources: Sequence[Source], name: str | None) -> Sequence[Source]:
    chosen = [source for source in sources if name in (None, source.name)]
    if not chosen:
        raise UserError(f"--source {name}: no such source: {nearest(str(name), (s.name for s in sources))}")
    return chosen


def _is_present(target: Target, say: Say) -> bool:
    """Whether the file is there and valid; raises UserError where something else is in its place."""
    if not target.path.exists():
        return False
    try:
        _check(target)
    except UserError as error:
        raise UserError(f"{error}; --force replaces it") from None
    say(f"{shown(target.path)} is there already; --force replaces it")
    return True


def _check(target: Target) -> None:
    """Raise UserError if the finished file is not what it should be."""
    if target.reader is not None:
        target.reader(target.path)
    elif not target.path.is_file() or not any(s.checksum and _matches(target.path, s.checksum) for s in target.sources):
        raise UserError(f"{shown(target.path)} is another file than the published one")


def _presence(target: Target) -> str:
    if not target.path.exists():
        return "no"
    try:
        _check(target)
    except UserError:
        return "invalid"
    return "yes"


def _fetch_target(name: str, target: Target, sources: Sequence[Source], patience: Patience, say: Say) -> None:
    failures = []
    for source in sources:
        part = target.path.with_name(f"{target.path.stem}.{source.name}.part")
        try:
            with _writing(target.path):
                target.path.parent.mkdir(parents=True, exist_ok=True)
                _fetch_from(target, source, part, patience, say)
            return
        except SourceFailed as error:
            failures.append(f"{source.name} ({urlsplit(source.url).hostname}): {error}")
            if source is not sources[-1]:
                say(f"{failures[-1]}; trying the next source")
    others = [source.name for source in target.sources if source not in sources]
    raise UserError(
        f"cannot fetch {name}: {'; '.join(failures)}. Without a connection, download {sources[0].url} elsewhere "
        f"and run `python scripts/fetch.py {name} --from FILE`"
        + (f", or try another --source: {', '.join(others)}" if others else "")
    )


def _fetch_from(target: Target, source: Source, part: Path, patience: Patience, say: Say) -> None:
    complete = part.exists() and source.checksum is not None and _matches(part, source.checksum)
    if not complete:
        if source.checksum is None:
            say(f"no checksum of {source.url} is published: only its form can be checked, not that it is unaltered")
        download(source, part, patience, say)
    try:
        if source.checksum is not None and not _matches(part, source.checksum):
            found = digest(part, source.checksum.kind)
            raise SourceFailed(
                f"not the expected file: its {source.checksum.kind} is {found}, not {source.checksum.digits}"
            )
        try:
            _install(target, source, part, say)
        except UserError as error:  # of a source without checksum, or whose reader is wrong
            raise SourceFailed(str(error)) from None
    finally:
        part.unlink(missing_ok=True)


def _install(target: Target, source: Source, file: Path, say: Say) -> None:
    """Convert a verified file, or copy it, into its place; UserError where it cannot be read."""
    if source.reader is not None:
        weights.save(target.path, source.reader(file))
    else:
        with file.open("rb") as original, written_whole(target.path) as stream:
            shutil.copyfileobj(original, stream)
    say(f"verified: {source.checksum}" if source.checksum else "not verified: no checksum of this file is published")
    say(f"wrote {shown(target.path)}")
    say(f"licence: {source.licence}")
    say(f"from: {source.credit}")


def _matches(file: Path, checksum: Checksum) -> bool:
    return digest(file, checksum.kind).startswith(checksum.digits)


def _without_checksum(name: str, file: Path, candidates: Sequence[tuple[Target, Source]]) -> tuple[Target, Source]:
    """The first source without a published checksum whose reader understands the file."""
    expected = [f"{_label(source)}: {source.checksum}" for _, source in candidates if source.checksum]
    for target, source in candidates:
        if source.checksum is None and source.reader is not None:
            try:
                source.reader(file)
                return target, source
            except UserError as error:
                expected.append(f"{_label(source)}: {error}")
    kinds = dict.fromkeys(source.checksum.kind for _, source in candidates if source.checksum)
    sums = ", ".join(
        f"{kind} {digest(file, kind)}" for kind in kinds if kind != "sha256 beginning" or "sha256" not in kinds
    )
    raise UserError(
        f"--from {file}: no file of {name} that can be used (it has {sums}); expected {'; '.join(expected)}"
    )


def _label(source: Source) -> str:
    return f"{source.url.rsplit('/', 1)[-1]} of {source.name}"


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {shown(path)}: {error.strerror or error}") from None


def _lock(stream: BinaryIO, part: Path) -> None:
    """Keep a second process from appending to the same file, where the file system can."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"{shown(part)} is being downloaded by another process") from None
    except OSError:  # no locks on this file system
        pass


def _empty(stream: BinaryIO) -> None:
    stream.truncate(0)
    stream.seek(0)  # so that tell() is right; what is appended goes to the end in any case


def _try_repeatedly(source: Source, stream: BinaryIO, patience: Patience, say: Say) -> None:
    for attempt in range(patience.attempts):
        try:
            return _attempt(source, stream, patience, say)
        except SourceFailed as error:
            if not error.again or attempt == patience.attempts - 1:
                raise
            wait = patience.wait * 2**attempt
            say(f"{error}; trying again in {wait:g} s")
            time.sleep(wait)


def _attempt(source: Source, stream: BinaryIO, patience: Patience, say: Say) -> None:
    """Ask the server once, for what is not there yet, and append what it sends."""
    offset = stream.tell()
    headers = {"Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    say(f"downloading {source.url} ({megabytes(source.size)}" + (f", from {megabytes(offset)} on)" if offset else ")"))
    try:
        timeout = (patience.connect, patience.silence)
        with requests.get(source.url, headers=headers, stream=True, timeout=timeout) as response:
            _check_response(response, stream)
            with _progress(source.size, stream.tell(), say) as advance:
                for chunk in response.iter_content(_CHUNK):
                    if stream.tell() + len(chunk) > source.limit:
                        raise SourceFailed(f"it sends more than {megabytes(source.limit)}")
                    stream.write(chunk)
                    advance(len(chunk))
    except requests.RequestException as error:
        transient = isinstance(
            error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        )
        never_reached = bool(error.args) and isinstance(error.args[0], urllib3.exceptions.MaxRetryError)
        raise SourceFailed(_reason(error, patience), again=transient and not never_reached, keep=transient) from None


def _check_response(response: requests.Response, stream: BinaryIO) -> None:
    """Raise SourceFailed unless the answer goes on at the end of `stream`; empty that where it starts anew."""
    offset = stream.tell()
    status = response.status_code
    if status == requests.codes.ok:
        _empty(stream)
        return
    goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
    if status == requests.codes.partial_content and goes_on:
        return
    if status in (requests.codes.partial_content, requests.codes.requested_range_not_satisfiable):
        _empty(stream)
        raise SourceFailed("it sent another part of the file than the one asked for", again=True, keep=True)
    passing = status == _TOO_MANY_REQUESTS or status >= requests.codes.internal_server_error
    raise SourceFailed(f"it answered {status} {response.reason}".rstrip(), again=passing, keep=passing)


@contextlib.contextmanager
def _progress(total: int, done: int, say: Say) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, elsewhere a line now and then; yields what to call with every number of new bytes."""
    last = time.monotonic()
    with tqdm(
        total=total, initial=done, unit="B", unit_scale=True, leave=False, disable=not sys.stderr.isatty()
    ) as bar:

        def advance(count: int) -> None:
            nonlocal done, last
            done += count
            bar.update(count)
            if bar.disable and time.monotonic() - last > _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                say(f"{megabytes(done)} of {megabytes(total)}")

        yield advance


def _reason(error: requests.RequestException, patience: Patience) -> str:
    """What went wrong, in a few words: requests buries it under the names of its classes."""
    causes = list(_causes(error))
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {patience.connect:g} s"
    if any(isinstance(cause, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)) for cause in causes):
        return f"it sent nothing for {patience.silence:g} s"
    for cause in causes:
        if isinstance(cause, urllib3.exceptions.IncompleteRead):
            return f"the connection ended {cause.expected} bytes too early"
    for cause in reversed(causes):
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return cause.strerror or str(cause)
    return str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made from."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and not any(cause is other for other in seen):
            seen.append(cause)
            waiting += [*cause.args, cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
    yield from seen
