"""YAML for configs: the core schema of YAML 1.2, without surprises.

PyYAML reads YAML 1.1, in which ``0200`` is 128, ``1:30`` is 90, ``2020-01-01`` is a date and ``off`` is false. Here
they are 200 and three strings. Tags, aliases and duplicate keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from styletransfer.support.errors import UserError

_TAG = "tag:yaml.org,2002:"
# By tag: the pattern of a plain scalar of this type, and its possible first characters.
_CORE_SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class _Loader(yaml.SafeLoader):
    """Reads the core schema of YAML 1.2; rejects tags, duplicate keys, and aliases, which may expand without limit."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as in the base class

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _error("aliases (*name) are not allowed", event)
        if getattr(event, "tag", None) is not None:
            raise _error(f"tags ({event.tag.replace(_TAG, '!!')}) are not allowed", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(f"the key {key!r} is not a string", key_node)
            if key in seen:
                raise _error(f"duplicate key {key!r}", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        return int(text, 0 if text.startswith(("0o", "0x")) else 10)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that :class:`_Loader`, or a reader of YAML 1.1, would read as something else."""


_Loader.add_constructor(f"{_TAG}int", _Loader.construct_yaml_int)
for _name, (_pattern, _first) in _CORE_SCHEMA.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), _first)


def _error(problem: str, place: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)


def read_yaml(text: str, where: str) -> Any:
    """Parse YAML.

    Raises UserError if it is not valid; the message starts with `where`, a file or an option.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{where}{line}: not valid YAML: {' '.join(problem.split())}") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, excessive nesting
        raise UserError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def write_yaml(values: Mapping[str, Any]) -> str:
    """Format values so that :func:`read_yaml` returns them."""
    return yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
