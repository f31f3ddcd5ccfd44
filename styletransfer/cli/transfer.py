"""Neural style transfer: the content of a photograph in the style of a painting."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from typing import Any


def parser(program: str | None = None, more: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Neural style transfer: the content of a photograph in the style of a painting.",
        epilog="Exit status: 0 done; 2 something in the input is at fault; 3 the optimisation diverged; "
        f"75 interrupted, the last line says how to go on. docs/config.md explains every config key. {more}",
    )
    parser.add_argument("--config", metavar="FILE", help="a YAML config; without, the default preset is used")
    parser.add_argument("--content", metavar="PICTURE", help="the photograph (content.image)")
    parser.add_argument(
        "--style", metavar="PICTURE", action="append", help="a painting (style.images); give it again to blend several"
    )
    parser.add_argument("--output", metavar="FOLDER", help="where the results go (output.folder)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="assignments",
        help="override a key, style.weight=50",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the plan (sizes, steps, memory, time) and make nothing"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time of a step goes, and make nothing")
    parser.add_argument("--force", action="store_true", help="overwrite a finished output folder")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
    return parser


def _foretold(settings: Any, profile: bool) -> Iterable[str]:
    """The lines about a run that is not made."""
    if profile:
        from styletransfer.studies import profiling

        return profiling.profile(settings).lines()
    from styletransfer.run import forecast, inputs
    from styletransfer.run.resolve import resolve

    plan = resolve(settings)
    return forecast.lines(plan, inputs.load_parameters(plan))


def main(arguments: list[str] | None = None, program: str | None = None, more: str = "") -> int:
    """Make a picture; `more` is said at the end of the help."""
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
            for line in _foretold(settings, options.profile):
                print(line, flush=True)
            return 0

        from styletransfer.run import run

        print(run.run(settings, force=options.force, resume=options.resume))
        return 0

    return commands.guarded(transfer)
