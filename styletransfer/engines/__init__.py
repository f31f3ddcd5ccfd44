"""The frameworks that compute: MXNet and PyTorch behind one interface.

``base.py`` is the interface; ``mxnet/`` and ``torch/`` contain all that knows one of them, and import nothing of the
other. Everything else asks :func:`load` for an engine.
"""

from __future__ import annotations

from styletransfer.engines.base import Array, Bound, Engine, Head, Network, Scalar, Slices
from styletransfer.engines.choice import Choice, choose, installed, is_out_of_memory, load, memory_factors
from styletransfer.engines.numbers import Numbers

__all__ = [
    "Array",
    "Bound",
    "Choice",
    "Engine",
    "Head",
    "Network",
    "Numbers",
    "Scalar",
    "Slices",
    "choose",
    "installed",
    "is_out_of_memory",
    "load",
    "memory_factors",
]
