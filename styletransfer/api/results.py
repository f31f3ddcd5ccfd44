"""The results of a call from Python: the final one, single steps, and exceptions with the result so far."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from numpy.typing import NDArray
from PIL import Image

from styletransfer.config import Config
from styletransfer.losses.objective import Losses
from styletransfer.optimization.loop import Record
from styletransfer.pictures import images
from styletransfer.pictures.images import Picture
from styletransfer.session.session import Session
from styletransfer.session.task import Display
from styletransfer.support import errors


def to_pillow(picture: Picture) -> Image.Image:
    """An RGB image, with exactly the values that the command writes."""
    return Image.fromarray(images.to_bytes(picture))


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


@dataclass(frozen=True)
class Result:
    """A finished picture, which a notebook shows.

    Attributes
    ----------
    image : PIL image
        RGB.
    losses : dict of lists
        The columns of ``curve.csv``, with one value a step: `step`, `scale`, `total`, `content`, `style`, `tv`, the
        layers' (``style.relu1_1``), `relative_change`, `gradient_norm`, `learning_rate` and `seconds`.
    config : Config
        Every key as it was used. A picture that was in memory has its key in angle brackets as a name, such as
        ``<content.image>`` or ``<style.images 1>``.
    folder : Path, or None
        The output folder, if there is one.
    """

    image: Image.Image
    losses: Mapping[str, list[float]]
    config: Config
    folder: Path | None

    def __repr__(self) -> str:
        width, height = self.image.size
        return f"<Result: {width} x {height} pixels after {int(self.losses['step'][-1])} steps>"

    def _repr_png_(self) -> bytes:
        return _png(self.image)


@dataclass(frozen=True)
class Step:
    """One step, and the image after it, which a notebook shows. Step 0 is the initial image before any update.

    Attributes
    ----------
    max_step : int
        The last step if no scale ends early.
    scale : int
        The number of the scale; the smallest is 0.
    losses : Losses
        Weighted: `total`, `content`, `style`, `tv`, and `layers` by group and name: ``("style", "relu1_1")``.
    relative_change : float
        |x - previous x| / |x|; NaN at step 0 and after a rollback.
    gradient_norm : float
        Of content and style, before clipping.
    learning_rate : float
        Of the update that led here; NaN at step 0.
    seconds : float
        Since the start.
    rollback : str, or None
        The reason, if the step was rolled back.
    diverged : bool
        Whether the run ends here, after too many rollbacks; the image is the best one.
    """

    step: int
    max_step: int
    scale: int
    losses: Losses
    relative_change: float
    gradient_norm: float
    learning_rate: float
    seconds: float
    rollback: str | None
    diverged: bool
    _array: NDArray = field(repr=False, compare=False)  # (1, 3, H, W) in the pixel space of the run
    _display: Display = field(repr=False, compare=False)

    @classmethod
    def from_record(cls, record: Record, session: Session) -> Step:
        """A copy of a record, whose own image is only valid until the next record is requested."""
        return cls(
            record.step,
            session.task.steps,
            record.scale,
            record.losses,
            record.relative_change,
            record.gradient_norm,
            record.learning_rate,
            record.seconds,
            record.rollback,
            record.diverged,
            record.values(),
            session.task.display,
        )

    @functools.cached_property
    def image(self) -> Image.Image:
        """The image after this step, RGB, at the size of its scale; converted on first use."""
        return to_pillow(self._display.picture(self._array))

    def _repr_png_(self) -> bytes:
        return _png(self.image)


class Diverged(errors.Diverged):
    """The optimisation diverged and could not recover.

    Attributes
    ----------
    result : Result
        With the best image.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class Stopped(KeyboardInterrupt):
    """Ctrl-C or the stop button of a notebook; the current step was finished first.

    Attributes
    ----------
    result : Result
        With the image so far.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result
