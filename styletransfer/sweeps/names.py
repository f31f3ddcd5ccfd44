"""Job names: short labels of values, and folder names made from them."""

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
    """A short label of a value: a file's stem, the names of layers, a number."""
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
    """A label for each override of every job; different values of a key get different labels.

    Labels depend only on the values, not on their order: pictures of the same name are ``a/x`` and ``b/x``.
    """
    last = Counter(key.rpartition(".")[2] for key in keys)
    entries: dict[tuple[str, str], list[Any]] = {}
    for key, value in itertools.chain.from_iterable(job.items() for job in overrides):
        same = entries.setdefault((key, label(value)), [])
        if value not in same:
            same.append(value)

    def part(key: str, value: Any) -> str:
        short, text = key.rpartition(".")[2], label(value)
        same = entries[key, text]
        if len(same) > 1:
            longer = [_with_folder(other) for other in same]
            mine = _with_folder(value)
            text = mine if mine != text and longer.count(mine) == 1 else f"{text}-{_mark(value)}"
        if last[short] > 1:
            return f"{key}={text}"
        return text if isinstance(value, (str, Mapping)) else f"{short}={text}"

    return [tuple(part(key, value) for key, value in job.items()) for job in overrides]


def _with_folder(value: Any) -> str:
    """The label of a file with the name of its folder; for other values, the plain label."""
    return "/".join(filter(None, (Path(value).parent.name, label(value)))) if isinstance(value, str) else label(value)


def _mark(value: Any) -> str:
    """An eight-character hash of a value."""
    return f"{zlib.crc32(json.dumps(value, sort_keys=True, default=str).encode()):08x}"


def safe_name(text: str) -> str:
    """`text` without characters that are unsafe for file systems or shells; may be empty."""
    characters = (c if c.isalnum() or c in "._+=-" else "-" for c in unicodedata.normalize("NFC", text))
    return re.sub("-{2,}", "-", "".join(characters)).lstrip(".-").rstrip(".-")


def unique(names: Iterable[str], values: Sequence[Any], reserved: Iterable[str] = ()) -> list[str]:
    """Names truncated to a safe length, not reserved, and distinct even on case-insensitive file systems.

    Names that would collide get a hash of their `values`, which does not depend on the other names.
    """
    short = [_cut(name) for name in names]
    count = Counter(name.casefold() for name in [*short, *reserved])
    taken, chosen = {name.casefold() for name in reserved}, []
    for name, value in zip(short, values):
        if count[name.casefold()] > 1:
            name = f"{name}-{_mark(value)}"
        tries = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))  # of equal values
        name = next(other for other in tries if other.casefold() not in taken)
        taken.add(name.casefold())
        chosen.append(name)
    return chosen


def _cut(name: str) -> str:
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"{name.encode()[: _LONGEST_NAME - 9].decode(errors='ignore')}-{_mark(name)}"
