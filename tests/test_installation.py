"""The installed package: built as a wheel, installed in a new environment, used from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from PIL import Image
from processes import PROJECT

import styletransfer
from styletransfer.cli import COMMANDS, main
from styletransfer.feedforward import style_file
from styletransfer.support import commands

LIBRARY, BESIDE = "styletransfer", ("configs", "input", "models", "scripts")
FILES = (
    *("pyproject.toml", "setup.py", "README.md", "LICENSE"),
    *("requirements.txt", "requirements-page.txt", "requirements-torch.txt"),
)
INSIDE = f"{LIBRARY}/_project/"
TINY = ("--set", "size=32", "--set", "scales=1", "--set", "stop.max_iterations=2", "--output", "made")


def run(*command, folder=None):
    """Run a command, which must succeed, without this project on Python's path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from links to the project's files, so that the build leaves nothing in the project."""
    folder = tmp_path_factory.mktemp("source")
    for name in (*FILES, LIBRARY, *BESIDE):
        (folder / name).symlink_to(PROJECT / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", folder / "wheels")
    run(sys.executable, "-m", "pip", "wheel", *options, folder)
    (path,) = (folder / "wheels").iterdir()
    return path


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The programs of an environment that has this one's packages and the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "others.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel)
    return folder / "bin"


@pytest.fixture(params=["nstyle", "python -m styletransfer"])
def nstyle(request, programs):
    program, *options = request.param.split()
    return (programs / program, *options)


def test_the_wheel_contains_exactly_the_files_of_the_project(wheel):
    """Fetched weights may not be redistributed."""
    if not (PROJECT / ".git").exists():
        pytest.skip("only git knows what is ours")
    ours = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", LIBRARY, *BESIDE, folder=PROJECT)
    expected = {name if name.startswith(LIBRARY) else INSIDE + name for name in ours.split("\0") if name}
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def requirements(name):
    """The requirements in a file, without those of other files that it names."""
    lines = [line.partition("#")[0].strip() for line in (PROJECT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-r ")]


def test_its_dependencies_are_ranges_around_the_requirements(wheel):
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = message_from_bytes(archive.read(name))
    assert told["Requires-Python"] == ">=3.10" and told["Version"] == styletransfer.__version__
    asked = [Requirement(line) for line in told.get_all("Requires-Dist")]
    always = [each for each in asked if "extra ==" not in str(each)]
    assert_ranges_of(always, requirements("requirements.txt"))
    for extra in ("torch", "page"):
        found = [each for each in asked if f'extra == "{extra}"' in str(each)]
        assert_ranges_of(found, requirements(f"requirements-{extra}.txt"))
    assert (told["Name"], told["Author"]) == ("nstyle", "The nstyle authors")


def assert_ranges_of(ranges, pins):
    """Each range is of the package and for the machines of its pin, and allows it and later ones of its major."""
    assert [each.name for each in ranges] == [each.name for each in pins]
    for each, pin in zip(ranges, pins):
        assert pin.marker is None or str(pin.marker) in str(each.marker)
        for specifier in pin.specifier:
            major = specifier.version.partition(".")[0]
            allowed = (specifier.version, f"{major}.9999")
            assert list(each.specifier.filter([*allowed, "0.0.1", f"{int(major) + 1}.0"])) == list(allowed)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14", "3.15"])
@pytest.mark.parametrize(
    ("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64")]
)
def test_every_machine_gets_one_engine_and_one_version_of_each_package(python, system, machine):
    here = {"python_version": python, "sys_platform": system, "platform_machine": machine}
    needed = [each for each in requirements("requirements.txt") if each.marker is None or each.marker.evaluate(here)]
    versions = {each.name: str(each.specifier).removeprefix("==") for each in needed}
    assert len(versions) == len(needed)
    has_mxnet = (system, machine) == ("linux", "x86_64") and python in ("3.10", "3.11", "3.12")
    assert set(versions) & {"mxnet", "setuptools", "torch"} == ({"mxnet", "setuptools"} if has_mxnet else {"torch"})
    assert versions["numpy"].startswith("1.26." if has_mxnet else "2.")
    assert set(versions) >= {"scikit-image", "scipy", "pillow", "av"}


def test_pytorch_has_one_version():
    (torch,) = requirements("requirements-torch.txt")
    assert torch.specifier in [each.specifier for each in requirements("requirements.txt") if each.name == "torch"]


def test_the_image_is_built_from_the_files_of_the_wheel():
    lines = (PROJECT / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert copied == {*FILES, LIBRARY, *BESIDE} and all((PROJECT / name).exists() for name in copied)
    kept = {name for line in ignored if line.startswith("!") for name in PROJECT.glob(line[1:])}
    assert {PROJECT / name for name in copied} <= kept


@pytest.mark.parametrize("target", ["test-torch", "starry ENGINE=torch"])
def test_the_makefile_finds_a_python_and_adds_pytorch(tmp_path, target):
    """In a dry run that creates the environments."""
    folders = (f"VENV={tmp_path / 'mxnet'}", f"VENV_TORCH={tmp_path / 'torch'}")
    commands = run("make", "--dry-run", *target.split(), *folders, folder=PROJECT)
    assert " -m venv " in commands and "requirements-torch.txt" in commands
    assert ("engine=torch" in commands) == target.startswith("starry")


def test_the_makefile_says_which_python_is_needed(tmp_path):
    done = subprocess.run(
        ["make", "starry", f"VENV={tmp_path / 'new'}", "PYTHON3="],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "error: Python 3.10 or later with venv is needed" in done.stderr
    assert not (tmp_path / "new").exists()


def test_the_version_is_printed(nstyle, tmp_path):
    assert run(*nstyle, "--version", folder=tmp_path) == f"nstyle {styletransfer.__version__}\n"


def test_help_names_the_command(nstyle, tmp_path):
    title = " ".join([Path(nstyle[0]).name, *nstyle[1:]])
    text = " ".join(run(*nstyle, "--help", folder=tmp_path).split())
    assert text.startswith(f"usage: {title} [-h] ")
    for name in COMMANDS:
        assert f"{name} (" in text
        assert run(*nstyle, name, "--help", folder=tmp_path).startswith(f"usage: {title} {name} [-h]")


def test_a_picture_is_made_in_an_empty_folder(nstyle, tmp_path):
    said = run(*nstyle, "--config", "configs/starry.yaml", *TINY, folder=tmp_path)
    assert said == "made/image.png\n"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    with Image.open(tmp_path / "made" / "image.png") as picture:
        assert max(picture.size) == 32
    assert "equal within" in run(*nstyle, "compare", "made", "made", folder=tmp_path)


@pytest.mark.parametrize("name", style_file.names() or [pytest.param("", marks=pytest.mark.skip("none is bundled"))])
def test_the_bundled_styles_are_found(programs, tmp_path, name):
    start = ("--set", f"init={{kind: style, name: {name}}}")
    run(programs / "nstyle", "--config", "configs/starry.yaml", *TINY, *start, folder=tmp_path)
    assert f"name: {name}" in (tmp_path / "made" / "config.yaml").read_text()


def test_a_sweep_is_made_in_an_empty_folder(programs, tmp_path):
    """Its jobs run in separate processes."""
    (tmp_path / "sweep.yaml").write_text("base: configs/starry.yaml\nvary: {seed: [7]}\noutput: made\n")
    run(programs / "nstyle", "submit", "sweep.yaml", *TINY, folder=tmp_path)
    assert (tmp_path / "made" / "contact.png").exists()
    assert len(list(tmp_path.glob("made/*/image.png"))) == 1


def test_only_one_package_is_added(programs):
    (own,) = (programs.parent / "lib").glob("python*/site-packages")
    folders = {path.name for path in own.iterdir() if path.is_dir() and path.suffix != ".dist-info"}
    assert folders - {"__pycache__"} == {LIBRARY}


DOWNSTREAM = """
from PIL import Image
from styletransfer import Result, UserError, steps, transfer

try:
    result = transfer("a.jpg", {"b.jpg": 2.0}, size=300, progress=lambda step: step.image.save("step.png"))
except UserError as error:
    raise SystemExit(str(error))
reveal_type(result)
reveal_type(result.image)
reveal_type(result.losses)
reveal_type(result.config.style.weight)
transfer(result.image, [result.image, "b.jpg"], config=result.config)
transfer("a.jpg", [("b.jpg", 2), (result.image, 0.5)])
for step in steps("a.jpg", "b.jpg"):
    reveal_type(step.losses.total)
transfer(3)
result.picture
"""
_SEEN = [
    '9: note: Revealed type is "styletransfer.api.results.Result"',
    '10: note: Revealed type is "PIL.Image.Image"',
    '11: note: Revealed type is "typing.Mapping[builtins.str, builtins.list[builtins.float]]"',
    '12: note: Revealed type is "builtins.float"',
    '16: note: Revealed type is "builtins.float"',
    '17: error: Argument 1 to "transfer" has incompatible type "int"',
    '18: error: "Result" has no attribute "picture"',
]


def test_a_program_that_uses_it_sees_its_types(programs, tmp_path):
    (tmp_path / "mine.py").write_text(DOWNSTREAM)
    options = ("--python-executable", programs / "python", "--cache-dir", tmp_path / "cache", "mine.py")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, options)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = [line.removeprefix("mine.py:") for line in done.stdout.splitlines() if line.startswith("mine.py:")]
    assert len(found) == len(_SEEN), done.stdout
    for line, expected in zip(found, _SEEN):
        assert line.startswith(expected), done.stdout


@pytest.mark.parametrize(
    ("script", "command"), [("fetch", "nstyle fetch"), ("nstyle", "nstyle"), ("compare_curves", "nstyle compare")]
)
def test_hints_name_the_installed_command(monkeypatch, script, command):
    line = f"run `python scripts/{script}.py --help`"
    assert commands.as_called(line) == line
    monkeypatch.setattr(commands, "IS_INSTALLED", True)
    assert commands.as_called(line) == f"run `{command} --help`"


@pytest.mark.parametrize(("word", "meant"), [("submti", "submit"), ("train-style", "train_style"), ("cofee", "coffee")])
def test_an_unknown_command_is_one_line(capsys, word, meant):
    assert main([word, "a.yaml"]) == 2
    assert capsys.readouterr().err == f"error: nstyle: unknown command {word!r}; did you mean {meant!r}?\n"
