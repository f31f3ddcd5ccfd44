"""The memory of runs on PyTorch, measured on x86-64; the number of threads makes no difference.

Not measured: `content`, `masks`, and `trained`, which is MXNet's.
"""

from __future__ import annotations

import dataclasses

from styletransfer.engines.base import MemoryFactors

_FLOAT32 = MemoryFactors(
    fixed=355 * 2**20,
    gaps=1.1,
    weights=2.2,
    images=8.5,
    images_written=4.0,
    images_entered=4.0,
    styles=4.0,
    tapped=1.0,
    largest_forward=1.0,
    window=1.0,
    layers=1.0,
    largest=2.0,
    style=1.0,
    content=3.0,
    guided=1.0,
    masks=4.5,
    stylised=2.6,
    trained=1.8,
)
BY_PRECISION = {
    "float32": _FLOAT32,
    "bfloat16": dataclasses.replace(
        _FLOAT32, tapped=0.5, largest_forward=0.5, layers=0.5, largest=1.0, style=0.5, stylised=1.2
    ),
}
