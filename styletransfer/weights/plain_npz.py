"""NumPy archives whose members are parameters in our layout: ``conv1_1.weight``, (filters, channels, h, w).

Names are those of the SPEC with a dot before ``weight`` and ``bias``. The amount of data read is bounded by the SPEC,
not by the sizes in the file; objects (pickles) are rejected.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights.npz import ZIP_DAMAGE, read_array


def read(path: Path, spec: ModelSpec) -> dict[str, NDArray]:
    """Read the parameters of the SPEC, in the pixel convention of the file; members with other names are skipped.

    Raises
    ------
    ValueError
        If the file is damaged, contains objects, or has a parameter of the wrong shape.
    """
    stored = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy").replace(".", "_")
                if name in spec.parameters:
                    with archive.open(member) as stream:
                        stored[name] = read_array(stream, name, spec.parameters[name])
    except ZIP_DAMAGE as error:
        raise ValueError(f"it is damaged ({error or type(error).__name__})") from None
    return stored
