"""The conversion of the optimised image to the picture that is written and shown."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import NDArray

from styletransfer.pictures import colors, images, pixels
from styletransfer.pictures.images import Picture
from styletransfer.session.inputs import Pictures
from styletransfer.session.resolve import RunPlan


class Display:
    """Makes pictures of the images of a run: clipped to 0..1, denoised, and in the colours that the config asks for.

    Parameters
    ----------
    pictures : sequence of Pictures
        Those of every scale.
    """

    def __init__(self, plan: RunPlan, pictures: Sequence[Pictures]) -> None:
        self._space, self._denoise = plan.config.pixels, plan.config.output.denoise
        self._photographs = {(at.height, at.width): each.photograph for at, each in zip(plan.scales, pictures)}

    def picture(self, image: NDArray) -> Picture:
        """The picture (H, W, 3) of an image (1, 3, H, W) of one of the scales."""
        picture = images.denoise(pixels.to_picture(image, self._space), self._denoise)
        photograph = self._photographs[picture.shape[0], picture.shape[1]]
        return picture if photograph is None else colors.with_luminance(photograph, colors.luminance(picture))
