"""The memory of runs on MXNet 1.9.1, measured on x86-64 with AVX-512; the number of threads makes no difference.

Its kernels copy their operands into layouts of their own. Arrays of less than 32 MB come from the C library's heap,
which becomes fragmented (`gaps`, with and without MALLOC_MMAP_THRESHOLD_=1048576, which prevents that). The first
convolution pads the 3 channels of its window to the 16 that its kernel processes.
"""

from __future__ import annotations

from styletransfer.engines.base import MemoryFactors

FACTORS = MemoryFactors(
    fixed=275 * 2**20,
    gaps=1.1,
    weights=2.4,
    images=8.5,
    images_written=4.0,
    images_entered=4.0,
    styles=4.0,
    tapped=1.0,
    largest_forward=2.3,
    window=9.0,
    layers=1.3,
    largest=3.2,
    style=3.7,
    content=5.6,
    guided=2.5,
    masks=4.5,
    stylised=4.9,
    trained=1.8,
)
