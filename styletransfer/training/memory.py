"""The memory that the training of a style needs, estimated from shapes before anything is bound.

The estimate is the peak resident memory of the process. With MXNet, it was within a fifth of the peak, in fresh
processes for both networks, crops of 64 to 256 pixels, and styles and previews of 64 to 1024. The number of crops in a
batch makes no difference, as they pass one by one.
"""

from __future__ import annotations

import dataclasses
import math

from styletransfer.config import StyleTraining, find_input
from styletransfer.engines import choose
from styletransfer.feedforward import stylize
from styletransfer.pictures import images
from styletransfer.session import memory
from styletransfer.session.memory import Workload
from styletransfer.support.errors import UserError

_FLOAT = 4  # bytes
_MORE = 50 * 10**6  # bytes: two kinds of networks, and photographs being decoded


def peak(config: StyleTraining) -> int | None:
    """The bytes that a training needs; None on a GPU, and for invalid input, which the training itself will report."""
    try:
        styles = [images.size(find_input(name)) for name in (config.style.images or {})]
        preview = images.size(find_input(config.output.preview))
        choice = choose(config.engine, config.device, config.precision)
    except UserError:
        return None
    if choice.device != "cpu":
        return None
    crop, spec = config.photographs.crop, config.transformer
    losses = Workload(
        height=crop,
        width=crop,
        styles=tuple(images.fit(*size, config.style.size) for size in styles),
        spec=config.spec,
        style_layers=tuple(config.used_style_layers),
        content_layers=tuple(config.used_content_layers),
        optimizer=config.optimizer.settings,
        tv=config.tv.used_kind,
        factors=choice.memory_factors,
    )
    outputs = sum(
        math.prod(shape) * (1 + layer.normalized + layer.relu)
        for layer, shape in spec.shapes(spec.extended(crop), spec.extended(crop))
    )
    written = stylize.whole_memory(spec, *images.fit(*preview, config.output.preview_size), choice.memory_factors)
    networks = 2 if config.stability.weight else 1
    trained = int(_FLOAT * choice.memory_factors.trained * outputs * networks)
    training = memory.predict(dataclasses.replace(losses, styles=())) + trained + _MORE + written
    return max(memory.predict(losses), training)  # the style's targets are found first
