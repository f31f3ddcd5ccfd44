"""Keras HDF5 files of VGG-16 and VGG-19, with or without the classifier.

Sources: https://github.com/fchollet/deep-learning-models/releases/tag/v0.1 and
`keras/src/legacy/saving/legacy_h5_format.py`. Each layer is a group, ``block1_conv1``, with its kernel and bias:
directly, as ``block1_conv1_W_1:0`` and ``block1_conv1_b_1:0``, in the release of 2016; later in a subgroup of the same
name, as ``kernel:0`` and ``bias:0``. A file of a complete model has all groups inside ``model_weights``. Kernels are
(height, width, channels, filters). Made for BGR, 0..255, minus 103.939/116.779/123.68.

A kernel is recognised by its four dimensions, not by its name. Links, data outside the file, compressed data (which may
expand without limit) and shapes other than the network's are rejected before any values are read. So are files in
Theano's order (``th_dim_ordering``): their kernels may or may not be rotated by 180 degrees, and the file does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights.conversion import adapt, filters_first, require_shape, stored_shape

_LAYER = re.compile(r"block(\d+)_conv(\d+)")
_DEEPEST, _MOST_DATASETS = 4, 8  # per layer; a group may contain itself


def read(path: Path, spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read the convolutions, in the pixel convention of the SPEC.

    Raises ValueError if the file is damaged, for another network, or in Theano's order, or if h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise ValueError("h5py is needed to read it: pip install h5py") from None
    stored: dict[str, NDArray] = {}
    try:
        with h5py.File(path, "r", locking=False) as file:
            top = _group(_member(file, "model_weights")) if "model_weights" in file else file
            for layer in top:
                if match := _LAYER.fullmatch(layer):
                    for dataset in _datasets(_group(_member(top, layer))):
                        name = f"conv{match[1]}_{match[2]}_{'weight' if dataset.ndim == 4 else 'bias'}"
                        if name in stored:
                            raise ValueError(f"{layer} contains more than a kernel and a bias")
                        stored[name] = _read_dataset(dataset, name, spec)
    except ValueError:
        raise
    except Exception as error:  # h5py raises many types of error for what the HDF5 library reports
        reason = str(error).splitlines()[:1] or [type(error).__name__]
        raise ValueError(f"it is damaged ({reason[0]})") from None
    return adapt(filters_first(stored), spec, "bgr255")


def _member(group: Any, name: str) -> Any:
    """A member of `group`, which must not be a link to elsewhere."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link")
    return group[name]


def _group(member: Any) -> Any:
    import h5py

    if not isinstance(member, h5py.Group):
        raise ValueError("its layout is not that of Keras")
    return member


def _datasets(layer: Any, depth: int = 1) -> Iterator[Any]:
    """The datasets of a layer, at any depth."""
    import h5py

    if depth > _DEEPEST or len(layer) > _MOST_DATASETS:
        raise ValueError("its layout is not that of Keras")
    for name in layer:
        member = _member(layer, name)
        if isinstance(member, h5py.Dataset):
            yield member
        else:
            yield from _datasets(_group(member), depth + 1)


def _read_dataset(dataset: Any, name: str, spec: ModelSpec) -> NDArray:
    expected = stored_shape(spec, name)
    if dataset.ndim == 4 and dataset.shape == spec.parameters[name]:
        raise ValueError("its kernels are in Theano's order: use the file with tf_dim_ordering_tf_kernels in its name")
    require_shape(name, dataset.shape, expected)
    if dataset.dtype.kind != "f":
        raise ValueError(f"{name} is not a floating-point array")
    if dataset.chunks is not None or dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} is compressed or chunked, or stored outside the file")
    if dataset.id.get_storage_size() != dataset.size * dataset.dtype.itemsize:
        raise ValueError(f"{name} has no values")
    return dataset[()]
