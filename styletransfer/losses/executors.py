"""Executors between the tapped features and the losses: Gram matrices, raw losses, and their gradients.

They are bound directly to the arrays of features, Gram matrices and targets; nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.runtime import Array, Context, load_mxnet
from styletransfer.losses import symbols
from styletransfer.losses.guidance import Guidance
from styletransfer.network.executor import crop
from styletransfer.network.precision import FLOAT32, cast, cast_symbol
from styletransfer.network.tiling import Slices


class Grams:
    """The raw Gram matrices of some layers' features, arrays (channels, channels); with guidance one for each region.

    Parameters
    ----------
    features : dict of arrays
    layers : names of the layers
    context : mxnet Context
    masked : bool
        Whether those of parts of the features will be asked for.
    guidance : Guidance, optional
        The regions of the whole picture.
    """

    def __init__(
        self,
        features: Mapping[str, Array],
        layers: Iterable[str],
        context: Context,
        masked: bool,
        guidance: Guidance | None = None,
    ) -> None:
        mx = load_mxnet()
        self._guidance = guidance
        self._masks: dict[str, Array] = {}
        self._executors: dict[str, Array] = {}
        largest: Array = None  # in whose memory the others work
        for layer in sorted(layers, key=lambda layer: features[layer].size, reverse=True):
            _, channels, height, width = features[layer].shape
            variable, dtype = mx.sym.Variable("features"), features[layer].dtype
            arguments = {"features": features[layer]}
            if masked or guidance is not None:
                shape = (1, height, width, 1) if masked else (1, 1, height, width)
                arguments["mask"] = mx.nd.zeros(shape, ctx=context)
                self._masks[layer] = arguments["mask"].reshape((height, width))
                exact = cast_symbol(variable, dtype, FLOAT32)
                of_masked = symbols.masked_gram if masked else symbols.masked_whole_gram
                symbol = of_masked(exact, mx.sym.Variable("mask"), channels)
            else:
                symbol = cast_symbol(symbols.gram(variable, channels), dtype, FLOAT32)
            self._executors[layer] = symbol.bind(context, arguments, grad_req="null", shared_exec=largest)
            largest = largest or self._executors[layer]

    def add(self, parts: Mapping[str, tuple[Slices, Slices]], sums: Mapping[str, Array]) -> None:
        """Add those of a part of each layer's features, as they are now, to `sums`.

        Parameters
        ----------
        parts : dict of (rows, columns) twice
            The part of each layer in its features, and in the whole picture.
        sums : dict of arrays (channels, channels), or with guidance (regions, channels, channels)
        """
        for layer, executor in self._executors.items():
            inside, (rows, columns) = parts[layer]
            if self._guidance is None:
                self._mask(layer, inside, 1)
                (gram,) = executor.forward(is_train=False)
                sums[layer][:] += gram
                continue
            for region, root in enumerate(self._guidance.roots[layer]):
                self._mask(layer, inside, root[rows, columns])
                (gram,) = executor.forward(is_train=False)
                sums[layer][region] += gram

    def _mask(self, layer: str, part: Slices, value: Array) -> None:
        """Make the mask of a layer, if it has one, `value` in a part and 0 elsewhere."""
        if layer in self._masks:
            rows, columns = part
            self._masks[layer][:] = 0
            self._masks[layer][rows, columns] = value


class GuidedGradients:
    """The gradients with respect to some layers' features of losses of the Gram matrices of regions.

    Parameters
    ----------
    features : dict of arrays
    layers : names of those that are wanted
    context : mxnet Context
    guidance : Guidance
        The regions of the whole picture.
    """

    def __init__(
        self, features: Mapping[str, Array], layers: Iterable[str], context: Context, guidance: Guidance
    ) -> None:
        mx = load_mxnet()
        self._guidance = guidance
        self._arguments: dict[str, dict[str, Array]] = {}
        self._executors: dict[str, Array] = {}
        for layer in layers:
            _, channels, height, width = features[layer].shape
            variable, dtype, regions = mx.sym.Variable("features"), features[layer].dtype, guidance.regions
            self._arguments[layer] = {
                "features": features[layer],
                "matrices": mx.nd.zeros((regions, channels, channels), ctx=context),
                "maps": mx.nd.zeros((regions, 1, height, width), ctx=context),
            }
            symbol = symbols.guided_gradient(
                cast_symbol(variable, dtype, FLOAT32),
                mx.sym.Variable("matrices"),
                mx.sym.Variable("maps"),
                channels,
                regions,
            )
            symbol = cast_symbol(symbol, FLOAT32, dtype)
            self._executors[layer] = symbol.bind(context, self._arguments[layer], grad_req="null")

    def __call__(self, of_grams: Mapping[str, Array], parts: Mapping[str, Slices]) -> dict[str, Array]:
        """Those of the features as they are now, arrays of their shapes and types, valid until the next call.

        Parameters
        ----------
        of_grams : dict of arrays (regions, channels, channels)
            The gradients with respect to the raw Gram matrices; symmetric.
        parts : dict of (rows, columns)
            Which part of the whole picture's layer the features are.
        """
        found = {}
        for layer, executor in self._executors.items():
            arguments = self._arguments[layer]
            (2 * of_grams[layer]).copyto(arguments["matrices"])
            crop(self._guidance.maps[layer], *parts[layer]).copyto(arguments["maps"])
            (found[layer],) = executor.forward(is_train=False)
        return found


class SquaredDistances:
    """The raw losses S = sum (value - target)^2 of named values, features or Gram matrices, and their gradients.

    Parameters
    ----------
    values, targets : dict of arrays
        With the same names and shapes. An array of three axes holds the Gram matrices of several regions, each of which
        has a loss of its own.
    context : mxnet Context
    """

    def __init__(self, values: Mapping[str, Array], targets: Mapping[str, Array], context: Context) -> None:
        mx = load_mxnet()
        self.gradients = {
            name: cast(mx.nd.zeros(value.shape, ctx=context), value.dtype) for name, value in values.items()
        }
        if not values:
            self._executor = None
            return
        distances = [
            symbols.squared_distance(
                cast_symbol(mx.sym.Variable(f"value_{name}"), value.dtype, FLOAT32),
                mx.sym.Variable(f"target_{name}"),
                by_region=len(value.shape) == 3,
            )
            for name, value in values.items()
        ]
        arguments = {f"value_{name}": value for name, value in values.items()}
        arguments |= {f"target_{name}": targets[name] for name in values}
        self._executor = mx.sym.Group(distances).bind(
            context,
            arguments,
            args_grad={f"value_{name}": gradient for name, gradient in self.gradients.items()},
            grad_req={name: "write" if name.startswith("value_") else "null" for name in arguments},
        )

    def forward(self) -> dict[str, Array]:
        """The raw losses, arrays (1,), or (regions,)."""
        return dict(zip(self.gradients, self._executor.forward(is_train=True))) if self._executor else {}

    def backward(self, coefficients: Sequence[Array]) -> None:
        """Fill `gradients` for the sum of coefficient x S; each coefficient is an array of the shape of its loss."""
        if self._executor:
            self._executor.backward(list(coefficients))
