"""VGG-19 in two small files: its first convolutions, and a network of a sixteenth of its size for the rest.

- As far as relu3_4 the convolutions are VGG-19's own (Simonyan and Zisserman 2014).
- relu4_1 and relu5_1 are estimated by a network compressed from it (H. Wang et al., Collaborative Distillation for
  Ultra-Resolution Universal Style Transfer, CVPR 2020, https://arxiv.org/abs/2003.08436): 1 x 1 convolutions with ReLU,
  its read-outs, rebuild the features of the normalised VGG-19, each channel divided by its mean over many photographs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from models import model_vgg19, vgg
from models.runtime import load_mxnet
from models.spec import ModelSpec
from styletransfer import pixels, weights
from styletransfer.weights import Parameters

EXACT = ((64,) * 2, (128,) * 2, (256,) * 4)
_COMPRESSED = ((16,) * 2, (32,) * 2, (64,) * 4, (128,) * 4, (128,))
READ_OUTS = {"relu4_1": 512, "relu5_1": 512}  # the layers read out, with VGG-19's numbers of channels


def encoder(values: Any, blocks: vgg.Blocks, name: str) -> dict[str, Any]:
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


def read_outs(image: Any) -> dict[str, Any]:
    """What the compressed network, as published, estimates of `READ_OUTS`.

    Parameters
    ----------
    image : symbol (n, 3, H, W)
        In the pixels of VGG-19's SPEC, with parameters from :func:`load_compressed`.
    """
    mx = load_mxnet()
    bgr = mx.sym.Convolution(image, num_filter=3, kernel=(1, 1), name="conv0")
    found = encoder(bgr, _COMPRESSED, "conv{}{}")
    return {
        layer: mx.sym.Activation(
            mx.sym.Convolution(found[layer], num_filter=channels, kernel=(1, 1), name=_readout(layer)), act_type="relu"
        )
        for layer, channels in READ_OUTS.items()
    }


def _readout(layer: str) -> str:
    """The convolution that rebuilds a layer of VGG-19: conv41_aux for relu4_1."""
    return f"conv{layer.removeprefix('relu').replace('_', '')}_aux"


def _adapted(parameters: Parameters, first: str, native: str | pixels.PixelSpace) -> Parameters:
    """Parameters whose first convolution was made for `native`, for the pixels of VGG-19's SPEC."""
    names = f"{first}_weight", f"{first}_bias"
    weight, bias = (parameters[name] for name in names)
    return {**parameters, **dict(zip(names, pixels.adapt_first_layer(weight, bias, native, model_vgg19.SPEC.pixels)))}


def exact_spec() -> ModelSpec:
    """VGG-19 as far as relu3_4, for a file of its parameters."""
    return replace(model_vgg19.SPEC, parameters=vgg.parameters(EXACT))


def compressed_spec() -> ModelSpec:
    """The compressed network as published, for a file of its parameters: only with the read-outs that are used."""
    shapes = {"conv0_weight": (3, 3, 1, 1), "conv0_bias": (3,)}
    for name, shape in vgg.parameters(_COMPRESSED).items():
        shapes["".join(name.split("_", 1))] = shape
    for layer, channels in READ_OUTS.items():
        shapes[f"{_readout(layer)}_weight"] = (channels, shapes[_readout(layer).replace("_aux", "_bias")][0], 1, 1)
        shapes[f"{_readout(layer)}_bias"] = (channels,)
    return replace(model_vgg19.SPEC, name="vgg19_16x", parameters=shapes)


def load_exact(path: Path) -> Parameters:
    """VGG-19 as far as conv3_4 from a .npz of ``conv1_1.weight`` and so on, made for BGR."""
    return _adapted(weights.load_plain_npz(exact_spec(), path), "conv1_1", "bgr255")


def load_compressed(path: Path) -> Parameters:
    """The compressed network from a .npz of its published parameters, ``conv0.weight`` and so on."""
    return _adapted(weights.load_plain_npz(compressed_spec(), path), "conv0", pixels.PICTURES)
