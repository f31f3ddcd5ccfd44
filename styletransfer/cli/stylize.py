"""Give pictures a trained style: files, or a folder of them."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

_DEVICE = "cpu"


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Give pictures a trained style, each in one pass through a network.",
        epilog="Exit status: 0 done; 1 some pictures of several could not be used; 2 an error such as invalid "
        "input, reported in one line.",
    )
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path, help="photographs, or one folder of them")
    parser.add_argument("--style", metavar="NAME", required=True, help="a bundled style, or a style file (.npz)")
    parser.add_argument(
        "--output", metavar="FILE", required=True, type=Path, help="the result; for several pictures a folder"
    )
    parser.add_argument(
        "--strength",
        type=_share,
        default=1.0,
        help="share of the style, 0 to 1; the rest is the photograph (default: 1)",
    )
    parser.add_argument(
        "--keep-colors", action="store_true", help="keep the photograph's colours; only luminance gets the style"
    )
    parser.add_argument(
        "--size", metavar="PIXELS", type=_side, help="long edge to which larger photographs are reduced first"
    )
    parser.add_argument("--memory", metavar="SIZE", type=_size, help="limit, such as 4GB (default: what is free)")
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="arithmetic of the network"
    )
    parser.add_argument("--force", action="store_true", help="overwrite results that are there")
    parser.add_argument("--resume", action="store_true", help="make only results that are not there")
    return parser


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _side(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 20000")
    return int(text)


def _size(text: str) -> str:
    from styletransfer.support.byte_sizes import parse_size

    try:
        parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4GB") from None
    return text


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("styletransfer").setLevel(logging.INFO)

    from styletransfer.support import commands

    def stylize() -> int:
        from styletransfer.feedforward import folders, style_file
        from styletransfer.feedforward.stylize import Stylizer, finished
        from styletransfer.network.device import context_of
        from styletransfer.run import memory
        from styletransfer.run.resolve import chosen_precision
        from styletransfer.support.errors import UserError

        style = style_file.read(style_file.find(options.style))
        jobs = folders.plan(options.pictures, options.output, options.force, options.resume)
        limit = memory.limit(options.memory)
        stylizer = Stylizer(style, context_of(_DEVICE), chosen_precision(options.precision, _DEVICE), limit)
        problems = folders.make(
            jobs,
            lambda picture: finished(picture, stylizer(picture), options.strength, options.keep_colors),
            options.size,
            lambda job: print(job.target, flush=True),
        )
        if problems and len(jobs) == 1:
            raise UserError(problems[0])
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1 if problems else 0

    return commands.guarded(stylize)
