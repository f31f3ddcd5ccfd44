"""Download pretrained weights and example images, verify them, convert them and put them in place.

Files are written atomically, and a failed download leaves no partial file. They are put into the project, even if the
package is installed; if it is not writable, one line says so, and a config may name weights in another folder.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pooch
from requests import RequestException

import models
from styletransfer import weights
from styletransfer.support import overwriting
from styletransfer.support.errors import UserError, nearest, reason_of
from styletransfer.support.files import atomic_write, hashed
from styletransfer.weights import package_index
from styletransfer.weights.npz import ZIP_DAMAGE
from styletransfer.weights.sources import Checksum, Source, Target

Say = Callable[[str], None]
Table = Mapping[str, Sequence[Target]]

_TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between bytes received

pooch.get_logger().setLevel("WARNING")  # progress is reported through `say`


def fetch(name: str, table: Table, say: Say, source: str | None = None, force: bool = False) -> None:
    """Download the files listed under a name, verify and convert them, and put them in place.

    Raises UserError if a name is unknown, no source works, a different file is in place, or the file cannot be
    written.

    Parameters
    ----------
    name : str
        A key of `table`.
    table : mapping
        The targets of every name, as :func:`styletransfer.weights.sources.catalogue` returns them.
    say : callable
        Receives the lines to show to the user.
    source : str, optional
        The only source to use; by default all are tried in turn.
    force : bool
        Replace existing files.
    """
    for target in _find(name, table):
        chosen = _choose(target.sources, source)
        if force or not _is_present(target, say):
            _fetch_target(name, target, chosen, say)


def convert(name: str, table: Table, file: Path, say: Say, source: str | None = None, force: bool = False) -> None:
    """Verify and convert a file that was downloaded by other means, and put it in place.

    Raises UserError if no source of `name` publishes this file; otherwise as for :func:`fetch`.
    """
    candidates = [(target, s) for target in _find(name, table) for s in _choose(target.sources, source)]
    if not file.is_file():
        raise UserError(f"--from {file}: no such file")
    mismatches = []
    for target, candidate in candidates:
        try:
            contents = _read(candidate, file)
        except UserError as error:
            mismatches.append(f"{candidate.file} from {candidate.name}: {error}")
            continue
        overwriting.check([target.path], {"--from": file}, force=True)
        if force or not _is_present(target, say):
            _write(target, candidate, contents, say)
        return
    raise UserError(f"--from {file}: not a known file of {name}; {'; '.join(mismatches)}")


def listing(table: Table) -> str:
    """Format the table as text, one line per source."""
    rows = [("name", "source", "size", "what", "present", "file", "licence")]
    for name, targets in table.items():
        for target in targets:
            present, path = _presence(target), os.path.relpath(target.path)
            rows += [(name, s.name, f"{s.size / 1e6:.1f} MB", s.what, present, path, s.licence) for s in target.sources]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


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


def _presence(target: Target) -> str:
    """``yes``, ``no``, or ``invalid`` if a different file is in place."""
    if not target.path.exists():
        return "no"
    read = target.reader or partial(_read, target.sources[0])  # a file without a reader is stored as published
    try:
        read(target.path)
    except (UserError, OSError):
        return "invalid"
    return "yes"


def _is_present(target: Target, say: Say) -> bool:
    presence = _presence(target)
    if presence == "invalid":
        raise UserError(f"{os.path.relpath(target.path)} is not the expected file; use --force to replace it")
    if presence == "yes":
        say(f"{os.path.relpath(target.path)} already exists; use --force to replace it")
    return presence == "yes"


def _fetch_target(name: str, target: Target, sources: Sequence[Source], say: Say) -> None:
    """Put a file in place from the first source that provides it."""
    failures = []
    for source in sources:
        try:
            target.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.path.parent, prefix=".", suffix=".part") as folder:
                _write(target, source, _read(source, _download(source, folder, say)), say)
            return
        except UserError as error:
            failures.append(f"{source.name} ({source.place}): {error}")
            if source is not sources[-1]:
                say(f"{failures[-1]}; trying the next source")
        except OSError as error:
            raise UserError(f"cannot write {os.path.relpath(target.path)}: {reason_of(error)}") from None
    raise UserError(
        f"cannot fetch {name}: {'; '.join(failures)}. Without a connection, {sources[0].elsewhere} elsewhere "
        f"and run `python scripts/fetch.py {name} --from FILE`; --list shows all sources"
    )


def _download(source: Source, folder: str, say: Say) -> Path:
    """Download a file into a folder; a network error is raised as a UserError with its original cause."""
    say(f"downloading {source.url} from {source.place} ({source.size / 1e6:.1f} MB)")
    if source.is_package:
        return package_index.download(source.url, Path(folder))
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=_TIMEOUT)
    registry = {source.file: None}  # no checksum here: pooch does not know all kinds, so `_read` verifies them
    files = pooch.Pooch(folder, base_url="", registry=registry, urls={source.file: source.url}, retry_if_failed=1)
    try:
        return Path(files.fetch(source.file, downloader=downloader))
    except RequestException as error:
        cause: BaseException = error
        while cause.__context__ is not None:  # wrapped by requests and urllib3
            cause = cause.__context__
        raise UserError(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__) from None


def _read(source: Source, file: Path) -> weights.Parameters | bytes:
    """Verify a downloaded file and return its contents, converted; a wrong file is a UserError."""
    if source.checksum is not None:
        digits = _digits(file, source.checksum)
        if digits != source.checksum.digits:
            raise UserError(f"wrong checksum: expected {source.checksum}, found {digits}")
    if source.member is not None:
        with tempfile.TemporaryDirectory() as folder:
            return _read(source.unpacked, _unpack(file, source.member.path, folder))
    return source.reader(file) if source.reader is not None else file.read_bytes()


def _unpack(file: Path, member: str, folder: str) -> Path:
    try:
        with zipfile.ZipFile(file) as archive:
            return Path(archive.extract(member, folder))
    except (KeyError, *ZIP_DAMAGE) as error:
        raise UserError(f"it has no {member} ({error})") from None


def _digits(file: Path, checksum: Checksum) -> str:
    """The checksum of a file, of the same kind and length as a published one."""
    if checksum.kind == "git blob sha1":
        return hashed(file, hashlib.sha1(b"blob %d\0" % file.stat().st_size, usedforsecurity=False))
    algorithm = "md5" if checksum.kind == "md5" else "sha256"
    return pooch.file_hash(str(file), alg=algorithm)[: len(checksum.digits)]


def _write(target: Target, source: Source, contents: weights.Parameters | bytes, say: Say) -> None:
    target.path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(contents, bytes):
        with atomic_write(target.path) as stream:
            stream.write(contents)
    else:
        weights.save(target.path, contents)
    say(f"verified: {source.checksum}" if source.checksum else "not verified: no checksum is published for this file")
    say(f"wrote {os.path.relpath(target.path)}")
    say(f"licence: {source.licence}")
    say(f"credit: {source.credit}")
