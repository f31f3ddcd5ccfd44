"""What jobs are called: values in a word or two, and from these the names of folders."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_LONGEST_NAME = 120  # bytes; file systems take 255


def label(value: Any) -> str:
    """A value in a word or two: a file's name without folder and ending, the names of layers, a number."""
    if isinstance(value, Mapping):
        items = ((label(key), label(weight)) for key, weight in value.items())
        return "+".join(name if weight == "1" else f"{name}={weight}" for name, weight in items)
    if isinstance(value, (list, tuple)):
        return "+".join(map(label, value))
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    text = str(value)
    if "/" in text or re.fullmatch(r"\.[A-Za-z]\w{0,7}", Path(text).suffix):
        return Path(text).stem or text
    return text


def labels(overrides: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[tuple[str, ...]]:
    """For every job and each of its overrides a label; different values of a key get different ones."""
    last = Counter(key.rpartition(".")[2] for key in keys)
    seen: dict[tuple[str, str], list[Any]] = {}

    def part(key: str, value: Any) -> str:
        short = key.rpartition(".")[2]
        text = label(value)
        if last[short] > 1:
            text = f"{key}={text}"
        elif not isinstance(value, (str, Mapping)):
            text = f"{short}={text}"
        same = seen.setdefault((key, text), [])
        if value not in same:
            same.append(value)
        number = same.index(value)
        return f"{text}-{number + 1}" if number else text

    return [tuple(part(key, value) for key, value in job.items()) for job in overrides]


def safe_name(text: str) -> str:
    """`text` with nothing in it that file systems or shells stumble over; it may be empty."""
    characters = (c if c.isalnum() or c in "._+=-" else "-" for c in unicodedata.normalize("NFC", text))
    return re.sub("-{2,}", "-", "".join(characters)).lstrip(".-").rstrip(".-")


def unique(names: Iterable[str], reserved: Iterable[str] = ()) -> list[str]:
    """Names cut to a length that file systems take, none reserved, different even where case does not count."""
    taken, found = {name.casefold() for name in reserved}, []
    for name in names:
        if len(name.encode()) > _LONGEST_NAME:
            short = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore")
            name = f"{short}-{zlib.crc32(name.encode()):08x}"
        tries = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        name = next(other for other in tries if other.casefold() not in taken)
        taken.add(name.casefold())
        found.append(name)
    return found
