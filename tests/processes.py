"""Python in a separate process, for tests of imports, the environment, signals and terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
NSTYLE = PROJECT / "scripts" / "nstyle.py"


def python(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS`` in the project folder to completion."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def output_of(code: str, **environment: str) -> str:
    """The output of a few lines of Python, which must exit with status 0."""
    done = python("-c", code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
