"""The network's executor in bfloat16: close to float32, and as good for optimisation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import STABLE_POOLING, mx, random_parameters, relative_error, to_mx
from shrunk import shrunk

import models
from models import runtime, to_mxnet
from styletransfer.network.executor import Heads, Network, tapped
from styletransfer.network.precision import DTYPES, FLOAT32, cast
from styletransfer.session import binding, inputs
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import precision_of, resolve
from styletransfer.support.errors import UserError

needs_bfloat16 = pytest.mark.skipif(not runtime.has_bfloat16(), reason="this processor has no AVX-512")


@needs_bfloat16
@pytest.mark.parametrize("model", models.names())
def test_bfloat16_features_and_gradient_are_close_to_float32(model):
    spec = models.load(model).SPEC
    pooling = STABLE_POOLING if to_mxnet.has_bfloat16(spec, STABLE_POOLING) else spec.pooling
    names, symbol = tapped(model, spec.style_layers, spec.content_layers, pooling)
    image = to_mx(np.random.default_rng(2).normal(0, 60, (1, 3, 65, 79)))
    features, gradients = [], []
    for precision in ("float32", "bfloat16"):
        network = Network(names, symbol, random_parameters(model), (3, 65, 79), mx.cpu(), True, precision)
        network.image[:] = image
        network.forward()
        assert {np.dtype(value.dtype) for value in network.features.values()} == {DTYPES[precision]}
        exact = {layer: cast(value, FLOAT32) for layer, value in network.features.items()}
        features.append({layer: value.asnumpy() for layer, value in exact.items()})
        network.backward(Heads(exact, {}))
        gradients.append(network.gradient.asnumpy())
    for layer in names:
        assert 0 < relative_error(features[1][layer], features[0][layer]) < 0.03, layer
    assert relative_error(gradients[1], gradients[0]) < 0.1


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("model", models.names())
def test_gram_gradients_equal_feature_gradients_and_are_added(model, precision):
    spec = models.load(model).SPEC
    style, content = list(spec.style_layers), list(spec.content_layers)
    names, symbol = tapped(model, style, content, spec.pooling)
    generator = np.random.default_rng(3)
    image = to_mx(generator.normal(0, 60, (1, 3, 65, 79)))

    def gradient(by_features, by_grams, heads):
        network = Network(
            names, symbol, random_parameters(model), (3, 65, 79), mx.cpu(), True, precision, by_features, by_grams
        )
        network.image[:] = image
        network.forward()
        network.backward(heads({layer: cast(value, FLOAT32) for layer, value in network.features.items()}))
        return network.gradient.asnumpy()

    both = style[1]  # gets a gradient of both kinds
    of_grams = {}
    for layer in style:
        channels, *_ = spec.output_shape(layer, 65, 79)
        square = generator.normal(0, 1 / channels, (channels, channels))
        of_grams[layer] = to_mx(square + square.T)

    def as_features(features):
        heads = {layer: features[layer] for layer in [*content, both]}
        for layer, gram in of_grams.items():
            value = features[layer]
            head = 2 * mx.nd.dot(gram, value.reshape((value.shape[1], -1))).reshape(value.shape)
            heads[layer] = heads[layer] + head if layer in heads else head
        return Heads(heads, {})

    def as_grams(features):
        return Heads({layer: features[layer] for layer in [*content, both]}, of_grams)

    expected = gradient(None, (), as_features)
    found = gradient([*content, both], style, as_grams)
    assert relative_error(found, expected) < {"float32": 1e-5, "bfloat16": 0.02}[precision]


SGD = "optimizer={name: sgd, learning_rate: 0.3, clip_norm: 2000, bounds: none}"


def losses_after(steps, precision):
    """The loss after the given number of steps, evaluated in float32."""
    config = shrunk(
        "starry",
        [
            "size=96",
            f"pooling={STABLE_POOLING}",
            f"stop.max_iterations={steps}",
            f"precision={precision}",
            SGD,
            "optimizer.bounds=none",
        ],
    )
    plan = resolve(config)
    (pictures,), parameters = inputs.read_pictures(plan), inputs.load_parameters(plan)
    pyramid = Pyramid(plan, [pictures], parameters)
    for _ in pyramid.records():
        pass
    exact = dataclasses.replace(plan, precision="float32")
    judged = binding.bind(exact, exact.scales[0], pictures, parameters)
    return judged.objective(pyramid.image).losses.total


@needs_bfloat16
def test_bfloat16_descends_as_float32_does():
    exact = losses_after(100, "float32")
    assert exact < 0.1 * losses_after(0, "float32")
    assert losses_after(100, "bfloat16") == pytest.approx(exact, rel=0.03)


def test_auto_is_bfloat16_if_it_is_faster(monkeypatch):
    config = shrunk("starry", ["precision=auto"])
    for faster in (True, False):
        monkeypatch.setattr(runtime, "is_faster_in_bfloat16", lambda faster=faster: faster)
        assert precision_of(config) == ("bfloat16" if faster else "float32")
    assert precision_of(config.model_copy(update={"device": "gpu:0"})) == "float32"


def test_bfloat16_is_rejected_if_unsupported(monkeypatch):
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: False)
    with pytest.raises(UserError, match="AVX-512"):
        precision_of(shrunk("starry", ["precision=bfloat16"]))


def test_pooling_without_bfloat16_is_computed_in_float32(monkeypatch):
    monkeypatch.setattr(runtime, "is_faster_in_bfloat16", lambda: True)
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: True)
    assert precision_of(shrunk("starry", ["model=squeezenet", "precision=auto"])) == "bfloat16"
    assert precision_of(shrunk("starry", ["model=squeezenet", "pooling=avg", "precision=auto"])) == "float32"
    with pytest.raises(UserError, match="not available for squeezenet with pooling: avg"):
        precision_of(shrunk("starry", ["model=squeezenet", "pooling=avg", "precision=bfloat16"]))
