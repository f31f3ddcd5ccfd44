"""The page's server before it serves: one line for what is missing, and what it says about who can reach it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import subprocess
import sys

import pytest
from processes import PROJECT

from styletransfer.page import server
from styletransfer.support.errors import UserError


def serve(tmp_path, **options):
    said: list[str] = []
    given = {"host": "127.0.0.1", "port": 0, "output": tmp_path / "output", "python": sys.executable, "browse": False}
    server.serve(**{**given, **options}, say=said.append)
    return said


@pytest.fixture
def lacks(monkeypatch):
    """Make packages look as if they were installed or not."""

    def make(*missing):
        find = importlib.util.find_spec

        def find_spec(name, package=None):
            if name in missing:
                return None
            return object() if name in ("gradio", "uvicorn", "mxnet") else find(name, package)

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    return make


@pytest.mark.parametrize("name", ["gradio", "uvicorn"])
@pytest.mark.parametrize(
    ("installed", "how"), [(True, "pip install 'nstyle[page]'"), (False, "run make page, which installs it")]
)
def test_a_missing_package_is_told_in_a_line(tmp_path, monkeypatch, lacks, name, installed, how):
    lacks(name)
    monkeypatch.setattr(server, "IS_INSTALLED", installed)
    with pytest.raises(UserError) as told:
        serve(tmp_path)
    assert str(told.value) == f"the page needs {name}, which is not installed: {how}"
    assert not (tmp_path / "output").exists()


def test_the_command_tells_it_in_a_line_too(tmp_path):
    """Only the packages that the message needs are installed."""
    block = "import sys; sys.modules['gradio'] = None; sys.argv = ['page']; "
    finds = "import importlib.util as u; f = u.find_spec; "
    finds += "u.find_spec = lambda name, package=None: None if name == 'gradio' else f(name, package); "
    run = f"sys.path.insert(0, {str(PROJECT)!r}); from styletransfer.cli.page import main; sys.exit(main([]))"
    made = subprocess.run([sys.executable, "-c", block + finds + run], cwd=tmp_path, capture_output=True, text=True)
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith("error: the page needs gradio, which is not installed: ")
    assert made.stderr.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_python_that_is_not_there_is_told(tmp_path, lacks):
    lacks()
    with pytest.raises(UserError, match="--python nowhere/python: no such file"):
        serve(tmp_path, python="nowhere/python")


def test_the_python_of_the_runs(tmp_path, monkeypatch, lacks):
    lacks()
    assert server.python_of_runs(None) is None
    assert server.python_of_runs(sys.executable) == sys.executable
    lacks("mxnet")
    monkeypatch.setattr(server, "PROJECT_FOLDER", tmp_path)
    with pytest.raises(UserError, match="MXNet, which makes the pictures, is not installed here; run make page"):
        server.python_of_runs(None)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert server.python_of_runs(None) == str(python)


def test_an_output_folder_that_cannot_be_written_is_told(tmp_path, lacks):
    lacks()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--output: .*file cannot be written: "):
        serve(tmp_path, output=tmp_path / "file")


def test_a_port_that_is_taken_is_told(tmp_path, lacks):
    lacks()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot listen to 127.0.0.1, port {port}: .*choose another with --port"):
            serve(tmp_path, port=port)


@pytest.mark.parametrize(
    ("error", "message", "worth"),
    [
        (asyncio.CancelledError(), "Exception in ASGI application", False),
        (None, "Cancel %s running task(s), timeout graceful shutdown exceeded", False),
        (ValueError(), "Exception in ASGI application", True),
        (None, "ASGI callable returned without starting response.", True),
    ],
)
def test_only_what_the_end_of_the_server_cuts_off_is_not_told(error, message, worth):
    facts = None if error is None else (type(error), error, None)
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, message, None, facts)
    assert server.is_worth_saying(record) is worth


@pytest.mark.parametrize("host", server.HERE)
def test_this_machine_alone(host):
    (line,) = server.announcement(host, "http://x:1")
    assert "http://x:1" in line and "this machine alone" in line


def test_listening_to_others_says_what_it_means():
    first, warning = server.announcement("0.0.0.0", "http://x:1")
    assert "http://x:1" in first and "alone" not in first
    assert warning.startswith("warning: --host 0.0.0.0: everybody") and "no password" in warning
