"""The tables of all config keys in the docs, generated from the schemas so that every default is written once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_origin

from pydantic import BaseModel

from styletransfer.config.fields import choices, entry_of, keys_of, members, section_of
from styletransfer.config.schema import Config


def rows(schema: type[BaseModel] = Config) -> Iterator[str]:
    """The lines of a Markdown table: key, default, meaning with the values allowed."""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, default, meaning in _fields(schema, "", None):
        yield f"| `{key}` | {default} | {meaning} |".replace("|x", r"\|x").replace("x|", r"x\|")


def _fields(section: type[BaseModel], prefix: str, defaults: BaseModel | None) -> Iterator[tuple[str, str, str]]:
    """Key, default and meaning; the defaults of a section are those of its fields if it has none as a whole."""
    for name, field in keys_of(section).items():
        value = field.default if defaults is None else getattr(defaults, name)
        inner = section_of(field.annotation)
        if inner is not None:
            if value is None:
                yield prefix + name, "`null`", field.description or ""
            yield from _fields(inner, f"{prefix}{name}.", value if isinstance(value, BaseModel) else None)
            continue
        allowed = choices(field.annotation)
        only = len([member for member in members(field.annotation) if member is not type(None)]) == 1
        listed = f" ({', '.join(f'`{choice}`' for choice in allowed)})" if allowed and only else ""
        default = "(required)" if field.is_required() else f"`{_written(value)}`"
        yield prefix + name, default, f"{field.description or ''}{listed}"
        inner = section_of(entry_of(field.annotation))
        if inner is not None:
            listed_by = "N" if any(get_origin(member) is list for member in members(field.annotation)) else "FILE"
            yield from _fields(inner, f"{prefix}{name}.{listed_by}.", None)


def _written(default: Any) -> str:
    """A default as written in YAML."""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return default if isinstance(default, str) else json.dumps(default)
