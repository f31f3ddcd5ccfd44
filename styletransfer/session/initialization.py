"""The initial image, an array (1, 3, H, W) in the pixel space in which it is optimised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import Init


def start(
    settings: Init,
    shape: tuple[int, ...],
    content: NDArray | None,
    picture: NDArray | None,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Make the initial image.

    Parameters
    ----------
    settings : Init
    shape : (1, 3, H, W)
    content : array of that shape, or None
        The content picture, for the kinds `content` and `blend`.
    picture : array of that shape, or None
        The picture to start from, for the kinds `matched`, `instant`, `image` and `style`.
    generator : numpy Generator
        The source of noise.
    """
    if settings.kind == "noise":
        image = generator.normal(0.0, settings.deviation, shape)
    elif settings.kind == "uniform":
        image = generator.uniform(settings.low, settings.high, shape)
    elif settings.kind == "blend":
        assert content is not None
        noise = generator.uniform(settings.low, settings.high, shape)
        image = settings.noise_share * noise + (1 - settings.noise_share) * content
    else:
        chosen = content if settings.kind == "content" else picture
        assert chosen is not None
        image = chosen.copy()
    return image.astype(np.float32)
