"""A function called in a process of its own: its peak memory is its own, and nothing is warm from the call before."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from styletransfer.studies.benchmarks.machine import threads
from styletransfer.support.errors import StyleTransferError, UserError
from styletransfer.support.project import PROJECT_FOLDER

_RESULT = "result: "  # opens the line that holds it; libraries may print more


class Killed(StyleTransferError):
    """The process was ended by a signal; for want of memory, most likely."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns when it is called in a fresh process.

    Parameters
    ----------
    function : function at the top level of a module
    arguments : what JSON can hold; the result too comes back through JSON

    Raises
    ------
    UserError
        If the function raised it.
    Killed
        If the process did not end on its own.
    StyleTransferError
        If it failed in another way.
    """
    return call_and_listen(function, *arguments)[0]


def call_and_listen(
    function: Callable[..., Any], *arguments: Any, environment: Mapping[str, str] | None = None
) -> tuple[Any, list[str]]:
    """The same, with more in the environment, and with the lines that were printed besides."""
    paths = [str(PROJECT_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", __name__, function.__module__, function.__name__],
        env={
            **os.environ,
            "OMP_NUM_THREADS": str(threads()),
            "PYTHONPATH": os.pathsep.join(paths),
            **(environment or {}),
        },
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
    )
    what = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    if done.returncode < 0:
        raise Killed(f"{what}: its process was ended by {signal.Signals(-done.returncode).name}")
    if done.returncode == UserError.status and done.stderr:
        raise UserError(done.stderr.splitlines()[-1])
    if done.returncode:
        raise StyleTransferError(f"{what} failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
    lines = done.stdout.splitlines()
    results = [line[len(_RESULT) :] for line in lines if line.startswith(_RESULT)]
    return json.loads(results[-1]), [line for line in lines if not line.startswith(_RESULT)]


def main(module: str, function: str) -> int:
    """Call the function with the arguments on standard input, and print what it returns."""
    with contextlib.suppress(OSError):  # where memory ends, this process is to go, and none that the machine needs
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        result = getattr(importlib.import_module(module), function)(*json.load(sys.stdin))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.status
    print(f"\n{_RESULT}{json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
