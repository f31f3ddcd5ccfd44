"""Options that several commands have in common."""

from __future__ import annotations

import argparse


def add_overrides(parser: argparse._ActionsContainer, what: str = "a config key") -> None:
    """Add ``--set KEY=VALUE``, whose values become ``options.assignments``; `what` it overrides is for the help."""
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="assignments",
        help=f"override {what}, for example style.weight=50; repeatable",
    )
