"""Judges: networks that measure how far a picture is from a painting's style and from a photograph's content.

With F the features of a layer, N channels at M positions each, and G = F F^T / (N M) their Gram matrix:

- style distance in a layer: |G - A|^2 / |A|^2, where A is that of the painting, with its own M. The style distance of a
  judge is the mean over its layers.
- content distance: |F - P|^2 / |P|^2 in one layer, where P are the features of the photograph.

There are two judges, so that a picture optimised for one network is also judged by another:

- VGG-19 (Simonyan and Zisserman 2014), at relu1_1 to relu5_1, content at relu4_2, with max pooling and zero padding, as
  it was trained.
- SqueezeNet v1.0 (Iandola et al. 2016), at six layers, content at fire5.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import model_squeezenet, model_vgg19
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.engines import Bound, choose
from styletransfer.pictures import pixels
from styletransfer.pictures.images import Picture
from styletransfer.support.errors import UserError
from styletransfer.weights import Parameters

_MAX_NETWORKS, _MAX_SUMMARIES = 4, 8  # cached executors, one per shape, and cached summaries of pictures


@dataclass(frozen=True)
class Summary:
    """The features of a picture that a judge caches.

    Attributes
    ----------
    grams : dict of arrays (N, N)
        The Gram matrices over N M of the style layers.
    content : array (N, height, width)
        The features of the content layer.
    """

    grams: Mapping[str, NDArray[np.float64]]
    content: NDArray[np.float32]


class Judge:
    """A network as a judge of pictures (H, W, 3), RGB 0..1.

    It caches summaries of the last few pictures, so that a painting and a photograph that are used repeatedly are
    processed only once.

    Parameters
    ----------
    name : str
        The displayed name.
    parameters : dict of arrays
        In the network's native space.
    """

    def __init__(
        self,
        name: str,
        style_layers: Sequence[str],
        content_layer: str,
        spec: ModelSpec,
        parameters: Parameters,
    ) -> None:
        self.name = name
        self.style_layers = tuple(style_layers)
        self.content_layer = content_layer
        self._layers = tuple(dict.fromkeys([*style_layers, content_layer]))
        self._engine, self._space = choose(precision="float32").load(), spec.pixels
        self._network = self._engine.network(spec, parameters, spec.pooling, "float32")
        self._smallest_side = spec.smallest_side(spec.deepest(self._layers))
        self._bound = functools.lru_cache(maxsize=_MAX_NETWORKS)(self._bind)
        self._cached_summary = functools.lru_cache(maxsize=_MAX_SUMMARIES)(self._summarize)

    def features(self, picture: Picture) -> dict[str, NDArray[np.float32]]:
        """The features of all its layers, each (N, height, width).

        Raises UserError if the picture is too small.
        """
        height, width = picture.shape[:2]
        if min(height, width) < self._smallest_side:
            raise UserError(
                f"{self.name} cannot judge a picture of {width} x {height} pixels, "
                f"expected at least {self._smallest_side} on each side"
            )
        bound = self._bound(height, width)
        bound.forward(self._engine.array(pixels.from_picture(picture, self._space)))
        return {layer: self._engine.numpy(bound.features(layer))[0] for layer in self._layers}

    def style_distances(self, picture: Picture, painting: Picture) -> dict[str, float]:
        """The style distances of a picture from a painting of any size, by style layer; 0 for the painting itself."""
        grams, wanted = self._summary(picture).grams, self._summary(painting).grams
        return {layer: _relative(grams[layer], wanted[layer]) for layer in self.style_layers}

    def content_distance(self, picture: Picture, photograph: Picture) -> float:
        """The content distance of a picture from a photograph of the same size; 0 for the photograph itself.

        Raises ValueError if they differ in size.
        """
        if picture.shape != photograph.shape:
            raise ValueError(f"the content distance of {picture.shape} from {photograph.shape} is undefined")
        return _relative(self._summary(picture).content, self._summary(photograph).content)

    def _summary(self, picture: Picture) -> Summary:
        return self._cached_summary(picture.tobytes(), picture.shape, picture.dtype.str)

    def _summarize(self, data: bytes, shape: tuple[int, ...], dtype: str) -> Summary:
        features = self.features(np.frombuffer(data, dtype).reshape(shape))
        return Summary({layer: _gram(features[layer]) for layer in self.style_layers}, features[self.content_layer])

    def _bind(self, height: int, width: int) -> Bound:
        return self._network.bind(self._layers, (3, height, width), trainable=False)


def _gram(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """F F^T / (N M) of features (N, height, width)."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    return flat @ flat.T / flat.size


def _relative(found: NDArray, wanted: NDArray) -> float:
    """|found - wanted|^2 / |wanted|^2."""
    wanted = wanted.astype(np.float64)
    return float(np.sum((found - wanted) ** 2) / np.sum(wanted**2))


def squeezenet(parameters: Parameters) -> Judge:
    """The SqueezeNet judge; `parameters` are those of its SPEC."""
    style = ("relu_conv1", "fire2", "fire4", "fire5", "fire7", "fire9")
    return Judge("SqueezeNet", style, "fire5", model_squeezenet.SPEC, parameters)


def vgg19(parameters: Parameters) -> Judge:
    """The VGG-19 judge; `parameters` are those of its SPEC."""
    style = [f"relu{block}_1" for block in range(1, 6)]
    return Judge("VGG-19", style, "relu4_2", model_vgg19.SPEC, parameters)


def load_squeezenet(path: str | Path | None = None) -> Judge:
    """The SqueezeNet judge from a weights file (.net or .params), by default from the fetched weights.

    Raises UserError if the file does not exist or is unusable.
    """
    spec = model_squeezenet.SPEC
    if path and Path(path).suffix == ".net":
        return squeezenet(weights.load_deep_compression(spec, path))
    return squeezenet(weights.load(spec, path))


def load_vgg19(path: str | Path | None = None) -> Judge:
    """The VGG-19 judge from a weights file in any format, by default from the fetched weights.

    Raises UserError if the file does not exist or is unusable.
    """
    return vgg19(weights.load(model_vgg19.SPEC, path))


def load(
    squeezenet_path: str | Path | None = None, vgg19_path: str | Path | None = None
) -> tuple[list[Judge], list[str]]:
    """All judges whose weights are available, VGG-19 first.

    Raises UserError if a file is unusable, or there is no judge.

    Parameters
    ----------
    squeezenet_path, vgg19_path
        As for :func:`load_squeezenet` and :func:`load_vgg19`; given files must exist.

    Returns
    -------
    list of Judge
    list of str
        For every judge without weights, a line that says how to get them.
    """
    judges, left_out = [], []
    if vgg19_path or model_vgg19.SPEC.weights_path.exists():
        judges.append(load_vgg19(vgg19_path))
    else:
        left_out.append(_left_out("VGG-19", "vgg19"))
    if squeezenet_path or model_squeezenet.SPEC.weights_path.exists():
        judges.append(load_squeezenet(squeezenet_path))
    else:
        left_out.append(_left_out("SqueezeNet", "squeezenet"))
    if not judges:
        raise UserError("; ".join(["no weights to judge with", *left_out]))
    return judges, left_out


def _left_out(title: str, name: str) -> str:
    return f"{title} is skipped, as its weights are missing: run `python scripts/fetch.py {name}`, or set --{name} FILE"
