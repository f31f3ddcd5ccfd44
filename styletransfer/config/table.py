"""The table of all config keys in docs/config.md, generated from the schema so that every default is written once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_origin

from pydantic import BaseModel

from styletransfer.config.fields import choices, entry_of, keys_of, members, section_of
from styletransfer.config.schema import Config


def rows() -> Iterator[str]:
    """The lines of a Markdown table: key, default, meaning with the values allowed."""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, default, meaning in _fields(Config, ""):
        yield f"| `{key}` | {default} | {meaning} |".replace("|x", r"\|x").replace("x|", r"x\|")


def _fields(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in keys_of(section).items():
        inner = section_of(field.annotation)
        if inner is not None:
            if field.default is None:
                yield prefix + name, "`null`", field.description or ""
            yield from _fields(inner, f"{prefix}{name}.")
            continue
        allowed = choices(field.annotation)
        only = len([member for member in members(field.annotation) if member is not type(None)]) == 1
        listed = f" ({', '.join(f'`{choice}`' for choice in allowed)})" if allowed and only else ""
        default = "(required)" if field.is_required() else f"`{_written(field.default)}`"
        yield prefix + name, default, f"{field.description or ''}{listed}"
        inner = section_of(entry_of(field.annotation))
        if inner is not None:
            listed_by = "N" if any(get_origin(member) is list for member in members(field.annotation)) else "FILE"
            yield from _fields(inner, f"{prefix}{name}.{listed_by}.")


def _written(default: Any) -> str:
    """A default as written in YAML."""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return default if isinstance(default, str) else json.dumps(default)
