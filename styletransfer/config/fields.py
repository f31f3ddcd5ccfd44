"""The types, values and sections that a field of the schema accepts, found from its annotation."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def members(annotation: Any) -> list[Any]:
    """The types that an annotation allows: the members of a union, or the annotation itself."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in members(part)]
    return [annotation]


def choices(annotation: Any) -> list[Any]:
    """The literal values that an annotation allows."""
    return [value for member in members(annotation) if get_origin(member) is Literal for value in get_args(member)]


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation such as ``Schedule | None`` allows, if any."""
    sections = (member for member in members(annotation) if isinstance(member, type) and issubclass(member, BaseModel))
    return next(sections, None)


def keys_of(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by their keys in a config."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def entry_of(annotation: Any) -> Any:
    """The annotation of the entries of a list or table that an annotation allows; None where it allows neither."""
    entries = (get_args(member)[-1] for member in members(annotation) if get_origin(member) in (list, dict))
    return next(entries, None)


def annotation_at(section: type[BaseModel], path: Sequence[str]) -> Any:
    """The annotation of the value at a path of keys, numbers of list entries and names of table entries."""
    annotation: Any = section
    for key in path:
        inner = section_of(annotation)
        annotation = entry_of(annotation) if inner is None else keys_of(inner)[key].annotation
    return annotation
