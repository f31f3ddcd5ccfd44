"""MatConvNet's `imagenet-vgg-verydeep-16.mat` and `-19.mat`.

Sources: https://www.vlfeat.org/matconvnet/pretrained/, and `utils/import-caffe.py` and
`matlab/simplenn/vl_simplenn_tidy.m` of https://github.com/vlfeat/matconvnet. ``layers`` is a cell array of structs with
``name``, ``type`` and, for a convolution, ``weights``, a cell of kernel and bias, or, in the oldest files, ``filters``
and ``biases``. Kernels are (height, width, channels, filters); the bias is a row or a column. The mean colour is
``averageImage`` of ``normalization``, in later files within ``meta``: an image of one colour, or just the colour.
Made for RGB, 0..255, minus that colour. Fully connected layers are convolutions ``fc6`` to ``fc8``, and are skipped.

SciPy reads the file, in a process of its own with limits: on a damaged file `scipy.io.loadmat` may crash the
interpreter (an unknown element type, deep nesting), inflate without limit, or never end. The process passes the
convolutions on as an archive that `npz` reads.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.pictures.pixels import SPACES
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.weights import npz

_LAYER = re.compile(r"conv\d+_\d+")
_MEMORY = 2 << 30  # bytes of address space; SciPy holds all of VGG-19 at once, 0.6 GB
_SECONDS, _BYTES_PER_SECOND = 3, 10**7  # CPU time allowed: _SECONDS, and one more for every 10 MB of the file
_SAME_COLOUR = 1e-3  # grey levels; single precision and rounding differ by less


def read(path: Path, spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """Read the convolutions, in the pixel convention of the SPEC.

    Raises ValueError if the file is damaged or for another network.
    """
    with path.open("rb") as source, tempfile.TemporaryFile() as converted:
        done = subprocess.run(
            [sys.executable, "-c", f"from {__name__} import convert; convert()"],
            cwd=PROJECT_FOLDER,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread of BLAS would take address space
            stdin=source,
            stdout=converted,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only this process
        )
        if done.returncode < 0:
            raise ValueError("it is damaged, or its arrays are nested too deeply or too large")
        if done.returncode:
            raise ValueError(done.stderr.decode(errors="replace").splitlines()[-1])
        converted.seek(0)
        return npz.read(converted, spec)


def convert() -> None:
    """Write the convolutions of the file on standard input to standard output, as an `.npz` archive.

    The archive is for RGB, 0..255, minus the usual mean, whatever the mean of the file. The process exits with status 1
    and one line on standard error if the file is unusable, and is killed if it exceeds its limits.
    """
    seconds = _SECONDS + os.fstat(sys.stdin.fileno()).st_size // _BYTES_PER_SECOND
    for kind, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CPU, seconds)):
        _, hard = resource.getrlimit(kind)
        with contextlib.suppress(*(() if sys.platform == "linux" else (ValueError, OSError))):  # macOS refuses some
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        variables = _load(sys.stdin.buffer)
        np.savez(sys.stdout.buffer, **_for_usual_mean(_convolutions(variables), _mean_colour(variables)))
    except ValueError as error:
        sys.exit(str(error))


def _load(stream: BinaryIO) -> dict[str, Any]:
    """The variables needed: structs as dicts, cells as lists or arrays of objects, without sides of length 1."""
    from scipy.io import loadmat

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a variable that occurs twice, or is skipped as unreadable
            return loadmat(stream, variable_names=["layers", "meta", "normalization"], simplify_cells=True)
    except Exception as error:  # SciPy passes on whatever the damage led to, including MemoryError and zlib.error
        reason = str(error).splitlines()[:1] or [type(error).__name__]
        raise ValueError(f"it is damaged ({reason[0]})") from None


def _convolutions(variables: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    """``conv1_1_W`` (height, width, channels, filters), ``conv1_1_b`` (filters,), and so on."""
    arrays = {}
    try:
        for layer in variables["layers"]:
            if layer["type"] == "conv" and _LAYER.fullmatch(layer["name"]):
                kernel, bias = layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])
                arrays[f"{layer['name']}_W"] = np.asarray(kernel, np.float32)
                arrays[f"{layer['name']}_b"] = np.asarray(bias, np.float32)
    except (LookupError, TypeError, ValueError):
        raise ValueError("its variable layers is not in MatConvNet's format") from None
    return arrays


def _mean_colour(variables: dict[str, Any]) -> NDArray[np.float64]:
    """The mean colour of the file: (3,), RGB, 0..255."""
    try:
        image = np.asarray(variables.get("meta", variables)["normalization"]["averageImage"], np.float64)
        colour = image.reshape(-1, image.shape[-1]).mean(axis=0)
    except (LookupError, TypeError, ValueError):
        raise ValueError("it has no average image") from None
    if colour.shape != (3,) or not ((colour >= 0) & (colour <= 255)).all():
        raise ValueError("its average image is not an RGB image with values in 0..255")
    return colour


def _for_usual_mean(arrays: dict[str, NDArray[np.float32]], colour: NDArray) -> dict[str, NDArray[np.float32]]:
    """Convert to pixels minus the usual mean: the difference of the means goes into the first bias."""
    darker = np.subtract(SPACES["rgb255"].mean, colour)
    if np.abs(darker).max() <= _SAME_COLOUR or not {"conv1_1_W", "conv1_1_b"} <= arrays.keys():
        return arrays
    kernel, bias = arrays["conv1_1_W"], arrays["conv1_1_b"]
    if kernel.ndim != 4 or kernel.shape[2:] != (3, bias.size):
        raise ValueError("conv1_1 does not have an RGB kernel and a bias for each filter")
    return {**arrays, "conv1_1_b": (bias + np.einsum("yxcf,c->f", kernel, darker)).astype(np.float32)}
