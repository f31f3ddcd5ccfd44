"""The commands, one module each; a script in `scripts/` calls one of them, ``nstyle`` all.

transfer          one picture from one config: ``nstyle`` alone
page ... distill  the others, by their names: ``nstyle submit``

They import the library only once the command line is understood, so that ``--help`` needs nothing but Python.
"""

from __future__ import annotations

import importlib
import sys

from styletransfer.support import commands
from styletransfer.support.errors import UserError, nearest

COMMANDS = {
    "page": "a page in the browser",
    "submit": "many pictures, here or on a cluster",
    "fetch": "pretrained weights",
    "compare": "two loss curves",
    "judge": "how good pictures are",
    "visualize": "what a filter sees",
    "bench": "time and memory",
    "distill": "trains the bundled network",
}


def main(arguments: list[str] | None = None, program: str = "nstyle") -> int:
    """Run the command that the first argument names; where it names none, make a picture."""
    given = sys.argv[1:] if arguments is None else arguments
    name = given[0] if given else ""
    if name in COMMANDS:
        return importlib.import_module(f"{__name__}.{name}").main(given[1:], f"{program} {name}")
    if name and not name.startswith("-"):
        return commands.guarded(lambda: _refuse(program, name))

    from styletransfer.cli import transfer

    listed = "; ".join(f"{command} ({what})" for command, what in COMMANDS.items())
    return transfer.main(given, program, f"Further commands, each with its own --help: {listed}.")


def _refuse(program: str, name: str) -> int:
    raise UserError(f"{program}: there is no command {name!r}: {nearest(name, COMMANDS)}")
