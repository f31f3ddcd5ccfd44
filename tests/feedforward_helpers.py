"""Helpers of the tests of feed-forward networks: random parameters and styles."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

import models
from models import feedforward
from styletransfer.feedforward.style_file import Style


@functools.cache
def random_transformer(name: str) -> Mapping[str, NDArray[np.float32]]:
    """Random parameters of a feed-forward network, whose normalizations do something. Not to be changed."""
    generator = np.random.default_rng(0)
    found = dict(feedforward.initial_parameters(models.load_transformer(name).SPEC, generator))
    for parameter, values in found.items():
        if not parameter.endswith("_weight"):
            found[parameter] = (values + generator.normal(0, 0.3, values.shape)).astype(np.float32)
        found[parameter].flags.writeable = False
    return found


def random_style(name: str = "small") -> Style:
    """A style of random parameters."""
    record = {"name": "random", "paintings": {"night.jpg": "0" * 64}, "licence": "none"}
    return Style(models.load_transformer(name).SPEC, random_transformer(name), record)
