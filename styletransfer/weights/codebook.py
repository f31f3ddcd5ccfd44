"""Kernels with at most 256 distinct values, as codes of 8 bits and a table of the values: a quarter of the size.

A `.params` file has ``conv1_1_weight_codes``, uint8, in the shape of the kernel, and ``conv1_1_weight_table``, float32,
instead of ``conv1_1_weight``. Nothing is lost: other kernels are stored as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

_MOST_VALUES = 256
_CODES, _TABLE = "_codes", "_table"


def encode(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The arrays to store; a kernel is replaced by its codes and its table if these take less space."""
    stored: dict[str, NDArray] = {}
    for name, array in arrays.items():
        table = _distinct(array) if array.ndim > 1 else None
        if table is None or array.size + table.nbytes >= array.nbytes:
            stored[name] = array
        else:
            stored[name + _CODES] = np.searchsorted(table, array).astype(np.uint8)
            stored[name + _TABLE] = table
    return stored


def decode(stored: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The kernels of their codes and tables; other arrays as they are.

    Raises ValueError if codes have no table, or exceed it.
    """
    arrays: dict[str, NDArray] = {}
    for key, array in stored.items():
        name = key.removesuffix(_CODES)
        if name != key:
            if name + _TABLE not in stored:
                raise ValueError(f"{name + _TABLE} is missing")
            arrays[name] = look_up(name, array, stored[name + _TABLE])
        elif key.removesuffix(_TABLE) + _CODES not in stored:
            arrays[key] = array
    return arrays


def look_up(name: str, codes: NDArray, table: NDArray) -> NDArray:
    """The values of the codes; check the shape of untrusted codes before, since values take more memory.

    Raises ValueError if the codes are not uint8, the table is not a list of floating-point numbers, or a code exceeds
    it.
    """
    if codes.dtype != np.uint8 or table.ndim != 1 or table.dtype.kind != "f":
        raise ValueError(f"the codes or the table of {name} have an unknown type")
    if codes.max(initial=0) >= len(table):
        raise ValueError(f"a code of {name} exceeds its table")
    return table[codes]


def _distinct(array: NDArray) -> NDArray | None:
    """The sorted values, or None if there are too many."""
    if len(np.unique(array.ravel()[: 4 * _MOST_VALUES])) > _MOST_VALUES:  # sorting all would take long
        return None
    values = np.unique(array)
    return values if len(values) <= _MOST_VALUES else None
