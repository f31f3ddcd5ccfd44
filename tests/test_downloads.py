"""scripts/fetch.py against a real server: whatever the network does, a valid file is in place or nothing is."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import importlib.util
import io
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_weight_formats import SMALL, WRITERS, some_weights

import models
from models.spec import ModelSpec, Tap
from styletransfer import downloads, sources, weights
from styletransfer.sources import Checksum, Source, Target
from styletransfer.weights import mxnet_params

ROOT = Path(__file__).resolve().parents[1]
FETCH = ROOT / "scripts" / "fetch.py"
SHARED = ROOT.parent / "shared"

SPEC = ModelSpec(
    name="net",
    title="Net",
    taps=(Tap("relu1", 64, kernel=3),),
    parameters={"conv1_weight": (64, 128, 3, 3), "conv1_bias": (64,)},
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
REFUSING = "http://127.0.0.1:1"  # nobody listens there
CATALOGUE = sources.catalogue  # the real one, which `Command` puts its own table in place of


@functools.cache
def contents() -> bytes:
    """The 0.3 MB of the published file."""
    stream = io.BytesIO()
    mxnet_params.write(stream, weights.random(SPEC, 1))
    return stream.getvalue()


# --- the server

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers the n-th request of a path as the n-th of its answers says; the last one serves all further requests."""

    server: Server

    def do_GET(self) -> None:
        earlier = sum(path == self.path for path, _ in self.server.requests)
        self.server.requests.append((self.path, self.headers.get("Range")))
        answers = self.server.answers[self.path]
        answers[min(earlier, len(answers) - 1)](self)

    def log_message(self, *_: object) -> None:
        pass

    def begin(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[Answer, ...]] = {}
        self.requests: list[tuple[str, str | None]] = []  # the path and the Range header of each
        self.ends = threading.Event()

    def add(self, path: str, *answers: Answer) -> str:
        """Answer requests of `path` so, one after the other; returns its URL."""
        self.answers[path] = answers
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of these tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.ends.set()
    server.shutdown()
    server.server_close()
    thread.join()


def whole(body: bytes) -> Answer:
    """The body, without looking at Range."""

    def answer(handler: Handler) -> None:
        handler.begin(200, Content_Length=len(body))
        handler.wfile.write(body)

    return answer


def ranges(body: bytes, shift: int = 0) -> Answer:
    """What is asked for of the body, or what stands `shift` bytes further on."""

    def answer(handler: Handler) -> None:
        asked = handler.headers.get("Range")
        if asked is None:
            return whole(body)(handler)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) + shift
        if start >= len(body):
            return handler.begin(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
        rest = body[start:]
        handler.begin(206, Content_Length=len(rest), Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.wfile.write(rest)

    return answer


def cut_off(body: bytes, length: int) -> Answer:
    """The first `length` bytes, where all are promised."""

    def answer(handler: Handler) -> None:
        handler.begin(200, Content_Length=len(body))
        handler.wfile.write(body[:length])

    return answer


def status(code: int) -> Answer:
    return lambda handler: handler.begin(code, Content_Length=0)


def endless(handler: Handler) -> None:
    handler.begin(200)
    while not handler.server.ends.is_set():
        handler.wfile.write(bytes(1 << 16))


def silent(handler: Handler) -> None:
    """Promises, sends nothing and does not hang up."""
    handler.begin(200, Content_Length=len(contents()))
    handler.wfile.flush()
    handler.server.ends.wait(20)


# --- the command


def source(name: str, url: str, checksum: Checksum | None, picture: bool = False, size: int | None = None) -> Source:
    reader = None if picture else functools.partial(weights.load, SPEC)
    return Source(name, url, size or len(contents()), checksum, LICENCE, CREDIT, reader)


def sha256(body: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(body).hexdigest())


class Command:
    """scripts/fetch.py, called in this process with a table of its own: `net` goes to `folder`/net.params."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.target = folder / "net.params"
        self.part = folder / "net.main.part"
        self.table: dict[str, tuple[Target, ...]] = {}
        self.out = self.err = ""
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.patience(wait=0.0, connect=5.0, silence=10.0)
        monkeypatch.setattr(sources, "catalogue", lambda: self.table)
        specification = importlib.util.spec_from_file_location("fetch", FETCH)
        assert specification and specification.loader
        self._script = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(self._script)

    def patience(self, **settings: Any) -> None:
        """Change some settings, keep the others."""
        self._monkeypatch.setattr(downloads, "Patience", functools.partial(downloads.Patience, **settings))

    def use(self, *from_: Source) -> None:
        self.table["net"] = (Target(self.target, from_, functools.partial(weights.load, SPEC)),)

    def use_url(self, url: str) -> None:
        self.use(source("main", url, sha256(contents())))

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
        """Exit status 2, one line on standard error that says why, and nothing new on the disk."""
        assert code == 2
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        for reason in reasons:
            assert reason in self.err
        assert self.files() == sorted(left)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    return Command(folder, monkeypatch, capsys)


# --- all is well


def test_a_good_file_is_verified_converted_and_put_in_place(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", whole(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert server.requests == [("/net", None)]
    for told in (LICENCE, CREDIT, "wrote weights/net.params", f"verified: {sha256(contents())}"):
        assert told in command.out


def test_a_missing_folder_is_made(server: Server, command: Command) -> None:
    command.folder.rmdir()
    command.use_url(server.add("/net", whole(contents())))
    assert command.run("net") == 0
    command.assert_in_place()


def test_what_is_there_already_is_not_fetched_again_unless_forced(server: Server, command: Command) -> None:
    older = weights.random(SPEC, 2)
    weights.save(command.target, older)
    before = command.target.read_bytes()
    command.use_url(server.add("/net", whole(contents())))
    assert command.run("net") == 0
    assert "weights/net.params is there already" in command.out
    assert server.requests == []
    assert command.target.read_bytes() == before != contents()
    assert command.run("net", "--force") == 0
    command.assert_in_place()


def test_something_else_in_its_place_is_kept_unless_forced(server: Server, command: Command) -> None:
    command.target.write_bytes(b"my notes")
    command.use_url(server.add("/net", whole(contents())))
    command.assert_refused(command.run("net"), "--force replaces it", left=("net.params",))
    assert command.target.read_bytes() == b"my notes"
    assert server.requests == []
    assert command.run("net", "--force") == 0
    command.assert_in_place()


def test_a_redirection_is_followed(server: Server, command: Command) -> None:
    server.add("/there", whole(contents()))
    command.use_url(server.add("/net", lambda handler: handler.begin(302, Location="/there", Content_Length=0)))
    assert command.run("net") == 0
    command.assert_in_place()


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(
    server: Server, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.use_url(server.add("/net", whole(contents())))
    monkeypatch.setattr(downloads, "_SECONDS_BETWEEN_LINES", 0.0)
    assert command.run("net") == 0
    command.assert_in_place()
    assert "0.1 MB of 0.3 MB\n" in command.out
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert command.run("net", "--force") == 0
    assert "0.1 MB of" not in command.out
    assert "B/s" in command.err
    assert command.files() == ["net.params"]


def test_pictures_are_kept_as_they_are(server: Server, command: Command) -> None:
    bodies = {"a.jpg": b"the first picture", "b.jpg": b"the second"}
    command.table["pictures"] = tuple(
        Target(command.folder / name, (source("main", server.add("/" + name, whole(body)), sha256(body), True),))
        for name, body in bodies.items()
    )
    (command.folder / "a.jpg").write_bytes(b"a picture of my own")
    command.assert_refused(command.run("pictures"), "weights/a.jpg is another file", left=("a.jpg",))
    (command.folder / "a.jpg").unlink()
    assert command.run("pictures") == 0
    assert command.run("pictures") == 0
    assert {path.name: path.read_bytes() for path in command.folder.iterdir()} == bodies
    assert server.requests == [("/a.jpg", None), ("/b.jpg", None)]


# --- the network fails


def test_an_altered_file_is_refused_and_removed(server: Server, command: Command) -> None:
    altered = bytearray(contents())
    altered[len(altered) // 2] ^= 1
    command.use_url(server.add("/net", whole(bytes(altered))))
    command.assert_refused(command.run("net"), "not the expected file: its sha256 is", "--from FILE")
    assert len(server.requests) == 1


def test_a_cut_off_download_goes_on_where_it_ended(server: Server, command: Command) -> None:
    half = len(contents()) // 2
    command.use_url(server.add("/net", cut_off(contents(), half), ranges(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert "bytes too early; trying again" in command.out
    assert [path for path, _ in server.requests] == ["/net", "/net"]
    assert 0 < resumed_at(server.requests[1]) <= half


def resumed_at(request: tuple[str, str | None]) -> int:
    _, asked = request
    assert asked is not None
    return int(asked.removeprefix("bytes=").removesuffix("-"))


def test_the_next_call_goes_on_where_the_last_one_ended(server: Server, command: Command) -> None:
    third = len(contents()) // 3
    command.patience(attempts=1)
    command.use_url(server.add("/net", cut_off(contents(), third), status(503), ranges(contents())))
    command.assert_refused(command.run("net"), "bytes too early", left=(command.part.name,))
    kept = command.part.read_bytes()
    assert third - (1 << 15) < len(kept) <= third
    assert contents().startswith(kept)
    command.assert_refused(command.run("net"), "it answered 503", left=(command.part.name,))
    assert command.part.read_bytes() == kept
    assert command.run("net") == 0
    command.assert_in_place()
    assert resumed_at(server.requests[2]) == len(kept)


def test_the_beginning_of_another_file_is_not_built_upon_twice(server: Server, command: Command) -> None:
    """The file on the server is a new one since: the sum tells, the old beginning goes, the next call starts anew."""
    command.part.write_bytes(bytes(1000))
    command.use_url(server.add("/net", ranges(contents())))
    command.assert_refused(command.run("net"), "not the expected file")
    assert resumed_at(server.requests[0]) == 1000
    assert command.run("net") == 0
    command.assert_in_place()
    assert server.requests[1] == ("/net", None)


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", cut_off(contents(), 100_000), whole(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert resumed_at(server.requests[1]) > 0


@pytest.mark.parametrize("shift", [-7, 7])
def test_a_range_that_was_not_asked_for_is_not_appended(server: Server, command: Command, shift: int) -> None:
    wrong = ranges(contents(), shift)
    command.use_url(server.add("/net", cut_off(contents(), 100_000), wrong, whole(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert "another part of the file" in command.out
    assert server.requests[2] == ("/net", None)


def test_a_range_although_none_was_asked_for_is_refused(server: Server, command: Command) -> None:
    def part(handler: Handler) -> None:
        handler.begin(206, Content_Length=10, Content_Range=f"bytes 5-14/{len(contents())}")
        handler.wfile.write(contents()[5:15])

    command.use_url(server.add("/net", part))
    command.assert_refused(command.run("net"), "another part of the file")


def test_a_beginning_longer_than_the_file_is_thrown_away(server: Server, command: Command) -> None:
    command.part.write_bytes(contents() + b"more")
    command.use_url(server.add("/net", ranges(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert [asked for _, asked in server.requests] == [f"bytes={len(contents()) + 4}-", None]


def test_a_complete_download_that_was_never_converted_is_used(server: Server, command: Command) -> None:
    command.part.write_bytes(contents())
    command.use_url(server.add("/net", status(404)))
    assert command.run("net") == 0
    command.assert_in_place()
    assert server.requests == []


def test_a_file_that_does_not_exist_is_not_asked_for_again(server: Server, command: Command) -> None:
    command.part.write_bytes(contents()[:1000])
    command.use_url(server.add("/net", status(404)))
    command.assert_refused(command.run("net"), "it answered 404 Not Found", "127.0.0.1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server: Server, command: Command, code: int) -> None:
    command.use_url(server.add("/net", status(code), whole(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert f"it answered {code}" in command.out
    assert len(server.requests) == 2


def test_a_server_that_stays_in_trouble_is_given_up(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", status(500)))
    command.assert_refused(command.run("net"), "it answered 500 Internal Server Error")
    assert len(server.requests) == 3


def test_waiting_doubles_between_attempts(server: Server, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", waited.append)
    command.patience(attempts=4, wait=3.0)
    command.use_url(server.add("/net", status(500)))
    assert command.run("net") == 2
    assert waited == [3.0, 6.0, 12.0]


def test_an_endless_download_is_stopped(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", endless))
    command.assert_refused(command.run("net"), "it sends more than 1.4 MB")
    assert len(server.requests) == 1


def test_a_download_that_is_much_too_long_is_not_read_to_its_end(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", whole(contents() + bytes(1_200_000))))
    command.assert_refused(command.run("net"), "it sends more than 1.4 MB")


def test_no_compression_is_asked_for(server: Server, command: Command) -> None:
    """A Range counts the bytes of what is transferred, so that has to be the file itself."""

    def strict(handler: Handler) -> None:
        (whole(contents()) if handler.headers.get("Accept-Encoding") == "identity" else status(406))(handler)

    command.use_url(server.add("/net", strict))
    assert command.run("net") == 0
    command.assert_in_place()


def test_a_silent_server_is_given_up(server: Server, command: Command) -> None:
    command.patience(silence=0.2)
    command.use_url(server.add("/net", silent))
    start = time.monotonic()
    command.assert_refused(command.run("net"), "it sent nothing for 0.2 s")
    assert time.monotonic() - start < 10
    assert len(server.requests) == 3


def test_a_server_that_hangs_up_without_a_word_is_asked_again(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", lambda handler: handler.connection.close(), whole(contents())))
    assert command.run("net") == 0
    command.assert_in_place()


def test_a_refused_connection_is_one_line(command: Command) -> None:
    command.use_url(f"{REFUSING}/net")
    code = command.run("net")
    command.assert_refused(code, "main (127.0.0.1): Connection refused", f"{REFUSING}/net", "fetch.py net --from FILE")
    assert "trying again" not in command.out


def test_a_refused_connection_keeps_what_came_before(command: Command) -> None:
    command.part.write_bytes(contents()[:1000])
    command.use_url(f"{REFUSING}/net")
    command.assert_refused(command.run("net"), "Connection refused", left=(command.part.name,))
    assert command.part.read_bytes() == contents()[:1000]


def test_a_server_that_cannot_be_reached_is_given_up_in_time(command: Command) -> None:
    """A server whose queue of connections is full leaves further ones unanswered, as a firewall does."""
    command.patience(connect=0.2)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        command.use_url(f"http://127.0.0.1:{full.getsockname()[1]}/net")
        start = time.monotonic()
        command.assert_refused(command.run("net"), "no connection within 0.2 s")
        assert time.monotonic() - start < 5


def test_a_name_that_cannot_be_resolved_is_one_line(command: Command) -> None:
    command.use_url("http://no-such-host.invalid/net")
    command.assert_refused(command.run("net"), "main (no-such-host.invalid)", "--from FILE")
    assert "urllib3" not in command.err
    assert "Max retries" not in command.err


# --- several sources


def two_sources(server: Server, command: Command) -> None:
    good = server.add("/good", whole(contents()))
    command.use(source("dead", f"{REFUSING}/net", sha256(contents())), source("good", good, sha256(contents())))


def test_the_next_source_is_used_when_one_fails(server: Server, command: Command) -> None:
    two_sources(server, command)
    assert command.run("net") == 0
    command.assert_in_place()
    assert "dead (127.0.0.1): Connection refused; trying the next source" in command.out


def test_one_source_can_be_chosen(server: Server, command: Command) -> None:
    two_sources(server, command)
    command.assert_refused(command.run("net", "--source", "dead"), "Connection refused", "another --source: good")
    assert server.requests == []
    assert command.run("net", "--source", "good") == 0
    command.assert_in_place()
    assert "dead" not in command.out
    assert len(server.requests) == 1


def test_an_unknown_source_is_named_with_the_nearest(server: Server, command: Command) -> None:
    two_sources(server, command)
    command.assert_refused(command.run("net", "--source", "goood"), "--source goood", "did you mean 'good'?")


def test_when_all_sources_fail_each_is_named_with_its_reason(server: Server, command: Command) -> None:
    gone = server.add("/gone", status(410))
    command.use(source("dead", f"{REFUSING}/net", sha256(contents())), source("gone", gone, sha256(contents())))
    command.assert_refused(
        command.run("net"), "dead (127.0.0.1): Connection refused; gone (127.0.0.1): it answered 410"
    )


def test_a_source_without_checksum_is_said_to_be_so_and_is_never_resumed(server: Server, command: Command) -> None:
    command.part.write_bytes(contents()[:1000])
    url = server.add("/net", cut_off(contents(), 100_000), whole(contents()))
    command.use(source("main", url, None))
    command.patience(attempts=1)
    command.assert_refused(command.run("net"), "bytes too early")
    assert command.run("net") == 0
    command.assert_in_place()
    warning = command.out.index(f"no checksum of {url} is published: only its form can be checked")
    assert warning < command.out.index("downloading") < command.out.index("not verified: no checksum of this file")
    assert server.requests == [("/net", None), ("/net", None)]


def test_a_source_without_checksum_that_sends_something_else_is_passed_over(server: Server, command: Command) -> None:
    page = server.add("/page", whole(b"<html>Sign in to the network of this hotel</html>"))
    good = server.add("/good", whole(contents()))
    command.use(source("page", page, None), source("good", good, sha256(contents())))
    assert command.run("net") == 0
    command.assert_in_place()
    assert "page (127.0.0.1): cannot read weights" in command.out


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


def test_a_full_disk_is_one_line_and_leaves_nothing(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", whole(contents())))
    with small_disk():
        code = command.run("net")
    command.assert_refused(code, "cannot write weights/net.params: File too large")


def test_a_full_disk_while_converting_leaves_nothing(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "downloaded"
    file.write_bytes(contents())
    command.use_url(f"{REFUSING}/net")
    with small_disk():
        code = command.run("net", "--from", file)
    command.assert_refused(code, "cannot write weights/net.params: File too large")


def test_a_folder_that_cannot_be_made_is_one_line(command: Command) -> None:
    (command.folder / "file").write_bytes(b"")
    command.target = command.folder / "file" / "net.params"
    command.use_url(f"{REFUSING}/net")
    command.assert_refused(command.run("net"), "cannot write weights/file/net.params", left=("file",))


def test_an_interruption_keeps_what_has_come(server: Server, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command.use_url(server.add("/net", ranges(contents())))

    class Interrupting:
        disable = True
        count = 0

        def __init__(self, **_: object) -> None:
            pass

        def __enter__(self) -> Interrupting:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, _: int) -> None:
            self.count += 1
            if self.count == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "tqdm", Interrupting)
        assert command.run("net") == 130
    assert command.files() == [command.part.name]
    kept = command.part.read_bytes()
    assert 0 < len(kept) < len(contents())
    assert contents().startswith(kept)
    assert command.run("net") == 0
    command.assert_in_place()


def test_two_processes_do_not_write_the_same_file(server: Server, command: Command) -> None:
    command.use_url(server.add("/net", ranges(contents())))
    with command.part.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(contents()[:500])
        other.flush()
        code = command.run("net")
        command.assert_refused(code, "being downloaded by another process", left=(command.part.name,))
        assert command.part.read_bytes() == contents()[:500]


def test_a_failed_replacement_keeps_the_old_file(server: Server, command: Command) -> None:
    weights.save(command.target, weights.random(SPEC, 2))
    before = command.target.read_bytes()
    command.use_url(server.add("/net", whole(b"something else")))
    command.assert_refused(command.run("net", "--force"), "not the expected file", left=("net.params",))
    assert command.target.read_bytes() == before


# --- files downloaded in another way


def test_a_file_at_hand_is_verified_and_converted(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "from my browser"
    file.write_bytes(contents())
    command.use_url(f"{REFUSING}/net")
    assert command.run("net", "--from", file) == 0
    command.assert_in_place()
    assert file.read_bytes() == contents()
    assert command.run("net", "--file", file) == 0
    assert "there already" in command.out
    assert command.run("net", "--file", file, "--force") == 0
    assert "wrote" in command.out


def test_another_file_at_hand_is_refused(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "damaged"
    file.write_bytes(contents()[:-1])
    command.use_url(f"{REFUSING}/net")
    found = hashlib.sha256(contents()[:-1]).hexdigest()
    command.assert_refused(command.run("net", "--from", file), found, f"expected net of main: {sha256(contents())}")


def test_an_absent_file_or_a_folder_at_hand_is_refused(command: Command, tmp_path: Path) -> None:
    command.use_url(f"{REFUSING}/net")
    for path in (tmp_path / "absent", tmp_path):
        command.assert_refused(command.run("net", "--from", path), f"--from {path}: no such file")


def test_a_file_at_hand_is_taken_for_the_source_it_is_of(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(contents())
    first, second = (source(name, f"{REFUSING}/net", None) for name in ("first", "second"))
    bodies = {"a.jpg": b"the first picture", "b.jpg": contents()}
    command.table["pictures"] = tuple(
        Target(command.folder / name, (source("main", f"{REFUSING}/net", sha256(body), True),))
        for name, body in bodies.items()
    )
    assert command.run("pictures", "--from", file) == 0
    assert command.files() == ["b.jpg"]
    assert (command.folder / "b.jpg").read_bytes() == contents()
    (command.folder / "b.jpg").unlink()

    command.use(first, second)
    assert command.run("net", "--from", file) == 0
    assert "not verified" in command.out
    command.assert_in_place()
    command.target.unlink()
    file.write_bytes(b"no weights")
    command.assert_refused(
        command.run("net", "--from", file), "net of first: cannot read weights", "net of second: cannot"
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
from typing import Any
folder = Path(sys.argv[3])
one = t.source("main", "http://127.0.0.1:1/", t.sha256(t.contents()))
table = {"net": (t.Target(folder / "net.params", (one,), partial(t.weights.load, t.SPEC)),)}
t.downloads.convert("net", table, folder / "downloaded", print)
"""
    arguments = [sys.executable, "-c", program, str(ROOT), str(ROOT / "tests"), str(tmp_path)]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "net.params").read_bytes() == contents()


# --- sums


HELLO = b"hello world\n"  # its sums as sha256sum, md5sum and `git hash-object` print them
SUMS = [
    ("sha256", "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"),
    ("sha256 beginning", "a948904f"),
    ("md5", "6f5902ac237024bdd0c176cb93063dc4"),
    ("git blob sha1", "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"),
]


@pytest.mark.parametrize(("kind", "digits"), SUMS)
def test_every_kind_of_sum_tells_the_file_from_another(
    server: Server, command: Command, kind: sources.Kind, digits: str
) -> None:
    url = server.add("/hello", whole(HELLO), whole(HELLO + b"\n"))
    target = Target(command.folder / "hello", (source("main", url, Checksum(kind, digits), picture=True),))
    command.table["hello"] = (target,)
    assert command.run("hello") == 0
    assert f"verified: {kind} {digits}" in command.out
    assert command.files() == ["hello"]
    target.path.unlink()
    command.assert_refused(command.run("hello"), f"its {kind} is", f"not {digits}")


@pytest.mark.parametrize(("kind", "digits"), SUMS)
def test_a_sum_with_a_digit_too_few_or_a_wrong_one_cannot_be_written_down(kind: sources.Kind, digits: str) -> None:
    for wrong in (digits[:-1], digits.upper(), digits[:-1] + "g", ""):
        with pytest.raises(ValueError, match="cannot be a"):
            Checksum(kind, wrong)


# --- names, the list, the table


def test_an_unknown_name_is_one_line_with_the_nearest() -> None:
    result = subprocess.run([sys.executable, str(FETCH), "squeeznet"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "error: 'squeeznet' cannot be fetched: did you mean 'squeezenet'?\n"


def test_help_loads_nothing() -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", str(FETCH), "--help"], capture_output=True, text=True, check=True
    )
    assert "--from" in result.stdout
    loaded = {line.split("|")[-1].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert "argparse" in loaded
    assert not loaded & {"numpy", "requests", "tqdm", "mxnet", "models", "styletransfer"}


def test_no_name_is_one_line(command: Command) -> None:
    command.use_url(f"{REFUSING}/net")
    command.assert_refused(command.run(), "no name given; expected one of: net")


def test_a_network_without_sources_says_what_to_do(command: Command) -> None:
    command.use_url(f"{REFUSING}/net")
    code = command.run("vgg_slim")
    command.assert_refused(code, "nothing to fetch for vgg_slim", models.load("vgg_slim").SPEC.how_to_get)


def test_the_list_shows_every_source_and_whether_the_file_is_there(server: Server, command: Command) -> None:
    two_sources(server, command)
    for present in ("no", "invalid", "yes"):
        if present != "no":
            command.target.write_bytes(contents() if present == "yes" else b"")
        assert command.run("--list") == 0
        header, dead, good = command.out.splitlines()
        assert header.split() == ["name", "source", "size", "present", "file", "licence"]
        for line, name in ((dead, "dead"), (good, "good")):
            assert line.split()[:6] == ["net", name, "0.3", "MB", present, "weights/net.params"]
            assert line.endswith(LICENCE)
    assert server.requests == []


def test_the_table_is_sound() -> None:
    table = sources.catalogue()
    assert set(table) == {"squeezenet", "vgg19_16x", "vgg19", "vgg16", "images"}
    paths = [target.path for targets in table.values() for target in targets]
    assert len(set(paths)) == len(paths)
    for name, targets in table.items():
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
                assert s.url.startswith("https://")
                assert 1000 < s.size < s.limit <= 1_000_000_000
                assert s.licence
                assert s.credit
                assert (s.reader is None) == (target.reader is None)
                assert s.checksum or s.reader


DMLC = "github.com/dmlc/web-data/raw/master/mxnet/neural-style"
KERAS = "github.com/fchollet/deep-learning-models/releases/download/v0.1"
PUBLISHED = [  # name, source, address, what is published of the contents; the smallest first
    (
        "squeezenet",
        "songhan",
        "raw.githubusercontent.com/songhan/SqueezeNet-Deep-Compression/master/compressed_SqueezeNet.net",
        "sha256 e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261",
    ),
    (
        "vgg19_16x",
        "mingsun-tse",
        "raw.githubusercontent.com/MingSun-Tse/Collaborative-Distillation/4a269dc90020721ef9b279b2926c62f5bcd6d209/"
        "trained_models/wct_se_16x_new/20191109-211322_E20.pth",
        "sha256 9417c34d0d8d621bc6af78be745f1b8d30f5f210efa01e50655c60eb3770816b",
    ),
    ("vgg19", "dmlc", f"{DMLC}/model/vgg19.params", "git blob sha1 9dfbe2ed44e0e8914f9551888bf763e14c09c778"),
    (
        "vgg19",
        "keras",
        f"{KERAS}/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5 253f8cb515780f3b799900260a226db6",
    ),
    (
        "vgg19",
        "matconvnet",
        "www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-19.mat",
        "md5 106118b7cf60435e6d8e04f6a6dc3657",
    ),
    ("vgg19", "torchvision", "download.pytorch.org/models/vgg19-dcbb9e9d.pth", "sha256 beginning dcbb9e9d"),
    (
        "vgg16",
        "keras",
        f"{KERAS}/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "md5 6d6bbae143d832006294945121d1f1fc",
    ),
    (
        "vgg16",
        "matconvnet",
        "www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-16.mat",
        "md5 f72d927587ca4c97fbd165ec9cb9997f",
    ),
    ("vgg16", "torchvision", "download.pytorch.org/models/vgg16-397923af.pth", "sha256 beginning 397923af"),
    ("vgg16", "npz", "www.cs.toronto.edu/~frossard/vgg16/vgg16_weights.npz", "None"),
    (
        "images",
        "dmlc",
        f"{DMLC}/input/IMG_4343.jpg",
        "sha256 f030b5f903509865604e9ec823dc509883619a16fdc0a2d5c0fff70cb8b83fcf",
    ),
    (
        "images",
        "dmlc",
        f"{DMLC}/input/starry_night.jpg",
        "sha256 0592ab0f7b51b3ce72608a95e53880bd93971e5b48f93a0ce8dfd3cbccf3d098",
    ),
]


def test_the_table_says_what_is_published() -> None:
    found = [
        (name, s.name, s.url.removeprefix("https://"), str(s.checksum))
        for name, targets in sources.catalogue().items()
        for target in targets
        for s in target.sources
    ]
    assert found == PUBLISHED


def test_only_what_is_of_oxford_is_credited_to_oxford() -> None:
    """torchvision trained the networks anew."""
    for name in ("vgg16", "vgg19"):
        (target,) = sources.catalogue()[name]
        for s in target.sources:
            oxford = s.name != "torchvision"
            assert ("CC BY 4.0" in s.licence) == oxford
            assert ("University of Oxford" in s.licence) == oxford
            assert ("K. Simonyan and A. Zisserman" in s.credit) == oxford


FORMS = {  # of the file that each source publishes, as test_weight_formats.py writes it
    "dmlc": "params",
    "keras": "keras-2016",
    "matconvnet": "matconvnet",
    "torchvision": "torch-legacy",
    "npz": "npz",
}


def checksum_of(kind: sources.Kind, body: bytes) -> Checksum:
    if kind == "md5":
        return Checksum(kind, hashlib.md5(body).hexdigest())
    if kind == "git blob sha1":
        return Checksum(kind, hashlib.sha1(b"blob " + str(len(body)).encode() + b"\0" + body).hexdigest())
    return Checksum(kind, hashlib.sha256(body).hexdigest()[: 8 if kind == "sha256 beginning" else 64])


def serve(name: str, bodies: dict[str, bytes], server: Server, command: Command) -> None:
    """The catalogue's `name` with every source on the server, under the published file's name, where it has a body."""
    (target,) = CATALOGUE()[name]
    moved = []
    for s in target.sources:
        file = "/" + s.url.rsplit("/", 1)[-1]
        body = bodies.get(s.name)
        if body is None:
            moved.append(dataclasses.replace(s, url=REFUSING + file))
        else:
            checksum = s.checksum and checksum_of(s.checksum.kind, body)
            url = server.add(file, whole(body))
            moved.append(dataclasses.replace(s, url=url, size=len(body), checksum=checksum))
    command.table[name] = (Target(command.folder / target.path.name, tuple(moved), target.reader),)


def vgg_file(form: str, spec: ModelSpec, folder: Path) -> bytes:
    """A file of random weights as it would be published."""
    path = folder / "published"
    WRITERS[form][1](path, some_weights(spec))
    contents = path.read_bytes()
    path.unlink()
    return contents


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """VGG-16 and VGG-19 with few and narrow layers."""
    specs = {name: models.load(name).SPEC for name in models.names()}
    for name in ("vgg16", "vgg19"):
        specs[name] = dataclasses.replace(specs[name], parameters=SMALL.parameters)
    monkeypatch.setattr(models, "load", lambda name: SimpleNamespace(SPEC=specs[name]))


def assert_fetched(name: str, from_: str, server: Server, command: Command, tmp_path: Path) -> None:
    """Serve random weights as `from_` publishes them, fetch them and compare what is in place with them."""
    spec = models.load(name).SPEC
    serve(name, {from_: vgg_file(FORMS[from_], spec, tmp_path)}, server, command)
    (published,) = (s for s in CATALOGUE()[name][0].sources if s.name == from_)
    assert command.run(name, "--source", from_) == 0
    assert command.err == ""
    assert command.files() == [f"{name}.params"]
    assert server.requests == [("/" + published.url.rsplit("/", 1)[-1], None)]
    assert ("\nverified: " in command.out) == (published.checksum is not None)
    for told in (f"licence: {published.licence}", f"from: {published.credit}"):
        assert told in command.out
    written, expected = weights.load(spec, command.folder / f"{name}.params"), some_weights(spec)
    assert list(written) == list(expected)
    for parameter, array in expected.items():
        if from_ == "torchvision" and parameter.startswith("conv1_1"):  # its scale is folded into these, and rounded
            np.testing.assert_allclose(written[parameter], array, rtol=2e-6, atol=2e-6)
        else:
            np.testing.assert_array_equal(written[parameter], array)


@pytest.mark.parametrize(("name", "from_"), [row[:2] for row in PUBLISHED if row[0] in ("vgg16", "vgg19")])
def test_the_file_of_every_source_is_fetched_and_converted(
    name: str, from_: str, small_networks: None, server: Server, command: Command, tmp_path: Path
) -> None:
    assert_fetched(name, from_, server, command, tmp_path)


@pytest.mark.parametrize(("name", "from_"), [("vgg19", "dmlc"), ("vgg16", "keras")])
def test_networks_in_full_size_are_fetched_and_converted(
    name: str, from_: str, server: Server, command: Command, tmp_path: Path
) -> None:
    assert_fetched(name, from_, server, command, tmp_path)
    (command.folder / f"{name}.params").unlink()


def test_the_next_form_is_used_where_one_is_not_to_be_had(
    small_networks: None, server: Server, command: Command, tmp_path: Path
) -> None:
    spec = models.load("vgg16").SPEC
    serve("vgg16", {"npz": vgg_file("npz", spec, tmp_path)}, server, command)
    assert command.run("vgg16") == 0
    for name in ("keras", "matconvnet", "torchvision"):
        assert f"{name} (127.0.0.1): Connection refused; trying the next source" in command.out
    assert "not verified: no checksum of this file is published" in command.out
    assert command.files() == ["vgg16.params"]


def test_a_file_at_hand_that_is_altered_is_not_taken_for_the_one_without_checksum(
    small_networks: None, server: Server, command: Command, tmp_path: Path
) -> None:
    """An HDF5 file has no sums of its own: this one can be read, and is refused all the same."""
    spec = models.load("vgg16").SPEC
    body = vgg_file("keras-2016", spec, tmp_path)
    serve("vgg16", {"keras": body}, server, command)
    number = some_weights(spec)["conv2_1_bias"].tobytes()
    file = tmp_path / "altered.h5"
    file.write_bytes(body.replace(number, number[::-1]))
    changed = weights.load(spec, file)["conv2_1_bias"]
    assert not np.array_equal(changed, some_weights(spec)["conv2_1_bias"])
    command.assert_refused(
        command.run("vgg16", "--from", file), hashlib.md5(file.read_bytes()).hexdigest(), "of the form keras"
    )
    file.write_bytes(body)
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
def test_the_table_knows_the_published_files(
    name: str, file: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = SHARED / file
    if not published.is_file():
        pytest.skip("the published file is not at hand")
    monkeypatch.undo()
    moved = tuple(
        Target(command.folder / target.path.name, target.sources, target.reader) for target in sources.catalogue()[name]
    )
    downloads.convert(name, {name: moved}, published, print)
    (target,) = (target for target in moved if target.path.exists())
    assert [path.name for path in command.folder.iterdir()] == [target.path.name]
    assert abs(target.sources[0].size - published.stat().st_size) == 0
    if name == "images":
        assert target.path.read_bytes() == published.read_bytes()
    else:
        spec = models.load(name).SPEC
        read = weights.load_deep_compression if name == "squeezenet" else weights.load_whole
        written, expected = weights.load_whole(spec, target.path), read(spec, published)
        assert list(written) == list(expected)
        for parameter, array in expected.items():
            np.testing.assert_array_equal(written[parameter], array)
