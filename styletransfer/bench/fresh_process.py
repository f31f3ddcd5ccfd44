"""Call a function in a fresh process, with its own peak memory and cold caches."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.threads import threads
from styletransfer.support.errors import StyleTransferError, UserError
from styletransfer.support.project import PROJECT_FOLDER


class Killed(StyleTransferError):
    """The process was killed by a signal, most likely because it ran out of memory."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a module-level function in a fresh process and return its result.

    Raises UserError if the function raised it. Raises Killed if the process was killed by a signal. Raises a
    StyleTransferError if it failed otherwise.

    Parameters
    ----------
    function : function at the top level of a module
    arguments : JSON values; the result is passed through JSON as well
    """
    paths = [str(PROJECT_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", __name__, function.__module__, function.__name__],
        env={**os.environ, "OMP_NUM_THREADS": str(threads()), "PYTHONPATH": os.pathsep.join(paths)},
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
    )
    what = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    if done.returncode < 0:
        raise Killed(f"{what}: its process was killed by {signal.Signals(-done.returncode).name}")
    if done.returncode == UserError.status and done.stderr:
        raise UserError(done.stderr.splitlines()[-1])
    if done.returncode:
        raise StyleTransferError(f"{what} failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])  # libraries may print other lines before


def main(module: str, function: str) -> int:
    """Call the function with the arguments on standard input, and print what it returns."""
    with contextlib.suppress(OSError):  # if memory runs out, the OOM killer should choose this process
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        result = getattr(importlib.import_module(module), function)(*json.load(sys.stdin))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.status
    print(f"\n{json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
