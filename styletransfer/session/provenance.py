"""The provenance of a picture, recorded in ``config.yaml``: package versions and checksums of all input files."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from styletransfer.engines import Choice

_PACKAGES = ("numpy", "scikit-image", "scipy", "pillow")


def provenance_of(weights: Path, choice: Choice, checksums: Mapping[str, str]) -> dict[str, Any]:
    """Collect the versions in use and the checksums of the input files.

    Parameters
    ----------
    weights : Path
        The file of the network's weights.
    checksums : dict of str
        The sha256 of every input file, from :meth:`~styletransfer.session.task.Task.checksums`.
    """
    return {
        "python": platform.python_version(),
        choice.engine: choice.load().version(),
        "device": choice.device,
        "precision": choice.precision,
        **{package: metadata.version(package) for package in _PACKAGES},
        "weights": {"file": weights.name, "sha256": checksums["weights"]},
        "inputs": {key: checksum for key, checksum in checksums.items() if key != "weights"},
    }


def checksums_in(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Read the checksums of the input files from a provenance; those it does not contain are left out."""
    inputs, weights = provenance.get("inputs"), provenance.get("weights")
    sums = dict(inputs) if isinstance(inputs, Mapping) else {}
    if isinstance(weights, Mapping) and "sha256" in weights:
        sums["weights"] = weights["sha256"]
    return sums
