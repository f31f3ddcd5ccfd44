"""The two forms of every network, MXNet symbols and a function of PyTorch tensors, give the same."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from helpers import mxnet, random_parameters, relative_error
from numpy.typing import NDArray

import models
from models import to_mxnet, to_torch
from models.spec import ModelSpec

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode

every_model = pytest.mark.parametrize("name", models.names())
both_poolings = pytest.mark.parametrize("pooling", ["max", "avg"])
SIZES = ((51, 67), (48, 64), (45, 70))  # poolings of SqueezeNet end with an incomplete window, or do not
Arrays = dict[str, NDArray]


def spec_of(name: str) -> ModelSpec:
    return models.load(name).SPEC


def outputs(spec: ModelSpec) -> list[str]:
    return [*spec.layer_names, *(["classes"] if spec.name == "squeezenet" else [])]


@functools.cache
def image(height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 60, (1, channels, height, width)).astype(np.float32)


def in_mxnet(
    spec: ModelSpec, values: NDArray, layers: Sequence[str], pooling: str | None = None, after: str | None = None
) -> tuple[Arrays, NDArray]:
    """The features, and the gradient of half their sum of squares with respect to the input."""
    mx = mxnet()
    symbols = to_mxnet.symbols(spec, layers, pooling, after)
    assert list(symbols) == list(layers)
    symbol = mx.sym.Group(list(symbols.values()))
    arguments = {name: mx.nd.array(array) for name, array in random_parameters(spec.name).items()}
    gradient = mx.nd.zeros(values.shape)
    executor = symbol.bind(
        mx.cpu(),
        {**{name: arguments[name] for name in symbol.list_arguments() if name != "data"}, "data": mx.nd.array(values)},
        args_grad={"data": gradient},
        grad_req={name: "write" if name == "data" else "null" for name in symbol.list_arguments()},
    )
    found = executor.forward(is_train=True)
    executor.backward(found)
    return {layer: array.asnumpy() for layer, array in zip(layers, found)}, gradient.asnumpy()


def in_torch(
    spec: ModelSpec,
    values: NDArray,
    layers: Iterable[str],
    pooling: str | None = None,
    after: str | None = None,
    dtype: str = "float32",
) -> tuple[Arrays, NDArray]:
    dtype = getattr(torch, dtype)
    parameters = {name: torch.tensor(array).to(dtype) for name, array in random_parameters(spec.name).items()}
    given = torch.tensor(values).to(dtype).requires_grad_()
    found = to_torch.features(spec, parameters, layers, pooling, after)(given)
    assert {array.dtype for array in found.values()} == {dtype}
    (sum(array.square().sum() for array in found.values()) / 2).backward()
    return {layer: array.detach().double().numpy() for layer, array in found.items()}, given.grad.double().numpy()


@every_model
@both_poolings
@pytest.mark.parametrize("size", SIZES)
def test_every_layer_is_the_same(name: str, pooling: str, size: tuple[int, int]) -> None:
    spec = spec_of(name)
    (ours, gradient), (theirs, other) = (
        see(spec, image(*size), outputs(spec), pooling) for see in (in_mxnet, in_torch)
    )
    assert list(ours) == list(theirs) == outputs(spec)
    for layer in ours:
        assert relative_error(theirs[layer], ours[layer]) < 1e-5, layer
    assert relative_error(other, gradient) < (1e-5 if pooling == "avg" else 0.03)  # rounding may choose another maximum


@every_model
@both_poolings
def test_layers_alone_are_the_same_as_together(name: str, pooling: str) -> None:
    """Layers that are not asked for are dropped on the way."""
    spec = spec_of(name)
    together, _ = in_torch(spec, image(51, 67), outputs(spec), pooling)
    for layer in outputs(spec):
        alone, _ = in_torch(spec, image(51, 67), [layer], pooling)
        assert list(alone) == [layer]
        assert relative_error(alone[layer], together[layer]) < 1e-6, layer


@every_model
@both_poolings
def test_what_follows_a_cut_is_the_same(name: str, pooling: str) -> None:
    spec = spec_of(name)
    whole, _ = in_mxnet(spec, image(51, 67), outputs(spec), pooling)
    for cut in spec.cuts:
        layers = spec.after(cut).layer_names
        found, _ = in_torch(spec, whole[cut], layers, pooling, cut)
        for layer in layers:
            assert relative_error(found[layer], whole[layer]) < 1e-5, (cut, layer)
        for converter in (to_mxnet.symbols, functools.partial(to_torch.features, parameters={})):
            with pytest.raises(KeyError, match=cut):
                converter(spec, layers=[cut], pooling=pooling, after=cut)


@every_model
def test_the_default_pooling_is_that_of_the_spec(name: str) -> None:
    spec = spec_of(name)
    layer = spec.layer_names[-1]
    found, _ = in_torch(spec, image(51, 67), [layer])
    expected, _ = in_torch(spec, image(51, 67), [layer], spec.pooling)
    np.testing.assert_array_equal(found[layer], expected[layer])


@every_model
def test_other_dtypes_are_close(name: str) -> None:
    spec = spec_of(name)
    layers = list(dict.fromkeys([*spec.style_layers, *spec.content_layers]))
    exact, gradient = in_torch(spec, image(51, 67), layers, "avg", dtype="float64")
    single, single_gradient = in_torch(spec, image(51, 67), layers, "avg")
    half, half_gradient = in_torch(spec, image(51, 67), layers, "avg", dtype="bfloat16")
    for layer in layers:
        assert relative_error(single[layer], exact[layer]) < 1e-5
        assert 1e-4 < relative_error(half[layer], exact[layer]) < 0.03
    assert relative_error(single_gradient, gradient) < 1e-4
    assert relative_error(half_gradient, gradient) < 0.1


@every_model
@pytest.mark.parametrize("layer", ["relu9_9", "data", "conv1_1", "conv1", ""])
def test_an_unknown_layer_is_a_key_error(name: str, layer: str) -> None:
    with pytest.raises(KeyError):
        to_torch.features(spec_of(name), {}, [layer])
    with pytest.raises(KeyError):
        to_torch.features(spec_of(name), {}, [], after=layer)


def test_nothing_but_the_layers_is_kept_without_gradients() -> None:
    """The features of VGG-19 take no more memory at a time than the inputs and outputs of one layer."""
    spec, alive, most = spec_of("vgg19"), 0, 0
    parameters = {name: torch.tensor(array) for name, array in random_parameters("vgg19").items()}
    values = torch.tensor(image(64, 64))

    class Counted(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal alive, most
            result = function(*args, **(kwargs or {}))
            first = result[0] if isinstance(result, tuple) else result
            if not any(first is each for each in args):
                size = first.numel()
                alive += size
                weakref.finalize(first, freed, size)
            most = max(most, alive)
            return result

    def freed(size: int) -> None:
        nonlocal alive
        alive -= size

    with torch.no_grad(), Counted():
        to_torch.features(spec, parameters, ["relu5_1"])(values)
    assert most == 2 * 64 * 64 * 64  # the output of the first convolution, and of the second
