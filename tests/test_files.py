"""Atomic writes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tracemalloc

import pytest
from processes import output_of

from styletransfer.support.files import atomic_write, hashed, remove, remove_unfinished


def write(path, content=b"new"):
    with atomic_write(path) as stream:
        stream.write(content)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_exists_once_the_block_has_ended(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as stream:
        stream.write(b"one ")
        assert not path.exists()
        stream.write(b"two")
    assert path.read_bytes() == b"one two"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_file_replaces_another(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")
    with atomic_write(str(path)) as stream:
        stream.write(b"after")
        stream.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_no_file(tmp_path, error):
    (tmp_path / "old").write_bytes(b"before")
    for name in ("new", "old"):
        with pytest.raises(error), atomic_write(tmp_path / name) as stream:
            stream.write(b"half")
            raise error
    assert names_in(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"before"


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch, call):
    (tmp_path / "a").write_bytes(b"before")

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a")
    monkeypatch.undo()
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


def test_a_disk_that_fills_up_leaves_no_file(tmp_path):
    """A limit on the size of files simulates the full disk."""
    found = output_of(
        "import pathlib, resource, signal, sys\n"
        "from styletransfer.support.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "for size in (1000, 1001, 1_000_000):\n"
        "    try:\n"
        "        with atomic_write(folder / f'{size}') as stream:\n"
        "            stream.write(bytes(size))\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
    )
    assert found.splitlines() == ["File too large"] * 2
    assert names_in(tmp_path) == ["1000"]


def test_a_large_file_is_hashed_in_chunks(tmp_path):
    path, size = tmp_path / "large", 48_000_000
    with path.open("wb") as stream:
        stream.truncate(size)
    expected = hashlib.sha256(bytes(size)).hexdigest()
    tracemalloc.start()
    try:
        assert hashed(path, hashlib.sha256()) == expected
        assert tracemalloc.get_traced_memory()[1] < size / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "a")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_a_missing_folder_or_a_file_instead_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("absent", "file"):
        with pytest.raises(OSError):
            write(tmp_path / folder / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "folder")
    assert names_in(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    "name", ["a b", "-a", "ü" * 60, "a.b.c", ".hidden", "n" * 244, "ü" * 127, "n" * 255, os.fsdecode(b"\xff" * 250)]
)
def test_any_name(tmp_path, name):
    write(tmp_path / name)
    assert names_in(tmp_path) == [name]


def test_an_unfinished_file_of_any_name_is_removed(tmp_path):
    path = tmp_path / ("ü" * 127)
    with pytest.raises(KeyboardInterrupt), atomic_write(path):
        (left,) = names_in(tmp_path)
        raise KeyboardInterrupt
    (tmp_path / left).touch()
    remove_unfinished(tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_is_written_through(tmp_path, there):
    (tmp_path / "real").mkdir()
    if there:
        write(tmp_path / "real" / "a", b"before")
    (tmp_path / "second").symlink_to("real/a")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    write(tmp_path / "first")
    assert (tmp_path / "first").is_symlink() and (tmp_path / "second").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"
    assert names_in(tmp_path / "real") == ["a"]
    remove(tmp_path / "first")
    assert names_in(tmp_path / "real") == [] and (tmp_path / "first").is_symlink()


def test_a_link_that_leads_nowhere_or_to_itself_is_an_error(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "away").symlink_to("no-folder/a")
    for name, problem in (("loop", errno.ELOOP), ("away", errno.ENOENT)):
        with pytest.raises(OSError) as raised:
            write(tmp_path / name)
        assert (raised.value.errno, raised.value.filename) == (problem, str(tmp_path / name))
        assert (tmp_path / name).is_symlink()
    assert names_in(tmp_path) == ["away", "loop"]


def test_a_pipe_or_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for name in ("pipe", "null"):
        with pytest.raises(OSError, match="a pipe or a device, expected a file"):
            write(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "null").is_char_device()
    assert names_in(tmp_path) == ["null", "pipe"]
