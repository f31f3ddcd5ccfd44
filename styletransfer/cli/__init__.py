"""The commands, one module each; each script in `scripts/` calls one of them, ``nstyle`` calls any of them.

``nstyle`` itself is `transfer`, one picture from one config; the others are called by name, as in ``nstyle submit``.
They import the library only after the command line has been parsed, so that ``--help`` needs nothing but Python.
"""

from __future__ import annotations

import importlib
import os
import sys

from styletransfer.cli.guard import guarded
from styletransfer.support.errors import UserError, closest, nearest
from styletransfer.support.project import PROJECT_FOLDER

COMMANDS = {
    "page": "make pictures in the browser",
    "stylize": "give pictures a trained style, at once",
    "train_style": "train a network for one style",
    "submit": "make many pictures, on this machine or a cluster",
    "fetch": "download pretrained weights",
    "doctor": "show versions, the engine in use, and what is missing",
    "compare": "compare two loss curves",
    "judge": "measure how close pictures are to style and content",
    "flicker": "measure how much trained styles flicker in videos",
    "visualize": "show what a filter responds to",
    "bench": "measure time and memory",
}


def main(arguments: list[str] | None = None, program: str = "nstyle") -> int:
    """Run the command that the first argument names; without one, make a picture."""
    given = sys.argv[1:] if arguments is None else arguments
    name = given[0] if given else ""
    if name in COMMANDS:
        return importlib.import_module(f"{__name__}.{name}").main(given[1:], f"{program} {name}")
    if name and not name.startswith("-") and not _is_file(name):
        return guarded(lambda: _reject(program, name))

    from styletransfer.cli import transfer

    listed = "; ".join(f"{command} ({what})" for command, what in COMMANDS.items())
    return transfer.main(given, program, f"Further commands, each with its own --help: {listed}.")


def _is_file(name: str) -> bool:
    """Return whether a word is meant as a file: one of the project's pictures too, by its stem."""
    return bool(set(name) & set("./~")) or os.path.exists(name) or name in _pictures()  # noqa: PTH110 - of any length


def _pictures() -> list[str]:
    return sorted(path.stem for path in (PROJECT_FOLDER / "input").glob("*.jpg"))


def _reject(program: str, name: str) -> int:
    known = [*COMMANDS, *_pictures()] if closest(name, COMMANDS) is None else COMMANDS
    raise UserError(f"{program}: unknown command {name!r}; {nearest(name, known)}")
