"""VGG-19 from two small files: its first convolutions, and a compressed network, a sixteenth of its size, for the rest.

- Up to relu3_4 the convolutions are VGG-19's own (Simonyan and Zisserman 2014).
- relu4_1 and relu5_1 are estimated by a network compressed from it (H. Wang et al., Collaborative Distillation for
  Ultra-Resolution Universal Style Transfer, CVPR 2020, https://arxiv.org/abs/2003.08436): 1 x 1 convolutions with ReLU,
  its read-outs, reconstruct the features of the normalised VGG-19, in which each channel is divided by its mean over
  many photographs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models import model_vgg19, model_vgg19_16x, vgg
from models.runtime import Symbol, load_mxnet
from models.spec import ModelSpec
from styletransfer import weights
from styletransfer.pictures import pixels
from styletransfer.weights import Parameters

EXACT = ((64,) * 2, (128,) * 2, (256,) * 4)
READ_OUTS = ("relu4_1", "relu5_1")  # the layers that are estimated
_PREFIX = "compressed_"  # of the compressed network's parameters, next to VGG-19's own


def encoder(values: Symbol, blocks: vgg.Blocks, name: str) -> dict[str, Symbol]:
    """Every ReLU of a network of the VGG family with reflection padding and max pooling.

    Parameters
    ----------
    values : symbol (1, 3, H, W)
    blocks
        The number of filters of each convolution, by block.
    name : str
        Format of the convolutions' names, with placeholders for block and position.
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


def read_outs(image: Symbol) -> dict[str, Symbol]:
    """The estimates of `READ_OUTS` by the compressed network, with reflection padding as published.

    Parameters
    ----------
    image : symbol (n, 3, H, W)
        In the pixels of VGG-19's SPEC, with parameters from :func:`load_compressed`.
    """
    mx = load_mxnet()
    found = encoder(image, model_vgg19_16x.BLOCKS, _PREFIX + "conv{}_{}")
    estimates = {}
    for layer in READ_OUTS:
        channels, name = model_vgg19_16x.SPEC.read_outs[layer], f"{_PREFIX}{layer}_read_out"
        read_out = mx.sym.Convolution(found[layer], num_filter=channels, kernel=(1, 1), name=name)
        estimates[layer] = mx.sym.Activation(read_out, act_type="relu")
    return estimates


def exact_spec() -> ModelSpec:
    """VGG-19 up to relu3_4, for a file of its parameters."""
    return replace(model_vgg19.SPEC, parameters=vgg.parameters(EXACT))


def load_exact(path: Path) -> Parameters:
    """VGG-19 up to conv3_4 from a .npz of ``conv1_1.weight`` and so on, for BGR images."""
    parameters = weights.load_plain_npz(exact_spec(), path)
    weight, bias = parameters["conv1_1_weight"], parameters["conv1_1_bias"]
    weight, bias = pixels.adapt_first_layer(weight, bias, "bgr255", model_vgg19.SPEC.pixels)
    return {**parameters, "conv1_1_weight": weight, "conv1_1_bias": bias}


def load_compressed(path: Path | None = None) -> Parameters:
    """The compressed network with its read-outs, from a file or from the fetched weights."""
    return {_PREFIX + name: values for name, values in weights.load_whole(model_vgg19_16x.SPEC, path).items()}
