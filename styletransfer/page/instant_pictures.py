"""Instant pictures for the page, made by a process that stays warm, since the page's own environment has no engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from styletransfer.support.errors import UserError, system_line
from styletransfer.support.project import PROJECT_FOLDER

PATIENCE = 120.0  # seconds for an answer; the machine may be busy with a run, and the engine not yet loaded
_MOST_KEPT = 200  # pictures
_PROGRAM = (
    f"import sys; sys.path[0] = {str(PROJECT_FOLDER)!r}; "
    "from styletransfer.page.instant_worker import main; main()"
)  # fmt: skip


class InstantPictures:
    """Makes instant pictures, one at a time.

    Parameters
    ----------
    folder : Path
        An existing folder for the pictures.
    variables : dict of str
        The environment of the process.
    python : str, optional
        The Python that has an engine, if not the one that runs this.
    patience : float
        Seconds to wait for a picture.
    """

    def __init__(
        self, folder: Path, variables: Mapping[str, str], python: str | None = None, patience: float = PATIENCE
    ) -> None:
        self._folder, self._variables, self._patience = folder, dict(variables), patience
        self._command = [python or sys.executable, "-c", _PROGRAM]
        self._change = threading.Condition()
        self._unanswered: dict[str, tuple[Future[Path | None], Mapping[str, Any]]] = {}  # by owner
        self._kept: list[Path] = []
        self._closed = False
        self._process = self._start()
        self._thread = threading.Thread(target=self._work, name="instant pictures", daemon=True)
        self._thread.start()

    def make(self, request: Mapping[str, Any], owner: str) -> Path | None:
        """Make a picture.

        Raises UserError if it cannot be made.

        Parameters
        ----------
        request : dict
            See :meth:`styletransfer.page.instant_worker.Painter.paint`; without the target.
        owner : str
            A browser tab: a newer request of it makes an older one obsolete.

        Returns
        -------
        Path, or None
            The picture; None if it has become obsolete.
        """
        mine: Future[Path | None] = Future()
        with self._change:
            if self._closed:
                return None
            self._drop(owner)
            self._unanswered[owner] = mine, request
            self._change.notify()
        return mine.result()

    def forget(self, owner: str) -> None:
        """Make an unanswered request obsolete, if there is one."""
        with self._change:
            self._drop(owner)

    def _drop(self, owner: str) -> None:
        if owner in self._unanswered:
            self._unanswered.pop(owner)[0].set_result(None)

    def close(self) -> None:
        """End the process; what has not been answered is obsolete."""
        with self._change:
            self._closed = True
            for owner in list(self._unanswered):
                self._drop(owner)
            self._process.kill()  # it has nothing to save
            self._change.notify()
        self._thread.join()
        _close(self._process)

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._unanswered or self._closed)
                if self._closed:
                    return
                owner, (future, request) = next(iter(self._unanswered.items()))
            path, problem = None, None
            try:
                path = self._made(request)
            except UserError as error:
                problem = error
            except OSError as error:
                problem = UserError(system_line(error))
            with self._change:
                if future.done():  # obsolete
                    continue
                del self._unanswered[owner]
                if problem is None:
                    future.set_result(path)
                else:
                    future.set_exception(problem)

    def _made(self, request: Mapping[str, Any]) -> Path:
        """The picture, made now or before."""
        files = [request["content"], *request["styles"]]
        facts = [Path(file).stat().st_mtime_ns if Path(file).is_file() else None for file in files]
        key = json.dumps([request, facts], sort_keys=True)
        target = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.jpg"
        if not target.exists():
            self._ask({**request, "target": str(target)})
            self._kept.append(target)
            for old in self._kept[:-_MOST_KEPT]:
                old.unlink(missing_ok=True)
            del self._kept[:-_MOST_KEPT]
        return target

    def _ask(self, request: Mapping[str, Any]) -> None:
        """Send a request and wait for its answer; a process that does not give one is replaced."""
        if self._process.poll() is not None:
            self._replace()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        line = b""
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], self._patience)[0]:
                self._replace()
                raise UserError(f"no instant picture within {self._patience:g} seconds; try a smaller one, or again")
            line = process.stdout.readline()
        except BrokenPipeError:
            pass
        if not line:
            status = process.wait()
            self._replace()
            raise UserError(f"the process that makes instant pictures has ended with status {status}; try again")
        problem = json.loads(line).get("error")
        if problem:
            raise UserError(problem)

    def _replace(self) -> None:
        with self._change:
            if not self._closed:
                self._process.kill()
                _close(self._process)
                self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command,
            env={"OPENBLAS_NUM_THREADS": "1", **self._variables},  # several wait long for each other beside a run
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # only we receive Ctrl-C
        )


def _close(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):  # of a request that was not sent
            pipe.close()
