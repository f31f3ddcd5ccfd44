"""Style transfers in progress, which become training data.

An optimised image exploits the errors of the student, so it is unlike any photograph or painting. A pool of transfers
is optimised with the student while that is trained, a few steps of Adam at a time; where they are is what it is trained
on, with the teacher's features as targets. So the student learns to be right where its own gradients lead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models import model_vgg_slim
from research.distillation.crops import Crops, entered
from research.distillation.student import Student
from styletransfer.pictures import pixels

_STYLE = tuple(model_vgg_slim.SPEC.style_layers)
(_CONTENT,) = model_vgg_slim.SPEC.content_layers
_SIDES = ((0.7, 256), (0.3, 384))  # share of the transfers, side in pixels
_WEIGHTS = 3.0, 300.0  # smallest and largest style weight
_RATES = 2.0, 8.0  # smallest and largest step of Adam, in grey levels
_VISITS, _STEPS = 16, 4  # of a transfer before it is replaced, and the steps at each
_CLOSEST = 0.5  # of the start to the style picture, where it is a blend


@dataclass
class _Transfer:
    image: Tensor  # (1, 3, side, side), optimised in place
    content: Tensor
    style: Tensor
    weight: float
    optimizer: torch.optim.Adam
    visits: int = 0


class Transfers:
    """A pool of `count` transfers between random crops of `contents` and `styles`."""

    def __init__(self, contents: Crops, styles: Crops, count: int, generator: np.random.Generator) -> None:
        self._contents, self._styles, self._generator = contents, styles, generator
        space = model_vgg_slim.SPEC.pixels
        self._low, self._high = (torch.from_numpy(limit) for limit in pixels.displayable_range(space))
        self._pool = [self._begin() for _ in range(count)]
        for transfer in self._pool:  # not all of one age
            transfer.visits = int(generator.integers(_VISITS))

    def advance(self, student: Student) -> Tensor:
        """Optimise a random transfer further; its image, (1, 3, side, side)."""
        number = int(self._generator.integers(len(self._pool)))
        if self._pool[number].visits >= _VISITS:
            self._pool[number] = self._begin()
        transfer = self._pool[number]
        transfer.visits += 1
        with torch.no_grad():
            wanted, kept = _gram_matrices(student(transfer.style)), student(transfer.content)[_CONTENT].float()
        for _ in range(_STEPS):
            features = student(transfer.image)
            style = torch.stack(
                [
                    (gram - wanted[layer]).square().sum() / wanted[layer].square().sum()
                    for layer, gram in _gram_matrices(features).items()
                ]
            ).mean()
            content = (features[_CONTENT].float() - kept).square().sum() / kept.square().sum()
            (transfer.image.grad,) = torch.autograd.grad(transfer.weight * style + content, transfer.image)
            transfer.optimizer.step()
            with torch.no_grad():
                transfer.image.clamp_(self._low, self._high)
        return transfer.image.detach().clone()

    def _begin(self) -> _Transfer:
        draw = self._generator
        side = int(draw.choice([side for _, side in _SIDES], p=[share for share, _ in _SIDES]))
        content, style = (entered(source.batch(1, side)) for source in (self._contents, self._styles))
        share = draw.uniform(0.0, _CLOSEST) if draw.random() < 0.3 else 0.0
        image = torch.lerp(content, style, float(share))
        image = image.clamp(self._low, self._high).requires_grad_(True)
        weight, rate = (float(np.exp(draw.uniform(*np.log(limits)))) for limits in (_WEIGHTS, _RATES))
        return _Transfer(image, content, style, weight, torch.optim.Adam([image], lr=rate))


def _gram_matrices(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """The Gram matrices of the style layers over the number of positions."""
    rows = {layer: features[layer].float()[0].flatten(1) for layer in _STYLE}
    return {layer: values @ values.T / values.shape[1] for layer, values in rows.items()}
