"""The table of sizes: peak memory and time of our step against the resolution, whole and in tiles.

Every size is a square picture in a fresh process, in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import models
from styletransfer.network.tiling import smallest_tile
from styletransfer.studies.benchmarks import fresh_process, stacks
from styletransfer.support.errors import UserError

REFERENCE = 512  # pixels; the ratios are relative to this size, whole
HEADINGS = (
    "network", "size", "tiles", f"time per pixel / {REFERENCE} whole", f"memory / {REFERENCE} whole", "s / megapixel",
    "s / step", "peak MiB",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One size, whole or in tiles; seconds and megabytes are None if it was not measured; `why` is the reason."""

    network: str
    size: int
    tile: int | None
    seconds: float | None
    megabytes: float | None
    reference: tuple[float, float] | None  # seconds and megabytes of the size REFERENCE, whole
    why: str = ""

    @property
    def per_megapixel(self) -> float | None:
        """Seconds per step and 10^6 pixels of the picture."""
        return None if self.seconds is None else self.seconds / self.size**2 * 1e6

    @staticmethod
    def from_values(values: Mapping[str, Any]) -> Result:
        """The inverse of `dataclasses.asdict`, for values read from JSON."""
        reference = values["reference"]
        return Result(**{**values, "reference": None if reference is None else tuple(reference)})


def cells(result: Result) -> list[str]:
    """The row of a result, under `HEADINGS`."""
    place = [result.network, f"{result.size} x {result.size}", "whole" if result.tile is None else str(result.tile)]
    if result.seconds is None or result.megabytes is None:
        return [*place, *[result.why or "-"], *["-"] * (len(HEADINGS) - len(place) - 1)]
    ratios = ["-", "-"]
    if result.reference is not None:
        seconds, megabytes = result.reference
        ratios = [
            f"{result.seconds / result.size**2 / (seconds / REFERENCE**2):.2f}",
            f"{result.megabytes / megabytes:.2f}",
        ]
    return [
        *place,
        *ratios,
        f"{result.per_megapixel:.3f}",
        f"{result.seconds:.3f}",
        f"{result.megabytes:.0f}",
    ]


def measure(model: str, sizes: Sequence[int], tiles: Sequence[int], largest: int, times: int) -> Iterator[Result]:
    """One network, size by size, each whole and with every tile size of `tiles` that is smaller.

    Parameters
    ----------
    model : str
    sizes, tiles : pixels
    largest : int
        The largest size that is measured whole, in pixels.
    times : int
        Timed steps per measurement.

    Raises
    ------
    UserError
        If a tile is too small for the network.
    """
    spec = models.load(model).SPEC
    smallest = smallest_tile(spec, [*spec.content_layers, *spec.style_layers])
    if tiles and min(tiles) < smallest:
        raise UserError(f"--tiles: {min(tiles)} pixels are too few for {model}; expected at least {smallest}")
    reference: tuple[float, float] | None = None
    if REFERENCE in sizes and largest >= REFERENCE:
        seconds, megabytes = fresh_process.call(measure_one, model, REFERENCE, None, times)
        reference = seconds, megabytes
    for size in sorted(set(sizes)):
        for tile in [None, *(tile for tile in sorted(set(tiles)) if tile < size)]:
            if tile is None and size > largest:
                yield Result(model, size, tile, None, None, reference, f"not tried: above {largest}")
                continue
            try:
                known = reference if (size, tile) == (REFERENCE, None) else None
                seconds, megabytes = known or fresh_process.call(measure_one, model, size, tile, times)
            except fresh_process.Killed:
                yield Result(model, size, tile, None, None, reference, "killed by the system")
                largest = size if tile is None else largest
                continue
            yield Result(model, size, tile, seconds, megabytes, reference)


def measure_one(model: str, size: int, tile: int | None, times: int) -> tuple[float, float]:
    """Median seconds of our step and peak megabytes of this process."""
    return stacks.timed(stacks.mxnet_step(model, size, tile=tile), times)
