"""External failures: hostile input, full disks, files that vanish, too little memory. All end in one clear line."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import ENGINE, random_picture
from PIL import Image
from processes import NSTYLE, PROJECT, output_of
from test_config import KEYS, dotted

from scripts.nstyle import main
from styletransfer.pictures import images
from styletransfer.session import curves, recorders

TINY = (
    "size=24", "scales=1", "stop.max_iterations=2", "output.save_every=0", "optimizer.name=sgd",
    "style.layers={relu1_1: 1}", "content.layers={relu2_1: 1}",
)  # fmt: skip
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")


def encoded(kind, height=30, width=40, seed=0):
    stream = io.BytesIO()
    Image.fromarray(images.to_bytes(random_picture(height, width, seed))).save(stream, format=kind)
    return stream.getvalue()


def png_header(width, height):
    """A PNG whose header claims this size."""
    content = bytearray(encoded("PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def bmp_header(width, height):
    content = bytearray(encoded("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def gif_header(width, height):
    content = bytearray(encoded("GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    return bytes(content)


def broken(content):
    """A file damaged in several ways."""
    generator = np.random.default_rng(0)
    return {
        "half": content[: len(content) // 2],
        "head": content[:20],
        "garbage": content[:30] + generator.bytes(len(content)),
        "scratched": bytes(byte ^ (0xFF if at % 97 == 50 else 0) for at, byte in enumerate(content)),
    }


# Files by name. Each gives a picture or a one-line error.
FILES = {
    **{f"{kind}-{state}": content for kind in FORMATS for state, content in broken(encoded(kind)).items()},
    "png-bomb": png_header(60_000, 60_000),
    "png-no-pixels": png_header(0, 0),
    "png-one-row": png_header(2**31 - 1, 1),
    "bmp-bomb": bmp_header(60_000, 60_000),
    "bmp-negative": bmp_header(-40, 30),
    "gif-bomb": gif_header(65_535, 65_535),
    "ppm-bomb": b"P6 60000 60000 255\n",
    "ppm-endless": b"P6 " + b"9" * 5000 + b" 1 255\n",
    "ppm-negative": b"P6 -4 4 255\n" + bytes(99),
    "ppm-text": b"P3 2 2 255\n1 2 3 four",
    "nothing": b"",
    "one-byte": b"\x89",
    "zeros": bytes(5000),
    "text": b"not a picture\n",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
    "zip": b"PK\3\4" + bytes(60),
    "elf": b"\x7fELF" + bytes(60),
    "one-pixel": encoded("PNG", 1, 1),
    "a-line": encoded("PNG", 1, 400),
}  # fmt: skip

# Names of intact pictures: all of them are read.
NAMES = (
    "two words.png", " lead.png", "trail.png ", "it's.png", 'a "quote".png', "back\\slash.png", "new\nline.png",
    "tab\t.png", "\x1b[31mred.png", "-dash.png", "--force", "a=b.png", "{a}.png", "[a].png", "a: b", "#a.png",
    "*.png", "?", "$HOME", "`id`", "a;b", "50%.png", "\u7ed8\u753b.png", "e\u0301.png", "\U0001f3a8.png",
    "\u202eevil.png", "n" * 250 + ".png", "null", "true", "1e3", "...",
)  # fmt: skip

NOT_FILES = (
    "", ".", "/", "..", "photo.png/x", "nowhere.png", "a\0b", "~nouser/a.png", "n" * 300, "n/" * 3000,
    "no\nwhere\x1b[2J.png", "pipe", "socket", "loop", "dangling", "folder", "/dev/zero", "/dev/null", "/dev/full",
    "/proc/self/mem", "/proc/self/environ", "/dev/fd/999", "file:///etc/passwd", "https://example.org/a.png",
)  # fmt: skip

CONFIGS = {
    "bomb": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nsize: *c\n",
    "itself": b"style: &a {images: *a}",
    "tag": b"size: !!python/object/apply:os.system ['touch pwned']",
    "tag of a name": b"size: !!python/name:os.system",
    "tag of an object": b"size: !!python/object:styletransfer.config.Config {}",
    "own tag": b"size: !size 3",
    "lists in lists": b"size: " + b"[" * 40_000,
    "tables in tables": b"size: " + b"{a: " * 20_000,
    "whole lists in lists": b"size: " + b"[" * 900 + b"]" * 900,
    "tables by indents": b"".join(b" " * depth + b"a:\n" for depth in range(400)),
    "a key twice": b"size: 3\nsize: 4",
    "merged": b"<<: {size: 3}\nsize: 24",
    "a number as key": b"1: 2",
    "null as key": b"~: 2",
    "a list as key": b"? [a]\n: 2",
    "two documents": b"size: 3\n---\nsize: 4",
    "a list": b"[1, 2]",
    "a number": b"3",
    "nothing": b"",
    "a comment": b"# nothing",
    "NUL": b"size: \0",
    "escape": b"size: \x1b[2J",
    "escaped escape": b'"\\e[2J\\u202e": 3',
    "a key of 50,000 letters": b"a" * 50_000 + b": 3",
    "a value of 50,000 letters": b"size: " + b"a" * 50_000,
    "a number of 50,000 digits": b"size: " + b"9" * 50_000,
    "sexagesimal": b"size: 59:59",
    "a date": b"size: 2001-01-01",
    "an invalid date": b"size: 2001-99-99",
    "binary": b"size: !!binary AAAA",
    "set": b"style: !!set {a, b}",
    "UTF-16": "size: 3".encode("utf-16"),
    "Latin-1": "model: Gr\u00f6\u00dfe".encode("latin-1"),
    "surrogate": b"model: \xed\xa0\x80",
    "escaped surrogate": b'output: {folder: "\\ud800"}',
    "too large": b"#" * 200_000,
    "unclosed": b"style: {weight: 'a",
    "tabs": b"\tsize: 3",
    "half a picture": encoded("PNG")[:300],
    "thousands of layers": b"style: {layers: {" + b", ".join(b"a%d: 1" % number for number in range(4000)) + b"}}",
    "thousands of styles": b"style: {images: [" + b"nowhere.png, " * 5000 + b"]}",
    "empty names": b"style: {images: {'': 1}, layers: {'': 1}}",
}

# Values for every key of the schema.
VALUES = (
    ".nan", ".inf", "-.inf", "-1", "1e300", "9" * 400, "true", "text", '""', '"\\0"', '"a\\nb\\e[2J"', "[]", "[[]]",
    "[1, two]", "{}", "{a: {b: c}}", "null", "2001-01-01", "1e-320", "-0.0",
)  # fmt: skip

# Valid and invalid output folders.
FOLDERS = (
    "new/and/below", "two words", "it's \"q\"", "new\nline", "\x1b[31mred", "-dash", "\u7ed8\u753b", "n" * 255,
    "linked", "folder/../other", "a:b", "*", "steps", "image.png",
)  # fmt: skip
INVALID_FOLDERS = (
    "", "photo.png", "photo.png/below", "/proc/x", "/proc/self/x", "/sys/x", "/dev/null", "/dev/null/x", "n" * 256,
    "n" * 300, "n/" * 3000, "a\0b", "~nouser", "loop", "loop/x", "dangling", "pipe", "pipe/x", "socket",
    "with-a-folder-as-picture", "with-a-folder-as-curve", "with-a-folder-as-lock", "with-a-loop-as-lock",
    "with-a-file-as-steps",
)  # fmt: skip


@pytest.fixture(scope="module")
def model_garden(tmp_path_factory):
    """A folder with all files named in these tests."""
    garden = tmp_path_factory.mktemp("model") / "garden"
    (garden / "folder").mkdir(parents=True)
    for name in ("photo.png", "painting.png", *NAMES):
        (garden / name).write_bytes(encoded("PNG"))
    for name, content in FILES.items():
        (garden / name).write_bytes(content)
    os.mkfifo(garden / "pipe")
    (garden / "loop").symlink_to("loop")
    (garden / "dangling").symlink_to("nowhere")
    (garden / "linked").symlink_to("folder")
    for name in ("picture", "curve", "lock"):
        inside = {"picture": "image.png", "curve": "curve.csv", "lock": ".lock"}[name]
        (garden / f"with-a-folder-as-{name}" / inside / "mine").mkdir(parents=True)
    (garden / "with-a-file-as-steps").mkdir()
    (garden / "with-a-file-as-steps" / "steps").write_text("mine")
    (garden / "with-a-loop-as-lock").mkdir()
    (garden / "with-a-loop-as-lock" / ".lock").symlink_to(".lock")
    return garden


@pytest.fixture(scope="module")
def garden(model_garden):
    """The working folder of these tests; a test that leaves a file in it fails."""
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        patch.chdir(model_garden)
        server.bind("socket")  # a short name, as its length is limited
        yield model_garden


@pytest.fixture(autouse=True)
def in_the_garden(garden, monkeypatch):
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)  # it would take most of the time


@pytest.fixture(autouse=True)
def nothing_hangs():
    """Fails a test that hangs."""

    def give_up(number, frame):
        pytest.fail("it hangs")  # not an Exception, which would be taken for an error in the file

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def listing(folder):
    """Everything in a folder, with type, size and time."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[path] = (status.st_mode, status.st_size, status.st_mtime_ns if path.is_file() else 0)
    return found


def command(*changes, content="photo.png", style="painting.png", output="result"):
    arguments = [f"--content={content}", f"--style={style}", f"--output={output}"]
    for change in (*TINY, *changes):
        arguments += [change] if change.startswith("--") else ["--set", change]
    return arguments


def assert_one_line(captured, caplog):
    """Check that the output is one line, without control characters."""
    assert captured.out == "" and not caplog.records
    assert captured.err.startswith("error: ") and captured.err.endswith("\n") and captured.err[:-1].isprintable()
    assert len(captured.err) < 25_000


def assert_made_or_one_line(garden, arguments, capsys, caplog, output="result"):
    """Check that a command makes a picture, only in its output folder, or fails with one line and writes nothing.

    Returns its exit status, and removes what it made.
    """
    caplog.set_level(logging.INFO, "styletransfer")
    before = listing(garden)
    status = main(arguments)
    captured, after, result = capsys.readouterr(), listing(garden), Path(output)
    if status in (0, 3):
        assert images.read(result / "image.png").ndim == 3
        assert not [path for path in result.rglob(".*") if path.name != ".keep"]
        shutil.rmtree(result.resolve())
        caplog.clear()
        return status
    assert status == 2
    assert_one_line(captured, caplog)
    assert after == before
    return status


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_picture_is_read_or_rejected(garden, capsys, caplog, name):
    assert_made_or_one_line(garden, command(content=name), capsys, caplog)


@pytest.mark.parametrize("name", [name for name in FILES if "-" not in name or "bomb" in name])
@pytest.mark.parametrize("role", ["style", "init", "weights"])
def test_a_file_that_is_not_a_picture_is_rejected_for_every_key(garden, capsys, caplog, role, name):
    changes = {
        "style": {"style": name},
        "init": ["init={kind: image, image: " + name + "}"],
        "weights": [f"weights={name}"],
    }[role]
    arguments = command(**changes) if isinstance(changes, dict) else command(*changes)
    assert assert_made_or_one_line(garden, arguments, capsys, caplog) == 2


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_picture_with_any_name_is_read(garden, capsys, caplog, name):
    assert assert_made_or_one_line(garden, command(content=name, style=name), capsys, caplog) == 0


@pytest.mark.parametrize("role", ["content", "style", "weights", "config"])
@pytest.mark.parametrize("name", NOT_FILES, ids=lambda name: ascii(name[:20]))
def test_a_path_that_is_not_a_file_is_rejected(garden, capsys, caplog, name, role):
    if name == "." and role in ("content", "style"):
        pytest.skip("a folder with pictures: one is made of each photograph, of all paintings together")
    if role == "weights":
        arguments = command("weights='" + name.replace("\0", "") + "'")
    else:
        arguments = command(f"--config={name}") if role == "config" else command(**{role: name})
    assert assert_made_or_one_line(garden, arguments, capsys, caplog) == 2 or (role, name) == ("weights", "")


@pytest.mark.parametrize("content", CONFIGS.values(), ids=CONFIGS)
def test_a_malformed_config_is_rejected(garden, tmp_path, capsys, caplog, content):
    (tmp_path / "c.yaml").write_bytes(content)
    assert assert_made_or_one_line(garden, ["--config", str(tmp_path / "c.yaml")], capsys, caplog) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml"]


@pytest.mark.parametrize("keys", [keys for keys, _ in KEYS], ids=dotted)
def test_every_key_accepts_a_value_or_rejects_it(garden, capsys, caplog, keys):
    statuses = []
    for value in VALUES:
        folder = garden / "result"
        arguments = [*command(), "--set", f"{dotted(keys)}={value}"]
        arguments += ["--set", "output.folder=result"] * (keys == ("output",))
        if keys == ("output", "folder") and value in ("text", "true", "2001-01-01", '"a\\nb\\e[2J"'):
            folder = garden / ("a\nb\x1b[2J" if "\\n" in value else value)
        statuses.append(assert_made_or_one_line(garden, arguments, capsys, caplog, folder))
    assert 2 in statuses


@pytest.mark.parametrize("name", FOLDERS, ids=lambda name: ascii(name[:20]))
def test_an_output_folder_with_any_name(tmp_path, monkeypatch, capsys, caplog, garden, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "linked").symlink_to("folder")
    arguments = command(content=garden / "photo.png", style=garden / "painting.png", output=name)
    assert assert_made_or_one_line(tmp_path, arguments, capsys, caplog, name) == 0


@pytest.mark.parametrize("option", [None, "--force", "--resume"])
@pytest.mark.parametrize("name", INVALID_FOLDERS, ids=lambda name: ascii(name[:30]))
def test_an_impossible_output_folder_is_rejected(garden, capsys, caplog, name, option):
    caplog.set_level(logging.INFO, "styletransfer")
    before = listing(garden)
    assert main(command(*filter(None, [option]), output=name)) == 2
    assert_one_line(capsys.readouterr(), caplog)
    assert listing(garden) == before


def test_a_config_may_be_read_from_a_pipe(garden, tmp_path, capsys, caplog):
    """The config is a pipe, as in ``--config <(...)``."""
    reading, writing = os.pipe()
    os.write(writing, b"size: 24\n")
    os.close(writing)
    try:
        arguments = command(f"--config=/dev/fd/{reading}")
        assert assert_made_or_one_line(garden, arguments, capsys, caplog) == 0
    finally:
        os.close(reading)


# The disk.

STEPS = 12


def disk_command(folder, *changes):
    changes = ("size=48", f"stop.max_iterations={STEPS}", "output.checkpoint_every=3", "output.save_every=5", *changes)
    return command("init.kind=noise", *changes, output=folder)


@pytest.fixture(scope="module")
def whole(garden, tmp_path_factory):
    """The output folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "plot", lambda *arguments: None)
        assert main(disk_command(folder)) == 0
    return folder


def assert_same_run(folder, reference):
    found, expected = (curves.read(place / "curve.csv") for place in (folder, reference))
    assert curves.first_difference(found, expected, relative=0.0) is None
    assert (folder / "image.png").read_bytes() == (reference / "image.png").read_bytes()
    assert not list(folder.rglob(".*"))


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small disk, in memory, with the given options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")
        return folder

    try:
        yield mount
    except FileNotFoundError:
        pytest.skip("mount is not installed")
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True)


@pytest.mark.parametrize("free", [0, 1, 2, 3, 6, 13, 15, 20, 26, 30, 34])
def test_a_full_disk_is_one_line_and_the_run_resumes_once_there_is_space(whole, disk, capsys, free):
    """The process has this many free pages of memory, from none to almost enough."""
    page = os.sysconf("SC_PAGE_SIZE")
    place = disk(f"size={100 * page}")
    (place / "other").write_bytes(bytes((100 - free) * page))
    folder = place / "run"
    assert main(disk_command(folder)) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert f"{folder}" in line and line.endswith(": No space left on device\n")
    assert not list(place.rglob(".*"))
    for path in folder.rglob("*.*"):  # no partial files
        if path.suffix == ".csv":
            assert curves.read(path).rows
        elif path.suffix in (".png", ".jpg"):
            images.read(path)
        elif path.suffix == ".npz":
            np.load(path).close()
    (place / "other").unlink()
    option = ["--resume"] if list(folder.glob("checkpoint*")) else []
    assert main(disk_command(folder, *option)) == 0
    assert_same_run(folder, whole)


def test_a_limit_on_the_size_of_files_is_one_line(garden, tmp_path):
    """In a separate process, to see all of standard error."""
    code = (
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"sys.argv[0] = {str(NSTYLE)!r}\n"
        f"runpy.run_path({str(NSTYLE)!r}, run_name='__main__')\n"
    )
    folder = tmp_path / "run"
    arguments = disk_command(folder, "optimizer.name=lbfgs")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    *progress, last = done.stderr.splitlines()
    assert last == f"error: {folder / 'checkpoint.npz'}: File too large"
    assert f"{folder / 'curve.png'}: not drawn: File too large" in progress
    assert all(line.startswith(("VGG-19", ENGINE.name, "48 x ", "step ", str(folder))) for line in progress)
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize("option", [None, "--force"])
def test_a_read_only_disk_is_one_line(garden, disk, capsys, caplog, option):
    caplog.set_level(logging.INFO, "styletransfer")
    place = disk("size=1m,ro")
    for folder in (place, place / "run"):
        assert main(command(*filter(None, [option]), output=folder)) == 2
        captured = capsys.readouterr()
        assert_one_line(captured, caplog)
        assert captured.err == f"error: output.folder: {folder} cannot be written: Read-only file system\n"


@pytest.fixture
def at_step(monkeypatch):
    """A function that runs an action when a step is recorded."""

    def happens(step, action):
        record = recorders.CurveRecorder.record

        def recorded(recorder, what):
            record(recorder, what)
            if what.step == step:
                monkeypatch.setattr(recorders.CurveRecorder, "record", record)
                action()

        monkeypatch.setattr(recorders.CurveRecorder, "record", recorded)

    return happens


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_changes_to_input_files_during_a_run_have_no_effect(whole, garden, tmp_path, monkeypatch, at_step, change):
    names = ("photo.png", "painting.png")
    for name in names:
        shutil.copy(garden / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def happens():
        for name in names:
            Path(name).unlink() if change == "deleted" else Path(name).write_bytes(b"other")

    at_step(2, happens)
    assert main(disk_command(tmp_path / "run", "scales=[32, 48]", "stop.max_iterations=[6, 6]")) == 0
    monkeypatch.chdir(garden)
    assert main(disk_command(tmp_path / "again", "scales=[32, 48]", "stop.max_iterations=[6, 6]")) == 0
    assert_same_run(tmp_path / "run", tmp_path / "again")


@pytest.mark.parametrize("step", [0, 4, STEPS])
def test_an_output_folder_that_vanishes_is_one_line(garden, tmp_path, capsys, at_step, step):
    folder = tmp_path / "run"
    at_step(step, lambda: shutil.rmtree(folder))
    assert main(disk_command(folder)) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: {folder / 'c'}") and line.endswith(": No such file or directory\n")
    assert line.count("\n") == 1 and "unfinished" not in line
    assert not folder.exists()


# Memory.

SHORT_OF_MEMORY = """
import pathlib, resource, sys
sys.path.insert(0, {project!r})
import skimage.restoration, skimage.transform, tqdm.contrib.logging
from styletransfer.engines import choose
from scripts.nstyle import main
from styletransfer.session import picture, session
engine = choose(precision="float32").load()
engine.numpy(engine.zeros((3, 3)))
held = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {more}, held + {more}))
sys.exit(main({arguments!r}))
"""


@pytest.mark.parametrize("megabytes", [15, 250])
def test_too_little_memory_is_one_line(garden, tmp_path, megabytes):
    """NumPy or MXNet is the first to fail; in bfloat16, and at some limits in float32, MXNet's kernels would crash."""
    changes = (
        "size=768",
        "tile=off",
        "precision=float32",
        "stop.max_iterations=1",
        "style.layers=null",
        "content.layers=null",
    )
    code = SHORT_OF_MEMORY.format(
        project=str(PROJECT), more=megabytes * 2**20, arguments=command(*changes, output=tmp_path / "run")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    *progress, last = done.stderr.splitlines()
    assert last.startswith("error: ") and "memory" in last
    assert "Traceback" not in done.stderr and len(progress) <= 3


@pytest.mark.parametrize("tile", ["auto", "off"])
def test_a_memory_limit_that_is_too_small_is_one_line_before_the_run_starts(garden, capsys, caplog, tile):
    assert assert_made_or_one_line(garden, command("memory=1MB", f"tile={tile}"), capsys, caplog) == 2


@pytest.mark.parametrize("tile", ["auto", "off"])
def test_a_picture_that_is_far_too_large_is_rejected_before_any_is_read(garden, capsys, monkeypatch, tile):
    monkeypatch.delattr(images, "read")
    assert main(command("size=20000", "scales=2", "memory=2GB", f"tile={tile}")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 20000 x 15000 pixels with vgg19_small and ") and "2,000 MB may be used" in line


# Closed and full outputs.


@pytest.mark.parametrize(
    ("redirection", "status"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 2)]
)
def test_closed_or_full_outputs_do_not_prevent_the_picture(garden, tmp_path, redirection, status):
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(PROJECT)!r})\n"
        "from scripts.nstyle import main\n"
        "from styletransfer.session import curves\n"
        "curves.plot = lambda *arguments: None\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    arguments = [sys.executable, "-c", code, *command(output=tmp_path / "run")]
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *arguments], capture_output=True, timeout=120)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    assert images.read(tmp_path / "run" / "image.png").shape == (18, 24, 3)


def test_messages_are_shown_without_control_characters():
    found = output_of(
        "import sys\nfrom styletransfer.cli.guard import guarded\nfrom styletransfer.support import errors\n"
        "def command():\n    raise errors.UserError('a\\nb\\x1b[2J\\ud800\\u202e')\n"
        "sys.stderr = sys.stdout\nguarded(command)"
    )
    assert found == "error: a b?[2J??"
