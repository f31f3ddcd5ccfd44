"""Networks of the engine: gradients by Gram matrices; in bfloat16 close to float32, and as good for optimisation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import (
    ENGINE,
    STABLE_POOLING,
    needs_bfloat16,
    network_of,
    random_parameters,
    relative_error,
    to_array,
    to_numpy,
)
from shrunk import shrunk

import models
from styletransfer.engines import Head
from styletransfer.session import binding, inputs
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve


@needs_bfloat16
@pytest.mark.parametrize("model", models.names())
def test_bfloat16_features_and_gradient_are_close_to_float32(model):
    spec = models.load(model).SPEC
    layers = tuple(dict.fromkeys([*spec.style_layers, *spec.content_layers]))
    image = to_array(np.random.default_rng(2).normal(0, 60, (1, 3, 65, 79)))
    features, gradients = [], []
    for precision in ("float32", "bfloat16"):
        bound = network_of(model, random_parameters(model), STABLE_POOLING, precision).bind(layers, (3, 65, 79))
        bound.forward(image)
        seen = {layer: ENGINE.copy(bound.features(layer)) for layer in layers}
        features.append({layer: to_numpy(values) for layer, values in seen.items()})
        gradients.append(to_numpy(bound.backward({layer: Head(given=values) for layer, values in seen.items()})))
    for layer in layers:
        assert 0 < relative_error(features[1][layer], features[0][layer]) < 0.03, layer
    assert relative_error(gradients[1], gradients[0]) < 0.1


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=needs_bfloat16)])
@pytest.mark.parametrize("model", models.names())
def test_gram_gradients_equal_feature_gradients_and_are_added(model, precision):
    spec = models.load(model).SPEC
    style, content = list(spec.style_layers), list(spec.content_layers)
    layers = tuple(dict.fromkeys([*style, *content]))
    generator = np.random.default_rng(3)
    image = to_array(generator.normal(0, 60, (1, 3, 65, 79)))
    network = network_of(model, precision=precision)

    def gradient(by_gram, heads):
        bound = network.bind(layers, (3, 65, 79), by_gram=by_gram)
        bound.forward(image)
        return to_numpy(bound.backward(heads({layer: ENGINE.copy(bound.features(layer)) for layer in layers})))

    both = style[1]  # gets a gradient of both kinds
    of_grams = {}
    for layer in style:
        channels, *_ = spec.output_shape(layer, 65, 79)
        square = generator.normal(0, 1 / channels, (channels, channels))
        of_grams[layer] = square + square.T

    def as_features(features):
        heads = {layer: to_numpy(features[layer]) for layer in [*content, both]}
        for layer, gram in of_grams.items():
            values = to_numpy(features[layer])
            head = np.einsum("cd,ndyx->ncyx", 2 * gram, values)
            heads[layer] = heads[layer] + head if layer in heads else head
        return {layer: Head(given=to_array(head)) for layer, head in heads.items()}

    def as_grams(features):
        return {
            layer: Head(
                gram=to_array(of_grams[layer]) if layer in of_grams else None,
                given=features[layer] if layer in [*content, both] else None,
            )
            for layer in layers
        }

    expected = gradient((), as_features)
    for by_gram in ((), set(style) - {both, *content}):
        found = gradient(by_gram, as_grams)
        assert relative_error(found, expected) < {"float32": 1e-5, "bfloat16": 0.02}[precision], by_gram


SGD = "optimizer={name: sgd, learning_rate: 0.3, clip_norm: 2000, bounds: none}"


def losses_after(steps, precision):
    """The loss after the given number of steps, evaluated in float32."""
    config = shrunk(
        "slim",
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
    exact = dataclasses.replace(plan, choice=dataclasses.replace(plan.choice, precision="float32"))
    judged = binding.bind(exact, exact.scales[0], pictures, parameters)
    return judged.objective(pyramid.image).losses.total


@needs_bfloat16
def test_bfloat16_descends_as_float32_does():
    exact = losses_after(100, "float32")
    assert exact < 0.1 * losses_after(0, "float32")
    assert losses_after(100, "bfloat16") == pytest.approx(exact, rel=0.03)
