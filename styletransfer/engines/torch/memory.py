"""The memory of runs on PyTorch, measured on x86-64; the number of threads makes no difference."""

from __future__ import annotations

import dataclasses

from styletransfer.engines.base import MemoryFactors

_FLOAT32 = MemoryFactors(
    fixed=400 * 2**20,
    gaps=1.1,
    weights=2.2,
    images=8.5,
    images_written=4.0,
    images_entered=4.0,
    styles=4.0,
    tapped=1.0,
    largest_forward=3.0,
    window=6.0,
    layers=1.1,
    largest=3.2,
    style=2.0,
    content=3.0,
    guided=3.0,
    masks=4.5,
)
BY_PRECISION = {"float32": _FLOAT32, "bfloat16": dataclasses.replace(_FLOAT32, layers=0.6, largest=2.0, style=1.5)}
