#!/usr/bin/env python3
"""Run a sweep: many pictures from one file that says what varies.

python scripts/submit.py configs/sweeps/content_layer.yaml
python scripts/submit.py configs/sweeps/content_layer.yaml --jobs 2 --set size=128 --output output/sweeps/small
python scripts/submit.py configs/sweeps/content_layer.yaml --status
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Run a sweep, many pictures from one file that says what varies, on this machine.",
        epilog="What is finished is not made again, and what was interrupted goes on: give the same command again. "
        "Exit status: 0 all done; 1 some jobs failed, and it is said why; 2 something in the input is at fault and "
        "nothing was started; 75 interrupted, states saved.",
    )
    parser.add_argument("sweep", metavar="FILE", help="a YAML file such as configs/sweeps/content_layer.yaml")
    parser.add_argument(
        "--jobs", metavar="N", type=_count, default=1, help="so many at a time, which share the cores (default: 1)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="check everything and show the jobs and their folders")
    what.add_argument("--status", action="store_true", help="show what is done, running, unfinished, failed, left")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="assignments",
        help="override a config key of all jobs, size=256",
    )
    parser.add_argument("--output", metavar="FOLDER", help="the sweep's folder, instead of the one its file names")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)

    from styletransfer import commands, sweeps

    def submit() -> int:
        say = functools.partial(print, flush=True)
        plan = sweeps.plan(options.sweep, options.assignments, options.output)
        if options.status:
            say(sweeps.report(plan))
            return 0
        sweeps.check_finished(plan)
        if options.dry_run:
            say(sweeps.listing(plan))
            return 0
        sweeps.run_here(plan, options.jobs, say)
        sweeps.write_results(plan)
        say(sweeps.write_contact_sheet(plan))
        say("\n".join([*sweeps.failures(plan), sweeps.summary(plan)]))
        return 0 if sweeps.all_done(plan) else 1

    return commands.guarded(submit)


if __name__ == "__main__":
    sys.exit(main())
