"""The state of a run or a training after a step, and its form in a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ResumeState:
    """Everything needed to resume exactly.

    Attributes
    ----------
    engine, precision : str
        Of the network; kept when resuming, like the tiles, so that sums are rounded in the same way.
    tiles : tuple of int or None
        At every scale.
    step : int
        Steps made so far.
    scale : int
        The number of the scale.
    begun : int
        The step at which the scale started.
    image : array
        The optimised values: an image (1, 3, H, W), or the parameters of a network (N,).
    generator : JSON values
        The state of the random numbers.
    optimizer, guard : nested dictionaries of arrays
        From their own ``state()``.
    """

    engine: str
    precision: str
    tiles: tuple[int | None, ...] = ()
    step: int = 0
    scale: int = 0
    begun: int = 0
    image: NDArray = field(default_factory=lambda: np.empty(0))
    generator: Any = None
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    guard: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, NDArray]:
        """Convert to arrays for a checkpoint, by dotted name."""
        changed = {"tiles": [tile or 0 for tile in self.tiles], "generator": json.dumps(self.generator)}
        return flattened({**vars(self), **changed})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> ResumeState:
        """Convert from the arrays of a checkpoint; values that it lacks are those of the start."""
        values = nested(arrays)
        numbers = {name: int(values[name]) for name in ("step", "scale", "begun") if name in values}
        return cls(
            str(values["engine"]),
            str(values["precision"]),
            tuple(int(tile) or None for tile in values.get("tiles", ())),
            **numbers,
            image=values["image"],
            generator=json.loads(str(values["generator"])),
            optimizer=values["optimizer"],
            guard=values["guard"],
        )


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, NDArray]:
    """Nested dictionaries of arrays and numbers as arrays, by dotted name."""
    arrays: dict[str, NDArray] = {}
    for name, value in values.items():
        name = prefix + name
        arrays |= flattened(value, f"{name}.") if isinstance(value, Mapping) else {name: np.asarray(value)}
    return arrays


def nested(arrays: Mapping[str, NDArray]) -> dict[str, Any]:
    """The inverse of :func:`flattened`."""
    values: dict[str, Any] = {}
    for name, value in arrays.items():
        *parents, last = name.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return values
