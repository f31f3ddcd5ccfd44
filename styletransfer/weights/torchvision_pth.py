"""PyTorch state dicts of torchvision's `vgg16` and `vgg19`.

Reference: https://github.com/pytorch/vision/blob/main/torchvision/models/vgg.py. Weights of other origin use the same
names but expect other pixels. Oxford's own weights, converted from Caffe by J. Johnson
(https://github.com/jcjohnson/pytorch-vgg: `vgg16-00b39a1b.pth`, `vgg19-d01eb7cb.pth`), are recognised by their first
biases and expect BGR, 0..255, minus 103.939/116.779/123.68. The features-only VGG-16 of torchvision is recognised by
its classifier, which is all NaN, and rejected.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from styletransfer.weights import gluon
from styletransfer.weights.conversion import adapt
from styletransfer.weights.pytorch import floats

_CLASSES = 1000
_OXFORD = ((0.73429835, 0.09340367, 0.06775674, 0.8862966), (0.7301776, 0.06493629, 0.03428847, 0.8260386))


def convert(tensors: Mapping[str, NDArray], spec: ModelSpec) -> dict[str, NDArray[np.float32]]:
    """The convolutions, under the names and in the pixel convention of the SPEC.

    Raises
    ------
    ValueError
        If the values are damaged, or this is another network.
    """
    places = gluon.assign({name: tensor.shape for name, tensor in tensors.items()}, spec)
    arrays = {name: floats(name, tensors[place]) for name, place in places.items()}
    last = tensors.get("classifier.6.bias")
    if last is not None and last.shape == (_CLASSES,) and np.isnan(last).any():
        raise ValueError("it is torchvision's features-only VGG-16, which expects other pixels; use vgg16-397923af.pth")
    first = arrays["conv1_1_bias"][:4]
    oxford = any(first.shape == (4,) and np.allclose(first, known, atol=1e-5) for known in _OXFORD)
    return adapt(arrays, spec, "bgr255" if oxford else "torchvision")
