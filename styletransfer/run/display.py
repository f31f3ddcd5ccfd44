"""From the image in training to the picture that is written and shown."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import NDArray

from styletransfer.pictures import images, pixels
from styletransfer.pictures.images import Picture
from styletransfer.run.inputs import Pictures
from styletransfer.run.resolve import RunPlan


class Display:
    """Makes pictures of the images of a run: clipped to 0..1 and denoised as the config asks for.

    Parameters
    ----------
    plan : RunPlan
    pictures : sequence of Pictures
        Those of every scale.
    """

    def __init__(self, plan: RunPlan, pictures: Sequence[Pictures]) -> None:
        self._space, self._denoise = plan.pixels, plan.output.denoise

    def picture(self, image: NDArray) -> Picture:
        """The picture (H, W, 3) of an image (1, 3, H, W) of one of the scales."""
        return images.denoise(pixels.to_picture(image, self._space), self._denoise)
