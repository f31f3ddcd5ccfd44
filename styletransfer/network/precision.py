"""The two kinds of numbers that a network computes in, as MXNet has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.runtime import load_mxnet

FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's name for it; NumPy has none
DTYPES = {"float32": FLOAT32, "bfloat16": BFLOAT16}


def cast(array: Any, dtype: np.dtype) -> Any:
    """An array as one of the two; the array itself where it is of that kind already."""
    return array if array.dtype == dtype else load_mxnet().nd.amp_cast(array, dtype=dtype)


def cast_symbol(symbol: Any, given: np.dtype, wanted: np.dtype) -> Any:
    """The same for a symbol whose values are of the kind `given`."""
    return symbol if given == wanted else load_mxnet().sym.amp_cast(symbol, dtype=wanted)
