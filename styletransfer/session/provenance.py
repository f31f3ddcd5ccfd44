"""The provenance of a picture, recorded in ``config.yaml``: package versions and checksums of all input files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from styletransfer.config import Config, StyleTraining
from styletransfer.engines import Choice

_PACKAGES = ("numpy", "scikit-image", "scipy", "pillow")


def provenance_of(config: Config | StyleTraining, choice: Choice, checksums: Mapping[str, str]) -> dict[str, Any]:
    """The versions in use, and the input files of a run.

    Parameters
    ----------
    config : Config or StyleTraining
    choice : Choice
    checksums : dict of str
        The sha256 of every input file, from :meth:`~styletransfer.session.task.Task.checksums`.
    """
    return {
        "python": platform.python_version(),
        choice.engine: choice.load().version(),
        "device": choice.device,
        "precision": choice.precision,
        **{package: metadata.version(package) for package in _PACKAGES},
        "weights": {"file": Path(config.weights or config.spec.weights_path).name, "sha256": checksums["weights"]},
        "inputs": {key: checksum for key, checksum in checksums.items() if key != "weights"},
    }


def checksums_in(provenance: Mapping[str, Any]) -> dict[str, str]:
    """The sha256 of the input files of a run, by the same keys; without those that a provenance does not contain."""
    inputs, weights = provenance.get("inputs"), provenance.get("weights")
    found = dict(inputs) if isinstance(inputs, Mapping) else {}
    if isinstance(weights, Mapping) and "sha256" in weights:
        found["weights"] = weights["sha256"]
    return found
