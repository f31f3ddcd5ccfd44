"""Error messages for an invalid config, in one line: key, value, what pydantic expected, and the nearest valid name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
from pydantic import BaseModel

from styletransfer.config.fields import annotation_at, choices, keys_of, section_of
from styletransfer.support.errors import closest, nearest

RENAMED = {"convention": "normalization", "made_with": "provenance"}  # keys of earlier versions
_LONGEST_VALUE = 60  # characters
_FEW_DIGITS = 1e-12  # limits below it, and above its inverse, are written with an exponent


def first_message(
    error: pydantic.ValidationError, values: Any, schema: type[BaseModel], section: Sequence[str] = ()
) -> str:
    """The message for the first error that pydantic found.

    Parameters
    ----------
    error : pydantic.ValidationError
    values : Any
        The validated values.
    schema : type of BaseModel
        The schema they were validated against.
    section : sequence of str
        The path of the section that contains `values`, for the message.
    """
    problems = error.errors(include_url=False)
    paths = [_path(values, problem["loc"]) for problem in problems]
    # Of the members of a union, the user meant the one whose error is deepest inside the value.
    path = max((other for other in paths if other[: len(paths[0])] == paths[0]), key=len)
    errors_there = [problem for problem, other in zip(problems, paths) if other == path]
    problem = errors_there[0]
    key = ".".join(name if name.isprintable() else repr(name) for name in (*section, *path))
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {_instead_of(path, schema)}"
    if problem["type"] == "missing" and isinstance(problem["loc"][-1], str):
        return f"{key}: {problem['loc'][-1]} is missing"
    expected = ", or ".join(dict.fromkeys(map(_words, errors_there)))
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):  # concerns the whole section
        return f"{key}: {expected}" if key else expected
    name = closest(str(problem["input"]), choices(annotation_at(schema, path)))
    return f"{key}: {_shortened(repr(problem['input']))}: {expected}" + (f"; did you mean {name!r}?" if name else "")


def _path(values: Any, location: Sequence[int | str]) -> list[str]:
    """The user's keys in one of pydantic's locations, which also name the members of unions."""
    path = []
    for part in location:
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        else:
            continue
        path.append(str(part))
    return path


def _instead_of(path: Sequence[str], schema: type[BaseModel]) -> str:
    """The hint for an unknown key."""
    section = section_of(annotation_at(schema, path[:-1]))
    assert section is not None
    keys = keys_of(section)
    new = RENAMED.get(path[-1])
    return f"it is now called {new!r}" if new in keys else nearest(path[-1], keys)


def _words(problem: Any) -> str:
    """Say what was expected, in the words of pydantic or of our own check; very long limits are shortened."""
    context = problem.get("ctx", {})
    if problem["type"] == "value_error":
        return str(context["error"])
    if problem["type"] == "model_type":
        return "Input should be a section of keys and values"
    limit = next((context[key] for key in ("ge", "le") if key in context), 0)
    if 0 < limit < _FEW_DIGITS and problem["input"] <= 0:
        return "Input should be greater than 0"
    if 0 < limit < _FEW_DIGITS or limit > 1 / _FEW_DIGITS:
        return f"{problem['msg'].rpartition(' ')[0]} {limit:g}"
    return problem["msg"]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
