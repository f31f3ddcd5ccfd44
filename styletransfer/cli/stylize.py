"""Give pictures and videos the style of any painting, or a trained style: files, or a folder of them."""

from __future__ import annotations

import argparse
import logging
import sys

from styletransfer.cli import kinds
from styletransfer.cli.options import Parser, file_path, number, whole

_DEVICE = "cpu"


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Give pictures and videos the style of any painting, or a trained style, at once.",
        epilog="Exit status: 0 done; 1 some files of several could not be used; 2 an error such as invalid "
        "input, reported in one line; 75 a video was interrupted, and --resume continues it.",
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=file_path, help="photographs and videos, or one folder of them"
    )
    parser.add_argument(
        "--style",
        metavar="STYLE",
        action="append",
        required=True,
        help="a painting; or a trained style: the name of a bundled one, or a style file (.npz). Repeated: paintings "
        "to blend",
    )
    parser.add_argument(
        "--style-weights", metavar="LIST", type=_weights, help="weights of the paintings in their blend, such as 2,1"
    )
    parser.add_argument(
        "--style-size",
        metavar="PIXELS",
        type=whole(16, 20_000),
        help="long edge of the paintings: smaller for smaller strokes (default: that of the photograph)",
    )
    parser.add_argument(
        "--mask",
        metavar="MASK",
        action="append",
        help="the part of the photograph that gets the painting: a grey picture, white inside, or 'rest' for what the "
        "others leave; once for each --style",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_path,
        help="the result; for several files a folder (default for one file: beside it, named after the style)",
    )
    parser.add_argument(
        "--strength",
        type=number(0, 1),
        help="share of the style, 0 to 1; the rest is the photograph (default: 0.7 for a painting, 1 for a trained "
        "style)",
    )
    parser.add_argument(
        "--keep-colors", action="store_true", help="keep the photograph's colours; only luminance gets the style"
    )
    parser.add_argument(
        "--size",
        metavar="PIXELS",
        type=whole(1, 20_000),
        help="long edge to which larger photographs and frames are reduced first",
    )
    parser.add_argument("--memory", metavar="SIZE", type=_size, help="limit, such as 4GB (default: what is free)")
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="arithmetic of the network"
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing results")
    parser.add_argument(
        "--resume", action="store_true", help="make only the missing results, and continue unfinished videos"
    )
    return parser


def _weights(text: str) -> list[float]:
    read = number(1e-6, 1e6)
    return [read(part.strip()) for part in text.split(",")]


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

    from threading import Event

    from styletransfer.cli.guard import guarded
    from styletransfer.support import overwriting

    def stylize() -> int:
        from styletransfer.engines import choose
        from styletransfer.feedforward import folders, styles
        from styletransfer.feedforward.jobs import Job
        from styletransfer.session import interrupts, memory
        from styletransfer.support.errors import UserError

        kinds.check(options.files, "video")
        kinds.check(options.style, "style")
        style = styles.read(options.style, options.style_weights, options.style_size, options.mask)
        jobs = folders.plan(options.files, options.output, style.name, options.force, options.resume)
        overwriting.check((job.target for job in jobs), style.files, force=True)
        choice = choose(device=_DEVICE, precision=options.precision)
        allowed = memory.for_pictures(memory.limit(options.memory), choice.memory_factors)
        stylise = style.stylizer(choice.load(), choice.precision, options.strength, options.keep_colors, allowed)
        settings = {
            **style.settings,
            "--strength": options.strength,
            "--keep-colors": options.keep_colors,
            "--size": options.size,
            "--precision": choice.precision,
        }

        def done(job: Job) -> None:
            print(job.target, flush=True)

        pictures, films = ([job for job in jobs if job.is_video == wanted] for wanted in (False, True))
        problems = folders.make(pictures, stylise, options.size, done)
        if films:
            from styletransfer.feedforward import videos

            stopped = Event()
            with interrupts.setting(stopped):
                problems += videos.make(films, stylise, options.size, settings, options.resume, stopped, done)
        if problems and len(jobs) == 1:
            raise UserError(problems[0])
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1 if problems else 0

    return guarded(stylize)
