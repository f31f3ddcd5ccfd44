"""The networks, one module each: ``model_<name>.py`` with a ``SPEC`` and a ``get_symbol``."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

_PREFIX = "model_"


def names() -> tuple[str, ...]:
    """The names of all networks, sorted."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return tuple(sorted(name[len(_PREFIX) :] for name in found if name.startswith(_PREFIX)))


def load(name: str) -> ModuleType:
    """The module of the network `name`.

    Raises
    ------
    KeyError
        If there is no such network.
    """
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{_PREFIX}{name}")
