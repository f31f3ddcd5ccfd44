"""Presets: settings to begin with, for the page and the command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from styletransfer.config.loading import read_file
from styletransfer.support.errors import UserError, nearest

_FILE = Path(__file__).with_name("presets.yaml")


@dataclass(frozen=True)
class Preset:
    """An entry of ``presets.yaml``.

    Attributes
    ----------
    picture : str
        The file name of its picture on the page.
    values : dict
        The keys of a config, without pictures and size.
    stroke_size : int
        The long edge of the paintings in percent of that of the result.
    """

    name: str
    picture: str
    values: Mapping[str, Any] = field(default_factory=dict)
    stroke_size: int = 100


def read() -> Sequence[Preset]:
    """All presets, in the order of their file.

    Raises UserError if the file is damaged.
    """
    return [
        Preset(entry["name"], entry["picture"], entry["set"], entry.get("stroke_size", 100))
        for entry in read_file(_FILE)["presets"]
    ]


def find(name: str) -> Preset:
    """The preset of a name, in capitals or not, with hyphens or spaces between its words.

    Raises UserError if there is none.
    """
    known = {_simple(preset.name): preset for preset in read()}
    if _simple(name) not in known:
        raise UserError(f"--preset {name}: there is no such preset; {nearest(_simple(name), known)}")
    return known[_simple(name)]


def _simple(name: str) -> str:
    return "-".join(name.lower().split())
