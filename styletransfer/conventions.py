"""The weights-and-norms of the systems that the project reproduces, as tables of coefficients.

Every loss of a layer is a coefficient times a raw sum of squares: S_c = sum (F - P)^2 for content, S_s = sum (G - A)^2
for style, with the features F, P of shape (N, M) and the raw Gram matrices G = F F^T. The coefficients go into
``backward`` as head gradients, so no graph depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerFacts:
    """What a coefficient may depend on."""

    channels: int  # N
    positions: int  # M, height x width of the layer
    pixels: int  # height x width of the image
    target_energy: float  # the sum of squares of the layer's target

    @property
    def values(self) -> int:
        return self.channels * self.positions


@dataclass(frozen=True)
class Convention:
    """One row of the table.

    With `relative`, losses are shares of what the targets hold, so that a weight means the same for every network,
    layer and size: layer weights are scaled to sum to 1, the TV is divided by that of the content picture, and the
    gradient is that of the loss times the number of values in the image, so that a learning rate means the same at
    every size.
    """

    source: str
    content: Callable[[LayerFacts], float]
    style: Callable[[LayerFacts], float]
    relative: bool = False


def _share(facts: LayerFacts) -> float:
    return 1 / facts.target_energy if facts.target_energy > 0 else 1.0


CONVENTIONS: Mapping[str, Convention] = {
    "balanced": Convention("this project", content=_share, style=_share, relative=True),
    "mxnet": Convention(
        "the neural-style example of MXNet, 2015",
        content=lambda facts: 1.0,
        style=lambda facts: 1 / (facts.channels * facts.values),
    ),
    "gatys": Convention(
        "Gatys, Ecker, Bethge 2015, https://arxiv.org/abs/1508.06576, equations 1 and 4",
        content=lambda facts: 1 / 2,
        style=lambda facts: 1 / (4 * facts.values**2),
    ),
    "keras": Convention(
        "the neural_style_transfer example of Keras 1.1; it takes the image's size and 3 channels for every layer",
        content=lambda facts: 1.0,
        style=lambda facts: 1 / (4 * 3**2 * facts.pixels**2),
    ),
    "coursera": Convention(
        "the art generation exercise of the Coursera course on convolutional networks",
        content=lambda facts: 1 / (4 * facts.values),
        style=lambda facts: 1 / (4 * facts.values**2),
    ),
    "pytorch": Convention(
        "the PyTorch colour-style code: mean squares, of raw Gram matrices over N M",
        content=lambda facts: 1 / facts.values,
        style=lambda facts: 1 / (facts.channels**2 * facts.values),
    ),
    "srcmini": Convention(
        "the TensorFlow code of srcmini: half the mean square; mean squares of raw Gram matrices",
        content=lambda facts: 1 / (2 * facts.values),
        style=lambda facts: 1 / facts.channels**2,
    ),
}
