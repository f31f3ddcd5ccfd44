"""Eyes: networks that look at pictures and tell how far one is from a painting's style and from a photograph's content.

With F the features of a layer, N channels at M positions each, and G = F F^T / (N M) their Gram matrix:

- style distance in a layer: |G - A|^2 / |A|^2, where A is the painting's, with its own M. An eye's style distance is
  the mean over its layers.
- content distance: |F - P|^2 / |P|^2 in one layer, where P is the photograph's.

There are two, so that a picture that was made to please a network is judged by another as well:

- VGG-19 (Simonyan and Zisserman 2014), at relu1_1 to relu5_1, content at relu4_1. Either the whole of it; or its first
  convolutions, for relu1_1 to relu3_1, and for relu4_1 and relu5_1 what a network of a sixteenth of its size rebuilds:
  H. Wang et al., Collaborative Distillation for Ultra-Resolution Universal Style Transfer, 2020,
  https://arxiv.org/abs/2003.08436. It rebuilds the features divided by each channel's mean over many photographs, so
  that in these two layers the two forms do not give the same numbers. Borders are reflected, as in that network, not
  zero as in VGG-19 itself: the end of a picture is no edge in it, and both forms agree as far as relu3_1.
- SqueezeNet v1.0 (Iandola et al. 2016), at six layers, content at fire5.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import model_squeezenet, model_vgg19, vgg
from models.runtime import load_mxnet
from models.spec import WEIGHTS_FOLDER, ModelSpec
from styletransfer import pixels, weights
from styletransfer.errors import UserError
from styletransfer.images import Picture
from styletransfer.network import Network, tapped
from styletransfer.weights import Parameters

_BOUND, _SEEN = 4, 8  # shapes for which executors are kept, and pictures of which it is kept what was seen

# VGG-19 in two files: its own blocks as far as relu3_1, and those of the compressed network, as far as relu5_1.
_EXACT = ((64,) * 2, (128,) * 2, (256,))
_COMPRESSED = ((16,) * 2, (32,) * 2, (64,) * 4, (128,) * 4, (128,))
_REBUILT = {"relu4_1": 512, "relu5_1": 512}  # the layers read out of it, with VGG-19's numbers of channels
_EXACT_PATH = WEIGHTS_FOLDER / "vgg19_conv1_1-conv3_4_BGR_OIHW.npz"
_COMPRESSED_PATH = WEIGHTS_FOLDER / "vgg19_16x.npz"


@dataclass(frozen=True)
class Seen:
    """What an eye keeps of a picture.

    Attributes
    ----------
    grams : dict of arrays (N, N)
        The Gram matrices over N M of the style layers.
    content : array (N, height, width)
        The features of the content layer.
    """

    grams: Mapping[str, NDArray[np.float64]]
    content: NDArray[np.float32]


class Eye:
    """A network as a judge of pictures (H, W, 3), RGB 0..1.

    It remembers what it saw in the last few pictures, so that of a painting and a photograph that are named again and
    again nothing is computed twice.

    Parameters
    ----------
    name : str
        What people call it.
    style_layers : sequence of str
    content_layer : str
    names, symbol
        The tapped layers and one symbol with as many outputs, whose input is `data`.
    parameters : dict of arrays
        For images in the space `space`, a key of `pixels.SPACES`.
    smallest_side : int
        The shortest side of a picture that it can see, in pixels.
    """

    def __init__(
        self,
        name: str,
        style_layers: Sequence[str],
        content_layer: str,
        names: list[str],
        symbol: Any,
        parameters: Parameters,
        space: str,
        smallest_side: int,
    ) -> None:
        self.name = name
        self.style_layers = tuple(style_layers)
        self.content_layer = content_layer
        self._tapped = names, symbol
        self._parameters = parameters
        self._space = space
        self._smallest_side = smallest_side
        self._network = functools.lru_cache(maxsize=_BOUND)(self._bind)
        self._seen = functools.lru_cache(maxsize=_SEEN)(self._see)

    def features(self, picture: Picture) -> dict[str, NDArray[np.float32]]:
        """The features of all its layers, (N, height, width) each.

        Raises
        ------
        UserError
            If the picture is too small.
        """
        height, width = picture.shape[:2]
        if min(height, width) < self._smallest_side:
            raise UserError(
                f"{self.name} cannot judge a picture of {width} x {height} pixels, "
                f"expected at least {self._smallest_side} on each side"
            )
        network = self._network(height, width)
        network.image[:] = pixels.from_picture(picture, self._space)
        network.forward()
        return {layer: values.asnumpy()[0] for layer, values in network.features.items()}

    def style_distances(self, picture: Picture, painting: Picture) -> dict[str, float]:
        """How far a picture is from the style of a painting, of any size, in every style layer; 0 for the painting."""
        found, wanted = self._look(picture).grams, self._look(painting).grams
        return {layer: _relative(found[layer], wanted[layer]) for layer in self.style_layers}

    def style_distance(self, picture: Picture, painting: Picture) -> float:
        """The mean of :meth:`style_distances`."""
        return float(np.mean(list(self.style_distances(picture, painting).values())))

    def content_distance(self, picture: Picture, photograph: Picture) -> float:
        """How far a picture is from a photograph of the same size; 0 for the photograph itself.

        Raises
        ------
        ValueError
            If they differ in size.
        """
        if picture.shape != photograph.shape:
            raise ValueError(f"a picture {picture.shape} has no content distance from one {photograph.shape}")
        return _relative(self._look(picture).content, self._look(photograph).content)

    def _look(self, picture: Picture) -> Seen:
        return self._seen(picture.tobytes(), picture.shape, picture.dtype.str)

    def _see(self, data: bytes, shape: tuple[int, ...], dtype: str) -> Seen:
        features = self.features(np.frombuffer(data, dtype).reshape(shape))
        return Seen({layer: _gram(features[layer]) for layer in self.style_layers}, features[self.content_layer])

    def _bind(self, height: int, width: int) -> Network:
        return Network(*self._tapped, self._parameters, (3, height, width), load_mxnet().cpu(), trainable=False)


def _gram(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """F F^T / (N M) of features (N, height, width)."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    return flat @ flat.T / flat.size


def _relative(found: NDArray, wanted: NDArray) -> float:
    """|found - wanted|^2 / |wanted|^2."""
    wanted = wanted.astype(np.float64)
    return float(np.sum((found - wanted) ** 2) / np.sum(wanted**2))


def squeezenet(parameters: Parameters) -> Eye:
    """SqueezeNet's eye; `parameters` are those of its SPEC."""
    spec = model_squeezenet.SPEC
    style, content = ("relu_conv1", "fire2", "fire4", "fire5", "fire7", "fire9"), "fire5"
    names, symbol = tapped(spec.name, style, [content], spec.pooling)
    smallest = spec.smallest_side(spec.deepest(style))
    return Eye("SqueezeNet", style, content, names, symbol, parameters, spec.pixels, smallest)


def vgg19(exact: Parameters, compressed: Parameters | None = None) -> Eye:
    """VGG-19's eye.

    Parameters
    ----------
    exact : dict of arrays
        VGG-19's own parameters in the pixels of its SPEC: all, or with `compressed` those as far as conv3_1.
    compressed : dict of arrays, optional
        The parameters of the compressed network as published, ``conv0_weight``, ``conv11_weight``,
        ``conv41_aux_weight``; then relu4_1 and relu5_1 are what it rebuilds.
    """
    mx = load_mxnet()
    spec = model_vgg19.SPEC
    layers = list(vgg.STYLE_LAYERS)
    image = mx.sym.Variable("data")
    symbols = _encoder(image, _EXACT if compressed else model_vgg19.BLOCKS, "conv{}_{}")
    parameters = exact
    if compressed:
        parameters = {**exact, **_adapted(compressed, "conv0", pixels.PICTURES)}
        bgr = mx.sym.Convolution(image, num_filter=3, kernel=(1, 1), name="conv0")
        small = _encoder(bgr, _COMPRESSED, "conv{}{}")
        for layer, channels in _REBUILT.items():
            name = _readout(layer)
            readout = mx.sym.Convolution(small[layer], num_filter=channels, kernel=(1, 1), name=name)
            symbols[layer] = mx.sym.Activation(readout, act_type="relu")
    symbol = mx.sym.Group([symbols[layer] for layer in layers])
    smallest = 2 * 2**4  # a border is reflected from the second value; before relu5_1 stand four poolings
    return Eye("VGG-19", layers, "relu4_1", layers, symbol, parameters, spec.pixels, smallest)


def _encoder(values: Any, blocks: vgg.Blocks, name: str) -> dict[str, Any]:
    """Every ReLU of a network of the VGG family with reflected borders and max pooling; `name` makes parameters' names.

    Parameters
    ----------
    values : symbol (1, 3, H, W)
    """
    mx = load_mxnet()
    found = {}
    for block, widths in enumerate(blocks, start=1):
        if block > 1:
            values = mx.sym.Pooling(values, pool_type="max", kernel=(2, 2), stride=(2, 2))
        for position, filters in enumerate(widths, start=1):
            padded = mx.sym.Pad(values, mode="reflect", pad_width=(0, 0, 0, 0, 1, 1, 1, 1))
            convolution = mx.sym.Convolution(
                padded, num_filter=filters, kernel=(3, 3), name=name.format(block, position)
            )
            values = found[f"relu{block}_{position}"] = mx.sym.Activation(convolution, act_type="relu")
    return found


def _readout(layer: str) -> str:
    """The convolution that rebuilds a layer of VGG-19: conv41_aux for relu4_1."""
    return f"conv{layer.removeprefix('relu').replace('_', '')}_aux"


def _adapted(parameters: Parameters, first: str, native: str | pixels.PixelSpace) -> Parameters:
    """Parameters whose first convolution was made for `native`, for the pixels of VGG-19's SPEC."""
    names = f"{first}_weight", f"{first}_bias"
    weight, bias = (parameters[name] for name in names)
    return {**parameters, **dict(zip(names, pixels.adapt_first_layer(weight, bias, native, model_vgg19.SPEC.pixels)))}


def exact_spec() -> ModelSpec:
    """VGG-19 as far as relu3_1, for a file of its parameters."""
    return replace(model_vgg19.SPEC, parameters=vgg.parameters(_EXACT))


def compressed_spec() -> ModelSpec:
    """The compressed network as published, for a file of its parameters: only with the read-outs that are used."""
    shapes = {"conv0_weight": (3, 3, 1, 1), "conv0_bias": (3,)}
    for name, shape in vgg.parameters(_COMPRESSED).items():
        shapes["".join(name.split("_", 1))] = shape
    for layer, channels in _REBUILT.items():
        shapes[f"{_readout(layer)}_weight"] = (channels, shapes[_readout(layer).replace("_aux", "_bias")][0], 1, 1)
        shapes[f"{_readout(layer)}_bias"] = (channels,)
    return replace(model_vgg19.SPEC, name="vgg19_16x", parameters=shapes)


def load_exact(path: Path) -> Parameters:
    """VGG-19 as far as conv3_1 from a .npz of ``conv1_1.weight`` and so on, made for BGR; it may hold more."""
    return _adapted(weights.load_plain_npz(exact_spec(), path), "conv1_1", "bgr255")


def load_compressed(path: Path) -> Parameters:
    """The compressed network from a .npz of its published parameters, ``conv0.weight`` and so on."""
    return weights.load_plain_npz(compressed_spec(), path)


def load_squeezenet(path: str | Path | None = None) -> Eye:
    """SqueezeNet's eye from a file of its weights (.net or .params); without one, from where they are fetched to.

    Raises
    ------
    UserError
        If the file is absent or unusable.
    """
    spec = model_squeezenet.SPEC
    if path and Path(path).suffix == ".net":
        return squeezenet(weights.load_deep_compression(spec, path))
    return squeezenet(weights.load(spec, path))


def load_vgg19(paths: Sequence[str | Path] = ()) -> Eye:
    """VGG-19's eye from files of its weights; without any, from where they are fetched to, the whole of it first.

    Parameters
    ----------
    paths : sequence of paths
        One: the whole of VGG-19, in any format. Two: its first three blocks, and the compressed network.

    Raises
    ------
    UserError
        If a file is absent or unusable, or there are more than two.
    """
    if len(paths) > 2:
        raise UserError(f"VGG-19 takes one or two files of weights, not {len(paths)}")
    spec = model_vgg19.SPEC
    if not paths and not spec.weights_path.exists() and _in_two_files():
        paths = _EXACT_PATH, _COMPRESSED_PATH
    if len(paths) == 2:
        exact, compressed = map(Path, paths)
        return vgg19(load_exact(exact), load_compressed(compressed))
    return vgg19(weights.load(spec, paths[0] if paths else None))


def _in_two_files() -> bool:
    return _EXACT_PATH.exists() and _COMPRESSED_PATH.exists()


def load(
    squeezenet_path: str | Path | None = None, vgg19_paths: Sequence[str | Path] = ()
) -> tuple[list[Eye], list[str]]:
    """All eyes whose weights are there, VGG-19 first.

    Parameters
    ----------
    squeezenet_path, vgg19_paths
        As for :func:`load_squeezenet` and :func:`load_vgg19`; files that are named must be there.

    Returns
    -------
    list of Eye
    list of str
        For every eye that is left out a line that says how to get it.

    Raises
    ------
    UserError
        If a file is unusable, or no eye is left.
    """
    eyes, left_out = [], []
    if vgg19_paths or model_vgg19.SPEC.weights_path.exists() or _in_two_files():
        eyes.append(load_vgg19(vgg19_paths))
    else:
        left_out.append(_left_out("VGG-19", "vgg19"))
    if squeezenet_path or model_squeezenet.SPEC.weights_path.exists():
        eyes.append(load_squeezenet(squeezenet_path))
    else:
        left_out.append(_left_out("SqueezeNet", "squeezenet"))
    if not eyes:
        raise UserError("; ".join(["nothing to judge with", *left_out]))
    return eyes, left_out


def _left_out(title: str, name: str) -> str:
    return (
        f"{title} is left out, as its weights are not here: run `python scripts/fetch.py {name}`, or name them "
        f"with --{name} FILE"
    )
