"""Train a feed-forward network for one style."""

from __future__ import annotations

import argparse
import logging
import sys

from styletransfer.cli import kinds
from styletransfer.cli.options import Parser, add_overrides


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Train a feed-forward network for one style, which stylize.py then gives to any picture at once.",
        epilog="Exit status: 0 done; 2 an error such as invalid input, reported in one line; 3 the training diverged; "
        "75 interrupted, the last line says how to resume.",
    )
    parser.add_argument("--config", metavar="FILE", required=True, help="a YAML file such as configs/train/night.yaml")
    add_overrides(parser)
    parser.add_argument("--output", metavar="FOLDER", help="where the results go (output.folder)")
    parser.add_argument("--force", action="store_true", help="overwrite a finished output folder")
    parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in the output folder")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("styletransfer").setLevel(logging.INFO)

    from styletransfer.cli.guard import guarded

    def train() -> int:
        from styletransfer import config

        options.config = config.bundled(options.config, "configs/train", ".yaml")
        kinds.check([options.config], "training")
        values = config.read_file(config.find_input(options.config))
        if options.output is not None:
            values = config.put(values, ["output", "folder"], options.output, "--output")
        where = options.config + (" with --set" if options.assignments else "")
        settings = config.parse_training(config.override(values, options.assignments), where)

        from styletransfer.session import session
        from styletransfer.training.training import StyleTask

        read = {"--config": config.find_input(options.config)}
        print(session.run(StyleTask(settings), options.force, options.resume, read))
        return 0

    return guarded(train)
