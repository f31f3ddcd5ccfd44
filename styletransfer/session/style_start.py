"""The start of a run in a trained style: `init: {kind: style, name: NAME}`."""

from __future__ import annotations

from pathlib import Path

from styletransfer.config import Init, find_input
from styletransfer.feedforward import style_file
from styletransfer.feedforward.style_file import Style
from styletransfer.support.errors import UserError


def file_of(settings: Init) -> Path | None:
    """The style file that a run starts with; None if it starts otherwise.

    Raises UserError if there is no such style.
    """
    if settings.name is None:
        return None
    try:
        return style_file.find(str(find_input(settings.name)))
    except UserError as error:
        raise UserError(f"init.name: {error}") from None


def read(settings: Init) -> Style | None:
    """The trained style that a run starts with; None if it starts otherwise.

    Raises UserError if there is no such style, or its file cannot be used.
    """
    path = file_of(settings)
    if path is None:
        return None
    try:
        return style_file.read(path)
    except UserError as error:
        raise UserError(f"init.name: {error}") from None
