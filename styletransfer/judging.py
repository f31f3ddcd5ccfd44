"""How close a picture comes to a style and to a content in the eyes of another network: the cross-network distances.

A picture that was optimised with one network is judged by SqueezeNet, which it was not made to please:

- style distance: the mean over `STYLE_LAYERS` of |G / (N M) - A / (N M)|^2 / |A / (N M)|^2, each Gram matrix with its
  own picture's M;
- content distance: |F - P|^2 / |P|^2 in `CONTENT_LAYER`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models import model_squeezenet
from models.runtime import load_mxnet
from styletransfer import pixels
from styletransfer.images import Picture
from styletransfer.network import Network, tapped
from styletransfer.weights import Parameters

STYLE_LAYERS = ("relu_conv1", "fire2", "fire4", "fire5", "fire7", "fire9")
CONTENT_LAYER = "fire5"


class Judge:
    """SqueezeNet as a judge of pictures (H, W, 3), RGB 0..1.

    Parameters
    ----------
    parameters : dict of arrays
        SqueezeNet's, in its native pixel convention.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    def features(self, picture: Picture) -> dict[str, NDArray[np.float64]]:
        """The judging layers' features, (N, M) each."""
        names, symbol = tapped(model_squeezenet.SPEC.name, STYLE_LAYERS, [CONTENT_LAYER], model_squeezenet.SPEC.pooling)
        height, width = picture.shape[:2]
        network = Network(names, symbol, self._parameters, height, width, load_mxnet().cpu(), trainable=False)
        network.image[:] = pixels.from_picture(picture, model_squeezenet.SPEC.pixels)
        network.forward()
        return {
            name: value.asnumpy()[0].reshape(value.shape[1], -1).astype(float)
            for name, value in network.features.items()
        }

    def style_distance(self, picture: Picture, style: Picture) -> float:
        """How far a picture is from a style; 0 for the style itself, of any size."""
        found, wanted = self.features(picture), self.features(style)
        distances = []
        for layer in STYLE_LAYERS:
            gram, target = (features @ features.T / features.size for features in (found[layer], wanted[layer]))
            distances.append(np.sum((gram - target) ** 2) / np.sum(target**2))
        return float(np.mean(distances))

    def content_distance(self, picture: Picture, content: Picture) -> float:
        """How far a picture is from a content picture of the same size; 0 for the content itself."""
        found, wanted = self.features(picture)[CONTENT_LAYER], self.features(content)[CONTENT_LAYER]
        return float(np.sum((found - wanted) ** 2) / np.sum(wanted**2))
