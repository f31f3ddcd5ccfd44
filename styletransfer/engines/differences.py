"""The differences of features from targets, shared by all engines."""

from __future__ import annotations

import abc

from styletransfer.engines.base import Array, Engine, Scalar, Slices


class Differences(abc.ABC):
    """The part of a :class:`~styletransfer.engines.base.Bound` that compares features with targets.

    The difference from a target is kept from the forward pass to the backward pass, which needs it too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._differences: dict[str, tuple[Array, Array]] = {}  # by layer: the target and the difference

    @abc.abstractmethod
    def features(self, layer: str) -> Array: ...

    def squared_distance(self, layer: str, target: Array, part: Slices | None = None) -> Scalar:
        if part is None:
            difference = self._difference(layer, target)
        else:
            difference = self._engine.crop(self.features(layer), *part) - target
        return self._engine.dot(difference, difference)

    def _difference(self, layer: str, target: Array) -> Array:
        if layer not in self._differences or self._differences[layer][0] is not target:
            self._differences[layer] = target, self.features(layer) - target
        return self._differences[layer][1]
