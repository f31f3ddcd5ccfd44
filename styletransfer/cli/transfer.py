"""Neural style transfer: the content of a photograph in the style of a painting."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from styletransfer.cli.options import Parser, add_overrides

if TYPE_CHECKING:
    from styletransfer.config import Config
    from styletransfer.sweeps.sweep_file import Sweep

LOGGER = logging.getLogger("styletransfer")


def parser(program: str | None = None, more: str = "") -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Neural style transfer: the content of a photograph in the style of a painting.",
        epilog="Exit status: 0 done; 2 an error such as invalid input, reported in one line; 3 the optimisation "
        f"diverged; 75 interrupted, the last line says how to resume. docs/config.md explains every config key. {more}",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a YAML config, or a PNG made with one (default: the default preset)"
    )
    parser.add_argument(
        "--content",
        metavar="PICTURE",
        nargs="+",
        action="extend",
        help="the photograph (content.image); several, or a folder: one picture each, in folders of their own",
    )
    parser.add_argument(
        "--style",
        metavar="PICTURE",
        nargs="+",
        action="extend",
        help="a painting (style.images); several, or a folder: their blend",
    )
    parser.add_argument("--output", metavar="FOLDER", help="folder of the results (output.folder)")
    add_overrides(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print sizes, steps, memory and estimated time, without making the picture",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite a finished or unfinished run in the output folder"
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in the output folder")
    return parser


def _report(settings: Config) -> Iterable[str]:
    """The lines that ``--dry-run`` prints."""
    from styletransfer.session import forecast, inputs
    from styletransfer.session.resolve import resolve

    plan = resolve(settings)
    return forecast.lines(plan, inputs.load_parameters(plan))


def _values(options: argparse.Namespace) -> dict[str, Any]:
    """Read the config file and put the short options into it; several photographs are left out."""
    from styletransfer import config

    values = {} if options.config is None else config.read_file(config.find_input(options.config))
    named = {
        "content": {"image": options.content[0] if options.content and len(options.content) == 1 else None},
        "style": {"images": options.style},
        "output": {"folder": options.output},
    }
    for section, keys in named.items():
        for key, value in keys.items():
            if value is not None:
                values = config.put(values, [section, key], value, f"--{section}")
    return values


def _one_each(plan: Sweep, read: Mapping[str, Path], force: bool) -> int:
    """Make the pictures of several photographs, one after the other; those that are done are skipped."""
    from styletransfer.session.output_folder import finished_picture
    from styletransfer.support.optional import optional
    from styletransfer.sweeps import contact, local, outputs, reports, states
    from styletransfer.sweeps.sweep_file import CONTACT, RESULTS

    outputs.check(plan, read, force)
    if force:
        for job in plan.jobs:
            states.forget(job)
    else:
        states.check_settings(plan)
    LOGGER.info("%d photographs, one after the other, into %s", len(plan.jobs), plan.folder)
    unusable = local.run_here(plan, 1, lambda line: LOGGER.info("%s", line))
    with optional(plan.folder / RESULTS):
        reports.write_results(plan, unusable)
    with optional(plan.folder / CONTACT):
        LOGGER.info("%s", contact.write_contact_sheet(plan, unusable))
    for job in plan.jobs:
        if states.state_of(job, unusable).name == "done":
            print(finished_picture(job.folder), flush=True)
    for line in reports.failures(plan, unusable):
        print(line, file=sys.stderr)
    return 0 if reports.all_done(plan) else 1


def main(arguments: list[str] | None = None, program: str | None = None, more: str = "") -> int:
    """Make a picture; the help ends with `more`."""
    options = parser(program, more).parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("styletransfer").setLevel(logging.INFO)

    from styletransfer.cli.guard import guarded

    def transfer() -> int:
        from styletransfer import config

        values = _values(options)
        read = {} if options.config is None else {"--config": config.find_input(options.config)}
        where = options.config or "the command line"
        if options.config and options.assignments:
            where += " with --set"
        if len(options.content or ()) > 1 or any(
            name and config.find_input(name).is_dir() for name in options.content or ()
        ):
            from styletransfer.sweeps import photographs

            plan = photographs.sweep(values, photographs.list_photographs(options.content), where, options.assignments)
            if not options.dry_run:
                return _one_each(plan, read, options.force)
            for job in plan.jobs:
                assert isinstance(job.config, config.Config)
                for line in _report(job.config):
                    print(f"{job.name}: {line}", flush=True)
            return 0
        settings = config.parse(config.override(values, options.assignments), where)

        if options.dry_run:
            for line in _report(settings):
                print(line, flush=True)
            return 0

        from styletransfer.session import session
        from styletransfer.session.picture import PictureTask

        print(session.run(PictureTask(settings), options.force, options.resume, read))
        return 0

    return guarded(transfer)
