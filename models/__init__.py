"""The networks, one module each.

``model_<name>.py`` has the ``SPEC`` and ``get_symbol`` of a network that sees pictures, whose features the losses
compare; ``transformer_<name>.py`` those of a feed-forward network that is trained for one style.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

_PREFIX = "model_"
_TRANSFORMER = "transformer_"


def names() -> tuple[str, ...]:
    """The names of all networks that see pictures, sorted."""
    return _named(_PREFIX)


def load(name: str) -> ModuleType:
    """The module of the network `name`.

    Raises KeyError if there is no such network.
    """
    return _loaded(_PREFIX, name)


def transformer_names() -> tuple[str, ...]:
    """The names of all feed-forward networks, sorted."""
    return _named(_TRANSFORMER)


def load_transformer(name: str) -> ModuleType:
    """The module of the feed-forward network `name`.

    Raises KeyError if there is no such network.
    """
    return _loaded(_TRANSFORMER, name)


def _named(prefix: str) -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name[len(prefix) :] for name in found if name.startswith(prefix)))


def _loaded(prefix: str, name: str) -> ModuleType:
    if name not in _named(prefix):
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{prefix}{name}")
