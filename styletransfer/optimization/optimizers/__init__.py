"""The optimisers: each evaluates the objective and its gradient and updates the image, an array (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from styletransfer.config import OptimizerSettings
from styletransfer.engines import Array, Engine
from styletransfer.optimization.optimizers.averaging import Averaged, with_average
from styletransfer.optimization.optimizers.base import Box, Memory, Move, Optimizer
from styletransfer.optimization.optimizers.descent import SGD, AcceptReject, Adam
from styletransfer.optimization.optimizers.lbfgs import LBFGS
from styletransfer.optimization.optimizers.lbfgsb import LBFGSB

__all__ = [
    "KINDS",
    "LBFGS",
    "LBFGSB",
    "SGD",
    "AcceptReject",
    "Adam",
    "Averaged",
    "Move",
    "Optimizer",
    "create",
    "memory",
]


KINDS: Mapping[str, type[SGD | AcceptReject | Adam | LBFGS | LBFGSB]] = {
    "sgd": SGD,
    "adam": Adam,
    "lbfgs": LBFGS,
    "lbfgsb": LBFGSB,
    "accept_reject": AcceptReject,
}


def create(settings: OptimizerSettings, engine: Engine, image: Array, space: str) -> Optimizer:
    """Create the configured optimiser for an image in a pixel space; with bounds, the image is moved into them."""
    kind: Callable[..., Optimizer] = KINDS[settings.name]
    box = Box(space, engine) if kind is AcceptReject or settings.bounds == "displayable" else None
    if box and settings.bounds == "displayable":
        box.project(image)
    optimizer = kind(settings, engine, image, box)
    return Averaged(optimizer, image, settings.average, engine) if settings.average else optimizer


def memory(settings: OptimizerSettings) -> Memory:
    """The memory that the configured optimiser needs at most."""
    held = KINDS[settings.name].memory(settings)
    return with_average(held) if settings.average else held
