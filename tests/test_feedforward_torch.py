"""Feed-forward networks as functions of PyTorch tensors give what MXNet's symbols give."""

from __future__ import annotations

import numpy as np
import pytest
from feedforward_helpers import random_transformer
from helpers import mxnet, random_picture, relative_error

import models
from models.feedforward_spec import TransformerSpec
from styletransfer.engines import Engine, load
from styletransfer.feedforward.extension import extended
from styletransfer.pictures import pixels
from styletransfer.training.network import TrainableTransformer, parameters_of

torch = pytest.importorskip("torch")
from models import feedforward_torch

every_network = pytest.mark.parametrize("name", models.transformer_names())
Tensors = dict[str, "torch.Tensor"]


def mxnet_engine() -> Engine:
    mxnet()
    return load("mxnet")


def spec_of(name: str) -> TransformerSpec:
    return models.load_transformer(name).SPEC


def image(height: int, width: int, name: str) -> np.ndarray:
    return extended(pixels.from_picture(random_picture(height, width, seed=3), "rgb255"), spec_of(name)).astype("f4")


def tensors(name: str, dtype: torch.dtype = torch.float32) -> Tensors:
    return {key: torch.tensor(array).to(dtype) for key, array in random_transformer(name).items()}


@every_network
@pytest.mark.parametrize(("height", "width"), [(45, 50), (44, 64), (1, 33)])
def test_the_whole_network_is_the_same(name: str, height: int, width: int) -> None:
    values = image(height, width, name)
    theirs = mxnet_engine().stylizer(spec_of(name), random_transformer(name), *values.shape[2:], "float32")
    expected = theirs(values)
    found = feedforward_torch.network(spec_of(name), tensors(name))(torch.tensor(values))
    assert found.dtype == torch.float32
    assert relative_error(found.numpy(), expected) < 1e-5


@every_network
def test_gradients_are_the_same(name: str) -> None:
    """In float64, as rounding in float32 may decide whether a ReLU passes a value on."""
    spec, parameters = spec_of(name), tensors(name, torch.float64)
    values = pixels.from_picture(random_picture(45, 52, seed=3), "rgb255")
    head = np.random.default_rng(1).normal(0, 1, values.shape).astype(np.float32)
    engine = mxnet_engine()
    network = TrainableTransformer(engine, spec, 45, 52, "float32")
    network.set_parameters(engine.flat(map(engine.array, random_transformer(name).values())))
    network.forward(values)
    network.backward(engine.array(head))
    expected = parameters_of(spec, engine.numpy(network.gradient))
    for parameter in parameters.values():
        parameter.requires_grad_()
    found = feedforward_torch.network(spec, parameters)(torch.tensor(image(45, 52, name)).double())
    inner = found[:, :, spec.margin : spec.margin + 45, spec.margin : spec.margin + 52]
    (inner * torch.tensor(head)).sum().backward()
    for key, parameter in parameters.items():
        assert parameter.grad is not None
        assert relative_error(parameter.grad.numpy(), expected[key]) < 1e-4, key


@every_network
def test_layers_with_given_statistics_are_the_whole_network(name: str) -> None:
    """As when an image is stylised in strips."""
    spec, parameters, values = spec_of(name), tensors(name, torch.float64), torch.tensor(image(45, 50, name)).double()
    expected = feedforward_torch.network(spec, parameters)(values)
    values, outputs = feedforward_torch.entered(spec, values), {}
    for layer in spec.layers:
        values = feedforward_torch.convolved(layer, values, parameters)
        statistics = values.mean((0, 2, 3)), values.var((0, 2, 3), correction=0)
        values = feedforward_torch.activated(layer, values, parameters, outputs.get(layer.adds), statistics)
        outputs[layer.name] = values
    assert relative_error(feedforward_torch.image_of(spec, values), expected) < 1e-12


@every_network
def test_bfloat16_is_close(name: str) -> None:
    values = torch.tensor(image(44, 52, name))
    exact = feedforward_torch.network(spec_of(name), tensors(name))(values)
    found = feedforward_torch.network(spec_of(name), tensors(name), torch.bfloat16)(values)
    assert found.dtype == torch.float32
    assert 1e-4 < relative_error(found, exact) < 0.1


@every_network
def test_parameters_are_read_at_every_call(name: str) -> None:
    values, parameters = torch.tensor(image(20, 20, name)), tensors(name)
    network = feedforward_torch.network(spec_of(name), parameters)
    before = network(values)
    parameters["image_bias"] += 3
    assert relative_error(network(values), before) > 1e-3


def test_gradients_are_there_after_inference() -> None:
    feedforward_torch._resize_matrix.cache_clear()
    values, parameters = torch.tensor(image(20, 20, "small")), tensors("small")
    network = feedforward_torch.network(spec_of("small"), parameters)
    with torch.inference_mode():
        network(values)
    parameters["up_weight"].requires_grad_()
    network(values).sum().backward()
    assert parameters["up_weight"].grad.norm() > 0
