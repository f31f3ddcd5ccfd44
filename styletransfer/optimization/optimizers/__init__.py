"""The optimisers: each asks the objective for losses and gradient and moves the image, an array (1, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from styletransfer.config import OptimizerSettings
from styletransfer.optimization.optimizers.base import Move, Optimizer
from styletransfer.optimization.optimizers.descent import SGD, AcceptReject, Adam
from styletransfer.optimization.optimizers.lbfgs import LBFGS
from styletransfer.optimization.optimizers.lbfgsb import LBFGSB

__all__ = ["LBFGS", "LBFGSB", "SGD", "AcceptReject", "Adam", "Move", "Optimizer", "create"]


def create(settings: OptimizerSettings, image: Any, space: str) -> Optimizer:
    """The optimiser that the settings name, for an image in a pixel space."""
    if settings.name == "accept_reject":
        return AcceptReject(settings, image, space)
    optimizers: Mapping[str, Callable[[OptimizerSettings, Any], Optimizer]] = {
        "sgd": SGD,
        "adam": Adam,
        "lbfgs": LBFGS,
        "lbfgsb": LBFGSB,
    }
    return optimizers[settings.name](settings, image)
