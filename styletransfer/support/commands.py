"""What commands say: advice, and whatever else, in one line."""

from __future__ import annotations

import re

from styletransfer.support.project import IS_INSTALLED

_INSTALLED = {"nstyle": "nstyle", "compare_curves": "nstyle compare"}  # the commands of scripts with another name

OUT_OF_MEMORY = "out of memory; use a smaller size, a smaller tile, or tile: auto with memory set below the free memory"


def as_called(text: str) -> str:
    """A text in which ``python scripts/fetch.py`` reads ``nstyle fetch`` if the package is installed."""
    if not IS_INSTALLED:
        return text
    return re.sub(r"\bpython scripts/(\w+)\.py", lambda match: _INSTALLED.get(match[1], f"nstyle {match[1]}"), text)


def one_line(text: str) -> str:
    """Replace line breaks and other control characters, which file names may contain."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
