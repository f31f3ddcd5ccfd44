"""Shared by all command lines: one-line errors, types of arguments, common options."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        from styletransfer.support.commands import one_line
        from styletransfer.support.errors import closest

        known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        unknown = message.removeprefix(_UNKNOWN).split()[0].partition("=")[0] if message.startswith(_UNKNOWN) else ""
        meant = closest(unknown[2:], known) if unknown.startswith("--") else None
        hint = f"did you mean --{meant}?" if meant else f"{self.prog} --help explains"
        self.exit(2, f"error: {one_line(message)}; {hint}\n")


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of a whole number in a range."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """The type of a number in a range."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return value

    return read


def file_path(text: str) -> Path:
    """The type of a file or folder."""
    if not text:
        raise argparse.ArgumentTypeError("'' is not a file name")
    return Path(text)


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


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add ``--version``."""
    from styletransfer.support.project import VERSION

    parser.add_argument("--version", action="version", version=f"nstyle {VERSION}")
