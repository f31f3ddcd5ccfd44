"""Style transfers made with the student during training, which become training data.

An optimised image exploits the errors of the student, so it is unlike any photograph or painting. Training on such
images, with the teacher's features as targets, corrects the errors that the optimisation finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from models import model_vgg_slim
from styletransfer import config as configs
from styletransfer.pictures import images, pixels
from styletransfer.session.inputs import Pictures
from styletransfer.session.picture_sizes import Scale
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve
from styletransfer.support.errors import Diverged
from styletransfer.weights import Parameters

_SIDE = 288  # pixels of the square pictures
_STEPS, _KEPT = 60, (8, 60)  # steps of the optimiser, and the steps at which the image is kept


def make(
    parameters: Parameters,
    contents: Sequence[Image.Image],
    styles: Sequence[Image.Image],
    count: int,
    generator: np.random.Generator,
) -> Iterator[Image.Image]:
    """Transfer random styles to random contents with the current student, `count` times; yields RGB pictures.

    Weights, initializations and layers are random too, for variety. Transfers that diverge are skipped.
    """
    for _ in range(count):
        content, style = (
            _square(pictures[generator.integers(len(pictures))], generator) for pictures in (contents, styles)
        )
        layers = [layer for layer in model_vgg_slim.SPEC.style_layers if generator.random() < 0.7]
        values = {
            "content": {"image": "-", "weight": float(generator.choice([0.3, 1.0, 3.0]))},
            "style": {
                "images": "-",
                "weight": float(np.exp(generator.uniform(np.log(10), np.log(500)))),
                "layers": dict.fromkeys(layers or ["proj3_1"], 1.0),
            },
            "tv": {"weight": float(generator.choice([0.0, 0.02, 0.1]))},
            "init": {"kind": str(generator.choice(["content", "content", "blend", "noise"])), "deviation": 40.0},
            "optimizer": {"learning_rate": 0.7},
            "stop": {"max_iterations": _STEPS},
            "seed": int(generator.integers(2**31)),
        }
        plan = resolve(configs.parse(values, "made"), [Scale(_SIDE, _SIDE, ((_SIDE, _SIDE),))])
        pictures = Pictures(content, ((1.0, style),), None)
        try:
            for record in Pyramid(plan, [pictures], parameters).records():
                if record.step in _KEPT:
                    picture = pixels.to_picture(record.image.asnumpy(), plan.config.pixels)
                    yield Image.fromarray(images.to_bytes(picture))
        except Diverged:
            continue


def _square(picture: Image.Image, generator: np.random.Generator) -> images.Picture:
    """A random square crop of a picture, resized to `_SIDE`."""
    side = min(picture.size) * generator.uniform(0.7, 1.0)
    left, top = generator.uniform(0, picture.width - side), generator.uniform(0, picture.height - side)
    cut = picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    return np.asarray(cut, dtype=np.float32) / 255
