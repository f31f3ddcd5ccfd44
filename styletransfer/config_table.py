"""The table of all config keys, for README.md, made from the schema so that every default is written once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from styletransfer.config import Config


def rows() -> Iterator[str]:
    """The lines of a Markdown table: key, default, meaning with the values allowed."""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, default, meaning in _fields(Config, ""):
        yield f"| `{key}` | {default} | {meaning} |".replace("|x", r"\|x").replace("x|", r"x\|")


def _fields(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in section.model_fields.items():
        inner = next((part for part in _parts(field.annotation) if _is_section(part)), None)
        if inner is not None:
            if field.default is None:
                yield prefix + name, "`null`", field.description or ""
            yield from _fields(inner, f"{prefix}{name}.")
            continue
        choices = [
            value for part in _parts(field.annotation) if get_origin(part) is Literal for value in get_args(part)
        ]
        only_choices = all(get_origin(part) is Literal or part is type(None) for part in _parts(field.annotation))
        allowed = f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices and only_choices else ""
        yield prefix + name, f"`{_written(field.default)}`", f"{field.description or ''}{allowed}"


def _written(default: Any) -> str:
    """A default as it stands in YAML."""
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return default if isinstance(default, str) else json.dumps(default)


def _parts(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation itself."""
    members = get_args(annotation) if get_origin(annotation) is not Literal else ()
    return [part for member in members for part in _parts(member)] if type(None) in members else [annotation]


def _is_section(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)
