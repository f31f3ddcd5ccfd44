"""Neural style transfer: the content of a photograph in the style of a painting."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from styletransfer.cli.options import add_overrides

if TYPE_CHECKING:
    from styletransfer.config import Config


def parser(program: str | None = None, more: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Neural style transfer: the content of a photograph in the style of a painting.",
        epilog="Exit status: 0 done; 2 an error such as invalid input, reported in one line; 3 the optimisation "
        f"diverged; 75 interrupted, the last line says how to resume. docs/config.md explains every config key. {more}",
    )
    parser.add_argument("--config", metavar="FILE", help="a YAML config (default: the default preset)")
    parser.add_argument("--content", metavar="PICTURE", help="the photograph (content.image)")
    parser.add_argument(
        "--style", metavar="PICTURE", action="append", help="a painting (style.images); repeatable, to blend several"
    )
    parser.add_argument("--output", metavar="FOLDER", help="folder of the results (output.folder)")
    add_overrides(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print sizes, steps, memory and estimated time, without making the picture",
    )
    parser.add_argument(
        "--profile", action="store_true", help="print where the time of a step goes, without making the picture"
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite a finished or unfinished run in the output folder"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the output folder")
    return parser


def _report(settings: Config, profile: bool) -> Iterable[str]:
    """The lines that ``--profile`` or ``--dry-run`` prints."""
    if profile:
        from styletransfer.studies import profiling

        return profiling.profile(settings).lines()
    from styletransfer.run import forecast, inputs
    from styletransfer.run.resolve import resolve

    plan = resolve(settings)
    return forecast.lines(plan, inputs.load_parameters(plan))


def main(arguments: list[str] | None = None, program: str | None = None, more: str = "") -> int:
    """Make a picture; the help ends with `more`."""
    options = parser(program, more).parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("styletransfer").setLevel(logging.INFO)

    from styletransfer.support import commands

    def transfer() -> int:
        from styletransfer import config

        values = {} if options.config is None else config.read_file(config.find_input(options.config))
        named = {
            "content": {"image": options.content},
            "style": {"images": options.style},
            "output": {"folder": options.output},
        }
        for section, keys in named.items():
            for key, value in keys.items():
                if value is not None:
                    values = config.put(values, [section, key], value, f"--{section}")
        where = options.config or "the command line"
        if options.config and options.assignments:
            where += " with --set"
        settings = config.parse(config.override(values, options.assignments), where)

        if options.dry_run or options.profile:
            for line in _report(settings, options.profile):
                print(line, flush=True)
            return 0

        from styletransfer.run import run

        print(run.run(settings, force=options.force, resume=options.resume))
        return 0

    return commands.guarded(transfer)
