"""The two precisions of a network, as MXNet dtypes."""

from __future__ import annotations

import numpy as np

from models.runtime import Array, Symbol, load_mxnet

FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's name for it; NumPy has none
DTYPES = {"float32": FLOAT32, "bfloat16": BFLOAT16}


def cast(array: Array, dtype: np.dtype) -> Array:
    """Cast an array; returns the array itself if it has that dtype already."""
    return array if array.dtype == dtype else load_mxnet().nd.amp_cast(array, dtype=dtype)


def cast_symbol(symbol: Symbol, given: np.dtype, wanted: np.dtype) -> Symbol:
    """The same for a symbol whose dtype is `given`."""
    return symbol if given == wanted else load_mxnet().sym.amp_cast(symbol, dtype=wanted)
