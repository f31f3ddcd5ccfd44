"""A run from its smallest scale to its largest: the image is made small first, then carried up with the optimiser."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer.config import Config
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.loop import Record, Stop, optimize
from styletransfer.pictures import images
from styletransfer.run import pipeline
from styletransfer.run.pipeline import Pictures
from styletransfer.support.errors import UserError
from styletransfer.weights import Parameters

_OPTIMIZER, _GUARD = "optimizer.", "guard."


class Pyramid:
    """The optimisation of one picture at every scale, one after the other.

    At the end of a scale, where its steps are made or its stopping rule holds, the image is enlarged to the next, where
    its curve goes on; the optimiser goes on with what it remembers of directions, enlarged likewise (L-BFGS starts a
    fresh history).

    Parameters
    ----------
    config : Config
    levels : sequence of Pictures
        One for every scale, from :func:`~styletransfer.run.pipeline.read_pictures`.
    parameters : dict of arrays
        The network's, in its native space.
    tiles : sequence of int or None, optional
        For every scale the longest side of what the network sees at once, pixels; None: all.
    state : dict of arrays, optional
        What :meth:`state` said of an earlier run: this one goes on from there, exactly.
    elapsed : float
        Seconds that the earlier run took.
    last_change : float
        The relative change of its last step.

    Attributes
    ----------
    steps : list of int
        How many are made at most at every scale.
    """

    def __init__(
        self,
        config: Config,
        levels: Sequence[Pictures],
        parameters: Parameters,
        tiles: Sequence[int | None] | None = None,
        state: Mapping[str, NDArray] | None = None,
        elapsed: float = 0.0,
        last_change: float = math.nan,
    ) -> None:
        self._config = config if state is None else as_begun(config, state)
        self._levels, self._parameters = levels, parameters
        self._tiles = list(tiles or [None] * len(levels)) if state is None else tiles_of(state)
        self.steps = config.steps[-len(levels) :]
        self._scale = 0 if state is None else int(state["scale"])
        self._begun = 0 if state is None else int(state["begun"])  # the step with which the scale began
        self._step = None if state is None else int(state["step"])
        self._last_change = last_change
        self._run = self._prepared()
        if state is not None:
            self._run.image[:] = state["image"]
            self._run.optimizer.restore(_section(state, _OPTIMIZER))
            self._run.generator.bit_generator.state = json.loads(str(state["generator"]))
        self._guard = Guard(_section(state or {}, _GUARD))
        self._started = time.monotonic() - elapsed

    @property
    def image(self) -> Any:
        """As it is, an array (1, 3, H, W) in the space of the config."""
        return self._run.image

    def records(self) -> Generator[Record, None, None]:
        """All steps; those of :func:`~styletransfer.optimization.loop.optimize`, with their scales.

        Raises
        ------
        Diverged
            As :class:`~styletransfer.optimization.divergence_guard.Guard` says; the image is the best one of the scale.
        """
        while True:
            limit = self._begun + self.steps[self._scale]
            yield from self._at_this_scale(limit)
            if self._scale == len(self._levels) - 1:
                return
            self._climb()

    def _at_this_scale(self, limit: int) -> Generator[Record, None, None]:
        steps = optimize(
            self._run.image,
            self._run.objective,
            self._run.optimizer,
            Stop(limit, self._config.stop.relative_change),
            scale=self._scale,
            after=self._step,
            elapsed=time.monotonic() - self._started,
            last_change=self._last_change,
            guard=self._guard,
        )
        for record in steps:
            self._step, self._last_change = record.step, record.relative_change
            yield record

    def _prepared(self) -> pipeline.Prepared:
        """Everything for the present scale."""
        return pipeline.prepare(self._config, self._levels[self._scale], self._parameters, self._tiles[self._scale])

    def _climb(self) -> None:
        """Go to the next scale."""
        before, self._scale = self._run, self._scale + 1
        pictures = self._levels[self._scale]
        size = pictures.height, pictures.width
        image, optimizer, generator = before.image.asnumpy(), before.optimizer.resized_state(*size), before.generator
        del before, self._run  # its memory is needed
        self._guard.end_scale()
        load_mxnet().nd.waitall()
        self._run = self._prepared()
        self._run.image[:] = images.enlarged(image, *size)
        self._run.optimizer.restore(optimizer)
        self._run.generator = generator
        self._begun, self._last_change = self._step or 0, math.nan

    def state(self) -> dict[str, NDArray]:
        """All that is needed to go on behind the last record, as arrays."""
        parts = {_OPTIMIZER: self._run.optimizer.state(), _GUARD: self._guard.state()}
        return {
            "scale": np.array(self._scale),
            "tiles": np.array([tile or 0 for tile in self._tiles]),
            "precision": np.array(pipeline.precision_of(self._config)),
            "begun": np.array(self._begun),
            "step": np.array(self._step or 0),
            "image": self._run.image.asnumpy(),
            "generator": np.array(json.dumps(self._run.generator.bit_generator.state)),
            **{prefix + name: value for prefix, part in parts.items() for name, value in part.items()},
        }


def tiles_of(state: Mapping[str, NDArray]) -> list[int | None]:
    """Those with which a run began, whatever fits today: with others, sums would be rounded otherwise."""
    return [int(tile) or None for tile in state["tiles"]]


def as_begun(config: Config, state: Mapping[str, NDArray]) -> Config:
    """A config with the precision with which its run began, whatever this processor would choose.

    Raises
    ------
    UserError
        If this processor cannot compute with it.
    """
    begun = config.model_copy(update={"precision": str(state["precision"])})
    try:
        pipeline.precision_of(begun)
    except UserError:
        raise UserError(
            f"--resume: the run began in {begun.precision}, which this processor cannot compute with; go on where it "
            "began, or start anew with --force"
        ) from None
    return begun


def _section(state: Mapping[str, NDArray], prefix: str) -> dict[str, NDArray]:
    """The part of a state whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
