"""Style files: what is written is read again; whatever else is given is one line."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from feedforward_helpers import random_style

from styletransfer.feedforward import style_file
from styletransfer.support.errors import UserError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    style_file.write(tmp_path / "random.npz", random_style())
    return tmp_path / "random.npz"


def one_line(path: Path) -> str:
    with pytest.raises(UserError) as raised:
        style_file.read(path)
    message = str(raised.value)
    assert message.startswith(f"style {path}: ") and "\n" not in message
    return message


def changed(path: Path, members: dict[str, bytes | None], compression: int = zipfile.ZIP_STORED) -> Path:
    """A copy with members replaced, added, or (None) left out."""
    copy = path.with_name("changed.npz")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", compression) as new:
        for name in old.namelist():
            if members.get(name, b"") is not None:
                new.writestr(name, members.pop(name, None) or old.read(name))
        for name, data in members.items():
            if data is not None:
                new.writestr(name, data)
    return copy


def record(path: Path, **changes: object) -> dict[str, bytes | None]:
    with zipfile.ZipFile(path) as archive:
        return {"record.json": json.dumps({**json.loads(archive.read("record.json")), **changes}).encode()}


def member(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def test_a_style_is_read_as_it_was_written(path: Path) -> None:
    written, found = random_style(), style_file.read(path)
    assert found.spec == written.spec
    assert list(found.parameters) == list(written.spec.parameters)
    for name, values in written.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], values)
    assert found.record.items() >= written.record.items()
    assert path.stat().st_size < 2e6


def test_equal_styles_make_equal_files(path: Path, tmp_path: Path) -> None:
    style_file.write(tmp_path / "again.npz", random_style())
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_truncated_file_is_one_line(path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 1, 30, 1000, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert one_line(path).endswith("damaged, or not a style file")


def test_changed_bytes_are_noticed(path: Path) -> None:
    """Anywhere in the parameters; each changes a value, which the archive's own checksum shows."""
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for position in generator.integers(2000, len(whole) - 5000, 20):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        one_line(path)


def test_foreign_files_are_one_line(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.npz"
    for data in (b"", b"text\n", b"\xff\xd8\xff\xe0 a picture", pickle.dumps([1])):
        foreign.write_bytes(data)
        assert one_line(foreign).endswith("damaged, or not a style file")
    np.savez(foreign, step=np.arange(3))
    assert "it has no record.json" in one_line(foreign)
    assert one_line(tmp_path / "absent.npz").endswith("no such file")
    assert one_line(tmp_path).endswith("Is a directory")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "large"}, "its network is 'large'; expected one of: residual, small"),
        ({"network": ["small"]}, "its network is ['small']"),
        ({"network": "residual"}, ".npy is missing"),
        ({"format": 2}, "its format is 2, expected 1; it was written by another version"),
        ({"sha256": "0" * 64}, "its parameters are not those of its record"),
    ],
)
def test_a_record_of_something_else_is_one_line(path: Path, changes: dict[str, object], words: str) -> None:
    assert words in one_line(changed(path, record(path, **changes)))


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "not valid JSON"), (b"[1]", "not an object"), (b'{"format": 1}', "lacks licence"), (b"[" * 10**5, "JSON")],
)
def test_a_record_that_is_none_is_one_line(path: Path, data: bytes, words: str) -> None:
    assert words in one_line(changed(path, {"record.json": data}))


def test_a_record_without_end_is_not_read(path: Path) -> None:
    bomb = changed(path, {"record.json": b" " * 10**8}, zipfile.ZIP_DEFLATED)
    assert "its record is larger than" in one_line(bomb)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("down_gamma", None, "down_gamma.npy is missing"),
        ("more", member(np.zeros(3, np.float32)), "more.npy is not a parameter of small"),
        ("down_gamma", member(np.zeros(47, np.float32)), "stored with shape (47,), expected (48,)"),
        ("down_gamma", member(np.zeros(48, np.float64)), "has dtype float64, expected float32"),
        ("down_gamma", member(np.full(48, np.nan, np.float32)), "values that are not finite"),
        ("down_gamma", member(np.array([{}] * 48, dtype=object)), "not a floating-point array"),
        ("down_gamma", b"\x93NUMPY\x01\x00\x02\x00()", "damaged"),
    ],
)
def test_a_parameter_that_does_not_fit_is_one_line(path: Path, name: str, data: bytes | None, words: str) -> None:
    assert words in one_line(changed(path, {f"{name}.npy": data}))


def test_styles_are_found_by_name_or_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert style_file.find(str(path)) == path
    monkeypatch.setattr(style_file, "FOLDER", tmp_path)
    assert style_file.names() == ["random"]
    assert style_file.find("random") == path
    with pytest.raises(UserError, match="style randon: there is no such style; did you mean 'random'"):
        style_file.find("randon")
    for name in ("other.npz", "folder/other"):
        with pytest.raises(UserError, match=f"style {name}: no such file"):
            style_file.find(name)
