"""The optimisers: each evaluates the objective and its gradient and updates the image, an array (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from models.runtime import Array
from styletransfer.config import OptimizerSettings
from styletransfer.optimization.optimizers.base import Move, Optimizer
from styletransfer.optimization.optimizers.descent import SGD, AcceptReject, Adam
from styletransfer.optimization.optimizers.lbfgs import LBFGS
from styletransfer.optimization.optimizers.lbfgsb import LBFGSB

__all__ = ["KINDS", "LBFGS", "LBFGSB", "SGD", "AcceptReject", "Adam", "Move", "Optimizer", "create"]


KINDS: Mapping[str, type[SGD | AcceptReject | Adam | LBFGS | LBFGSB]] = {
    "sgd": SGD,
    "adam": Adam,
    "lbfgs": LBFGS,
    "lbfgsb": LBFGSB,
    "accept_reject": AcceptReject,
}


def create(settings: OptimizerSettings, image: Array, space: str) -> Optimizer:
    """Create the configured optimiser for an image in a pixel space."""
    kind: Callable[..., Optimizer] = KINDS[settings.name]
    return kind(settings, image, space) if kind is AcceptReject else kind(settings, image)
