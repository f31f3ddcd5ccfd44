"""The student beside its teacher, as MXNet symbols.

Both see the same crop, the teacher with a margin around it. SqueezeNet has no padding in its first convolution and
overlapping poolings, so the centre of its value i lies at pixel 2 i + 3 (relu_conv1), 4 i + 5 (fire2-4), 8 i + 9
(fire5-8) and 16 i + 17 (fire9), the student's at 2 i + .5, 4 i + 1.5, 8 i + 3.5 and 16 i + 7.5. With the crop beginning
`LEAD` pixels inside the teacher's they agree within .5, .5, 1.5 and 2.5 pixels, once the teacher's first values are
skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import model_squeezenet, vgg
from models.runtime import load_mxnet

LEAD, TRAIL = 7, 12  # pixels the teacher sees before and behind the crop


@dataclass(frozen=True)
class Scale:
    """The layers of the teacher at one resolution, predicted together, and the student's layers that predict them."""

    stride: int
    teacher_layers: tuple[str, ...]
    student_layers: tuple[str, ...]
    skipped: int  # first values of the teacher that lie before the crop
    border: int  # values at the crop's border that are not compared
    weight: float = 1.0  # in the sum of the losses

    def channels(self) -> list[int]:
        """Channels of every teacher layer."""
        taps = {tap.name: tap.channels for tap in model_squeezenet.SPEC.taps}
        return [taps[layer] for layer in self.teacher_layers]


SCALES = (
    Scale(2, ("relu_conv1",), ("relu2_1", "relu2_2"), skipped=2, border=3, weight=2),
    Scale(4, ("fire2", "fire3", "fire4"), ("relu3_1", "relu3_2"), skipped=1, border=2, weight=2),
    Scale(8, ("fire5", "fire6", "fire7", "fire8"), ("relu4_1", "relu4_2"), skipped=0, border=1, weight=3),
    Scale(16, ("fire9",), ("relu5_1", "relu5_2"), skipped=0, border=1, weight=4),
)


def teacher_symbol(crop: int) -> Any:
    """For every scale the teacher's layers inside the crop, side by side and standardised.

    Each output is (batch, sum of channels, n, n) with n = crop / stride - 2 border. Auxiliary states
    ``standard<stride>_moving_mean`` and ``..._moving_var`` hold the standard, the latter the squared scale.
    """
    mx = load_mxnet()
    layers = model_squeezenet.build([layer for scale in SCALES for layer in scale.teacher_layers], "max")
    outputs = []
    for scale in SCALES:
        begin, end = scale.skipped + scale.border, scale.skipped + crop // scale.stride - scale.border
        inner = [
            mx.sym.slice(layers[name], begin=(None, None, begin, begin), end=(None, None, end, end))
            for name in scale.teacher_layers
        ]
        side_by_side = mx.sym.Concat(*inner) if len(inner) > 1 else inner[0]
        outputs.append(
            mx.sym.BatchNorm(
                side_by_side, use_global_stats=True, fix_gamma=True, eps=1e-12, name=f"standard{scale.stride}"
            )
        )
    return mx.sym.Group(outputs)


def student_symbol(blocks: vgg.Blocks) -> Any:
    """The predictions, one for every student layer of every scale, in order.

    Inputs: ``data``, (batch, 3, crop, crop); ``target<stride>``, an output of the teacher; the student's parameters;
    ``adapter_<layer>_weight`` and ``_bias``. Going back through an output gives the gradient of half the squared error,
    summed over the batch and averaged over channels and positions, times the weight of the scale.
    """
    mx = load_mxnet()
    layers = vgg.build(blocks, [layer for scale in SCALES for layer in scale.student_layers], "avg")
    outputs = []
    for scale in SCALES:
        border, target = scale.border, mx.sym.Variable(f"target{scale.stride}")
        for layer in scale.student_layers:
            inner = mx.sym.slice(layers[layer], begin=(None, None, border, border), end=(None, None, -border, -border))
            prediction = mx.sym.Convolution(
                inner, num_filter=sum(scale.channels()), kernel=(1, 1), name=f"adapter_{layer}"
            )
            outputs.append(mx.sym.LinearRegressionOutput(prediction, target, grad_scale=scale.weight))
    return mx.sym.Group(outputs)


def errors(predictions: Sequence[NDArray], targets: Sequence[NDArray]) -> dict[str, float]:
    """The mean squared error of every prediction, named ``relu3_1>fire2``; predicting the mean gives about 1."""
    found: dict[str, float] = {}
    outputs = iter(predictions)
    for scale, target in zip(SCALES, targets):
        ends = np.cumsum(scale.channels())[:-1]
        for layer in scale.student_layers:
            squared = np.square(next(outputs) - target).mean(axis=(0, 2, 3), dtype=np.float64)
            for teacher_layer, part in zip(scale.teacher_layers, np.split(squared, ends)):
                found[f"{layer}>{teacher_layer}"] = float(part.mean())
    return found
