"""Open a page in the browser on which pictures are made without a command line."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from styletransfer.cli.options import Parser, file_path, whole


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Serve a page on which pictures are made, watched and compared in the browser.",
        epilog="Ctrl-C ends it; the run that is being made saves its state first.",
    )
    parser.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="the address to listen to (default: %(default)s, this machine alone); with 0.0.0.0, everybody whose "
        "computer can reach this one can see all pictures and start runs",
    )
    parser.add_argument(
        "--port", type=whole(0, 65_535), default=7860, help="the port (default: %(default)s; 0: a free one)"
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=file_path,
        default=Path("output"),
        help="folder of all runs (default: %(default)s)",
    )
    parser.add_argument(
        "--python",
        metavar="FILE",
        help="the Python that makes the pictures, with the packages of requirements.txt; default: the one that runs "
        "this, or that of the project's .venv",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.cli.guard import guarded

    def page() -> int:
        from styletransfer.page import server

        say = functools.partial(print, flush=True)
        server.serve(options.host, options.port, options.output, options.python, not options.no_browser, say)
        return 0

    return guarded(page)
