"""The page's server: its address, its announcement, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

from models.runtime import check_environment
from styletransfer.page.guard import Guard
from styletransfer.page.instant_pictures import InstantPictures
from styletransfer.page.job_queue import JobQueue
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.project import IS_INSTALLED, PROJECT_FOLDER

HERE = ("127.0.0.1", "localhost", "::1")
_SETTINGS = {  # of the libraries below us, read when they are imported
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}


def serve(host: str, port: int, output: Path, python: str | None, browse: bool, say: Callable[[str], None]) -> None:
    """Serve the page until a signal ends it; the run that is being made saves its state then.

    Raises UserError if Gradio or MXNet is not installed, the folder cannot be written, or the port is taken.

    Parameters
    ----------
    host : str
        The address to listen to.
    port : int
        0: a free one.
    output : Path
        The folder of all runs.
    python : str, or None
        The Python that makes the runs; None: this one, or that of the project's environment if this has no MXNet.
    browse : bool
        Whether to open a browser.
    say : callable
        Receives lines about the server.
    """
    _check_gradio()
    runner = python_of_runs(python)
    check_environment()
    _check_folder(output)
    listening = _listen(host, port)
    variables = dict(os.environ)  # of the runs, without the settings below
    with tempfile.TemporaryDirectory(prefix="nstyle-page-") as cache:
        os.environ.update(_SETTINGS, GRADIO_TEMP_DIR=str(Path(cache) / "arrivals"))
        import uvicorn

        from styletransfer.page import layout
        from styletransfer.page.controller import PageController

        copies, arrivals, made = (Path(cache) / name for name in ("copies", "arrivals", "instant"))
        for folder in (copies, arrivals, made):
            folder.mkdir()
        queue, instant = JobQueue(output, variables, runner), InstantPictures(made, variables, runner)
        with contextlib.closing(queue), contextlib.closing(instant), contextlib.closing(listening):
            controller = PageController(queue, instant, copies, arrivals)
            app = Guard(layout.application(controller), _names_of_this_machine(host))
            port = listening.getsockname()[1]
            url = f"http://{_as_written(host)}:{port}"
            for line in announcement(host, url):
                say(line)
            if browse:
                threading.Timer(1.0, webbrowser.open, (url,)).start()
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
            logging.getLogger("uvicorn.error").addFilter(is_worth_saying)
            with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again once it has ended
                server.run(sockets=[listening])
            if queue.current:
                say("saving the state of the run that is being made")


def is_worth_saying(record: logging.LogRecord) -> bool:
    """Return whether a message of uvicorn is about more than open requests cut off at the end of the server."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError) and "running task(s)" not in str(record.msg)


def announcement(host: str, url: str) -> list[str]:
    """Announce the address, with a warning if the server can be reached from other machines."""
    if host in HERE:
        return [f"the page is at {url} (for this machine alone); Ctrl-C ends it"]
    return [
        f"the page is at {url}; Ctrl-C ends it",
        f"warning: --host {host}: everybody whose computer can reach this one can see all pictures in the output "
        "folder, upload pictures and start runs; there is no password and no encryption",
    ]


def python_of_runs(asked: str | None) -> str | None:
    """Find the Python that makes the runs; None for the present one.

    Raises UserError if there is none that has MXNet.
    """
    if asked is not None:
        if not Path(asked).is_file():
            raise UserError(f"--python {asked}: no such file")
        return asked
    if importlib.util.find_spec("mxnet") is not None:
        return None
    beside = PROJECT_FOLDER / ".venv" / "bin" / "python"
    if not beside.is_file():
        raise UserError(
            "MXNet, which makes the pictures, is not installed here; run make page, or name the Python that has it "
            "with --python"
        )
    return str(beside)


def _check_gradio() -> None:
    missing = [name for name in ("gradio", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        how = "pip install 'nstyle[page]'" if IS_INSTALLED else "run make page, which installs it"
        raise UserError(f"the page needs {missing[0]}, which is not installed: {how}")


def _check_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UserError(f"--output: {output} cannot be written: {reason_of(error)}") from None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"cannot listen to {host}, port {port}: {reason_of(error)}; choose another with --port"
        ) from None


def _names_of_this_machine(host: str) -> set[str]:
    if host in HERE:
        return set()
    name = socket.gethostname().lower()
    return {name, f"{name}.local", socket.getfqdn().lower(), host.lower()}


def _as_written(host: str) -> str:
    """A host as it stands in an address."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
