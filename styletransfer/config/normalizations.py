"""Loss normalizations: what each of the systems that the project reproduces divides its losses by.

The loss of a layer is a coefficient times a raw sum of squares: S_c = sum (F - P)^2 for content and
S_s = sum (G - A)^2 for style, where F and P are the features of the image and of the content picture, of shape (N, M)
with N channels at M positions, and G = F F^T and A are the raw Gram matrices of the image and of the style. The
coefficients are passed to ``backward`` as head gradients, so no graph depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerFacts:
    """The quantities on which the coefficient of a layer may depend."""

    channels: int  # N
    positions: int  # M, height x width of the layer
    pixels: int  # height x width of the image
    target_energy: float  # the sum of squares of the layer's target

    @property
    def values(self) -> int:
        """The number of features, N M."""
        return self.channels * self.positions


@dataclass(frozen=True)
class LossNormalization:
    """The normalization of one system.

    With `relative`, a loss is measured relative to the sum of squares of its target, so that a weight means the same
    for every network, layer and size: layer weights are scaled to sum to 1, the TV is divided by that of the content
    picture, and the gradient is multiplied by the number of values in the image, so that a learning rate also means the
    same at every size.
    """

    source: str
    content: Callable[[LayerFacts], float]  # the coefficient of S_c
    style: Callable[[LayerFacts], float]  # the coefficient of S_s
    relative: bool = False


def _share(facts: LayerFacts) -> float:
    return 1 / facts.target_energy if facts.target_energy > 0 else 1.0


NORMALIZATIONS: Mapping[str, LossNormalization] = {
    "balanced": LossNormalization("this project", content=_share, style=_share, relative=True),
    "mxnet": LossNormalization(
        "the neural-style example of MXNet, 2015, "
        "https://github.com/apache/mxnet/blob/53af530a736272b42f428dc682217d804334e71b/example/neural-style/run.py",
        content=lambda facts: 1.0,
        style=lambda facts: 1 / (facts.channels * facts.values),
    ),
    "gatys": LossNormalization(
        "L. A. Gatys, A. S. Ecker, M. Bethge: A Neural Algorithm of Artistic Style, 2015, equations 1 and 4, "
        "https://arxiv.org/abs/1508.06576",
        content=lambda facts: 1 / 2,
        style=lambda facts: 1 / (4 * facts.values**2),
    ),
    "keras": LossNormalization(
        "the neural_style_transfer example of Keras 1.1, which takes the size of the image and 3 channels for every "
        "layer, https://github.com/keras-team/keras/blob/1.1.0/examples/neural_style_transfer.py",
        content=lambda facts: 1.0,
        style=lambda facts: 1 / (4 * 3**2 * facts.pixels**2),
    ),
    "coursera": LossNormalization(
        "the exercise Art Generation with Neural Style Transfer of deeplearning.ai's course Convolutional Neural "
        "Networks, https://www.coursera.org/learn/convolutional-neural-networks",
        content=lambda facts: 1 / (4 * facts.values),
        style=lambda facts: 1 / (4 * facts.values**2),
    ),
    "pytorch": LossNormalization(
        "the article 用预训练的卷积神经网络完成色彩风格迁移, on colour style transfer with PyTorch: mean "
        "squares, for style of raw Gram matrices and over N M, as in Udacity's style-transfer notebook, "
        "https://github.com/udacity/deep-learning-v2-pytorch/tree/master/style-transfer",
        content=lambda facts: 1 / facts.values,
        style=lambda facts: 1 / (facts.channels**2 * facts.values),
    ),
    "srcmini": LossNormalization(
        "the article TensorFlow中的样式传输解释和实例, on style transfer in TensorFlow, of the site srcmini: "
        "half the mean square for content, the mean square of raw Gram matrices for style",
        content=lambda facts: 1 / (2 * facts.values),
        style=lambda facts: 1 / facts.channels**2,
    ),
}
