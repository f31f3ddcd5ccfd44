"""The table of large pictures: time and peak memory of a large photograph in a style, under a limit of memory.

Measured are reading a JPEG and giving it the style as `scripts/stylize.py` does, in float32, with random weights. The
same is measured for a picture that is processed whole without a limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import models
from models import feedforward, runtime
from styletransfer.studies.benchmarks import fresh_process, stacks
from styletransfer.support.byte_sizes import format_size

NETWORK = "small"
REFERENCE = 512  # pixels; the ratio is relative to this size, without a limit
HEADINGS = (
    "network", "size", "limit", "processed", f"time per pixel / {REFERENCE} whole", "s / megapixel", "s / picture",
    "peak MiB",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One size under one limit."""

    network: str
    size: int
    limit: int | None  # bytes
    strips: bool  # or whole
    seconds: float
    megabytes: float
    reference: float  # seconds of the size REFERENCE, whole

    @property
    def per_megapixel(self) -> float:
        """Seconds per 10^6 pixels of the picture."""
        return self.seconds / self.size**2 * 1e6

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> Result:
        """The inverse of `dataclasses.asdict`."""
        return Result(**values)


def cells(result: Result) -> list[str]:
    """The row of a result, under `HEADINGS`."""
    return [
        result.network,
        f"{result.size} x {result.size}",
        "none" if result.limit is None else format_size(result.limit),
        "in strips" if result.strips else "whole",
        f"{result.per_megapixel / (result.reference / REFERENCE**2 * 1e6):.2f}",
        f"{result.per_megapixel:.3f}",
        f"{result.seconds:.3f}",
        f"{result.megabytes:.0f}",
    ]


def measure(sizes: Sequence[int], limit: int, times: int) -> Iterator[Result]:
    """The reference, and every size under the limit; one that is whole then, also in the least memory it can have.

    Parameters
    ----------
    sizes : sequence of int
        Sides of the square pictures, pixels.
    limit : int
        Bytes that the process may use.
    times : int
        Timed pictures per measurement.

    Raises
    ------
    UserError
        If a size needs more memory than the limit.
    """
    from styletransfer.feedforward.stylize import least_memory, whole_memory
    from styletransfer.session.memory import for_pictures

    spec = models.load_transformer(NETWORK).SPEC
    with tempfile.TemporaryDirectory() as folder:
        photograph = Path(folder, "photograph.jpg")
        _write_photograph(photograph, REFERENCE)
        reference, megabytes = fresh_process.call(measure_one, str(photograph), None, times)
        yield Result(NETWORK, REFERENCE, None, False, reference, megabytes, reference)
        for size in sorted(set(sizes)):
            _write_photograph(photograph, size)
            whole, least = whole_memory(spec, size, size, "float32"), least_memory(spec, size, size)
            allowed = for_pictures(limit)
            for given in [allowed, least] if least < whole <= allowed else [allowed]:
                seconds, megabytes = fresh_process.call(measure_one, str(photograph), given, times)
                asked = given + limit - allowed
                yield Result(NETWORK, size, asked, given < whole, seconds, megabytes, reference)


def _write_photograph(path: Path, size: int) -> None:
    """A square JPEG of smooth colours."""
    from PIL import Image

    colors = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(colors).resize((size, size), Image.Resampling.BICUBIC).save(path)


def measure_one(photograph: str, limit: int | None, times: int) -> tuple[float, float]:
    """Median seconds of a picture, read and stylised, and peak megabytes of this process."""
    from styletransfer.feedforward.style_file import Style
    from styletransfer.feedforward.stylize import Stylizer
    from styletransfer.pictures import images

    spec = models.load_transformer(NETWORK).SPEC
    parameters = feedforward.initial_parameters(spec, np.random.default_rng(0))
    stylizer = Stylizer(Style(spec, parameters, {"name": "random"}), runtime.load_mxnet().cpu(), "float32", limit)
    return stacks.timed(lambda: stylizer(images.read(photograph)), times)
