"""The encoder of Collaborative Distillation, `trained_models/wct_se_16x_new/20191109-211322_E20.pth`.

Reference: https://github.com/MingSun-Tse/Collaborative-Distillation, `model/model_cd.py`. A PyTorch
checkpoint: under ``model`` the convolutions ``conv11.weight`` to ``conv51.bias``, kernels of (filters, channels,
height, width), the read-outs ``conv11_aux.weight`` and so on, and ``conv0``, which converts RGB, 0..1, into the input
of conv11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.pictures import pixels
from styletransfer.weights.pytorch import floats

_CONV0 = {"conv0.weight": (3, 3, 1, 1), "conv0.bias": (3,)}


def is_encoder(names: Iterable[str]) -> bool:
    """Return whether these are the parameter names of an encoder."""
    return "conv0.weight" in names


def convert(tensors: Mapping[str, NDArray], spec: ModelSpec) -> dict[str, NDArray]:
    """The convolutions and the read-outs, under the names and in the pixel convention of the SPEC.

    Raises ValueError if the weights are for another network.
    """
    expected = {**spec.parameters, **spec.read_out_parameters}
    places = {name: _place(name) for name in expected}
    unknown = sorted(set(tensors) - {*places.values(), *_CONV0})
    if unknown:
        raise ValueError(f"{unknown[0]} is not a parameter of {spec.name}")
    arrays = {name: _checked(tensors, place, expected[name]) for name, place in places.items()}
    weight0, bias0 = (_checked(tensors, place, shape) for place, shape in _CONV0.items())
    first = ("conv1_1_weight", "conv1_1_bias")
    with np.errstate(all="ignore"):  # `check` rejects values that are not finite
        arrays.update(zip(first, fold(weight0, bias0, arrays[first[0]], arrays[first[1]], spec.pixels)))
    return arrays


def fold(
    weight0: NDArray, bias0: NDArray, weight: NDArray, bias: NDArray, space: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Merge the first two convolutions, for RGB, 0..1, into one for images in `space`; exact away from the border.

    Parameters
    ----------
    weight0 : (channels, 3, 1, 1) array
    bias0 : (channels,) array
    weight : (filters, channels, height, width) array
    bias : (filters,) array
    space : str
        A key of `styletransfer.pictures.pixels.SPACES` whose channels are RGB.

    Returns
    -------
    weight : (filters, 3, height, width) array
    bias : (filters,) array
    """
    black, white = (limit.astype(np.float64).reshape(3) for limit in pixels.displayable_range(space))
    matrix = weight0[:, :, 0, 0] / (white - black)
    offset = bias0 - matrix @ black
    weight = weight.astype(np.float64)
    folded = np.einsum("fcyx,ck->fkyx", weight, matrix)
    return folded.astype(np.float32), (bias + np.einsum("fcyx,c->f", weight, offset)).astype(np.float32)


def _place(name: str) -> str:
    """``conv1_1_weight``: ``conv11.weight``; ``relu1_1_read_out_weight``: ``conv11_aux.weight``."""
    layer, _, kind = name.rpartition("_")
    number = "".join(filter(str.isdigit, layer))
    return f"conv{number}{'_aux' if layer.endswith('_read_out') else ''}.{kind}"


def _checked(tensors: Mapping[str, NDArray], place: str, shape: tuple[int, ...]) -> NDArray:
    if place not in tensors:
        raise ValueError(f"{place} is missing")
    if tensors[place].shape != shape:
        raise ValueError(f"{place} has shape {tensors[place].shape}, expected {shape}")
    return floats(place, tensors[place])
