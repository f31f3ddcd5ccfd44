"""The teacher: VGG-19's own layers up to relu3_4, and estimates of its relu4_1 and relu5_1."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import NDArray

from models import model_vgg19
from models.runtime import Array, Symbol, load_mxnet
from styletransfer.studies import vgg19_parts

EXACT_LAYERS = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_4")
LAYERS = (*EXACT_LAYERS, *vgg19_parts.READ_OUTS)


def symbol() -> Symbol:
    """The `LAYERS` as functions of ``data``, (batch, 3, H, W), in the pixels of VGG-19's SPEC.

    VGG-19's own layers use its zero padding and max pooling; the estimates are those of the published network.
    """
    mx = load_mxnet()
    image = mx.sym.Variable("data")
    exact, _ = model_vgg19.get_symbol(EXACT_LAYERS, [])
    return mx.sym.Group([exact(data=image), *vgg19_parts.read_outs(image).values()])


class Teacher:
    """Computes the features that the student estimates.

    Parameters
    ----------
    exact, compressed : paths
        The two files of :mod:`styletransfer.studies.vgg19_parts`.
    shape : tuple of int
        (batch, 3, side, side).
    """

    def __init__(self, exact: Path, compressed: Path, shape: tuple[int, int, int, int]) -> None:
        parameters = {**vgg19_parts.load_exact(exact), **vgg19_parts.load_compressed(compressed)}
        self._executor = symbol().simple_bind(load_mxnet().cpu(), data=shape, grad_req="null")
        for name, array in self._executor.arg_dict.items():
            if name != "data":
                array[:] = parameters[name]

    def __call__(self, batch: NDArray) -> dict[str, Array]:
        """The features of `LAYERS` as NDArrays, valid until the next call, of crops in the pixels of VGG-19's SPEC."""
        self._executor.arg_dict["data"][:] = batch
        return dict(zip(LAYERS, self._executor.forward(is_train=False)))
