"""What a session makes: a picture, or a style in training."""

from __future__ import annotations

import abc
import contextlib
import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from styletransfer.engines import Choice
from styletransfer.losses.objective import GroupedLayer
from styletransfer.optimization.loop import Record
from styletransfer.pictures.images import Picture
from styletransfer.session.resume_state import ResumeState
from styletransfer.support.files import hashed

Checksum = Callable[[Path], str]  # the sha256 of a file


def checksum(path: Path) -> str:
    """The sha256 of a file."""
    return hashed(path, hashlib.sha256())


class Display(Protocol):
    """Makes pictures (H, W, 3) of what is optimised."""

    def picture(self, image: NDArray) -> Picture: ...


class Task(abc.ABC):
    """One picture or one style, from its config to its result; a session calls the methods in their order.

    Attributes
    ----------
    config : Config or StyleTraining
    outputs : tuple of str
        The names of the files that it writes besides those of every session.
    extended_by : tuple of str
        The keys, besides those of `output`, that may change when it is resumed.
    resuming : str
        How the log says that it goes on.
    choice : Choice
        What it computes with; known once it is resolved, like the columns of its curve and its largest number of steps.
    layers : sequence of (group, layer)
    steps : int
    display : Display
        Once it is read.
    """

    outputs: tuple[str, ...] = ()
    extended_by: tuple[str, ...] = ()
    resuming = "resuming"
    choice: Choice
    layers: Sequence[GroupedLayer]
    steps: int
    display: Display

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def resumed_settings(self) -> dict[str, Any]:
        """What may not change when it is resumed: all but when it stops and what it writes."""
        settings: dict[str, Any] = self.config.model_dump(
            mode="json", exclude={"provenance", "output", *self.extended_by}
        )
        return settings

    @property
    @abc.abstractmethod
    def finished_settings(self) -> dict[str, Any]:
        """What decides about the result."""

    @abc.abstractmethod
    def files(self) -> dict[str, Path]:
        """Its input files, by the config keys that name them.

        Raises UserError if one of them cannot be looked for.
        """

    def checksums(self, checksum: Checksum = checksum) -> dict[str, str]:
        """The sha256 of all that the result depends on, by config key; without files that cannot be read."""
        sums = {}
        for key, path in self.files().items():
            with contextlib.suppress(OSError):  # reading it will tell
                sums[key] = checksum(path)
        return sums

    @abc.abstractmethod
    def peak_memory(self, smallest: bool = False) -> int | None:
        """The bytes that it needs, or would need with the smallest tiles; None if that is unknown."""

    @abc.abstractmethod
    def inspect(self) -> None:
        """See that the inputs are there and can be used, as far as that needs little memory.

        Raises UserError if they cannot be used; so do :meth:`resolve` and :meth:`read`.
        """

    @abc.abstractmethod
    def resolve(self, state: ResumeState | None) -> None:
        """Decide about all that depends on this machine, or keep what an earlier run decided."""

    @abc.abstractmethod
    def read(self, state: ResumeState | None) -> None:
        """Read all inputs; afterwards, there can be no mistake in them."""

    @abc.abstractmethod
    def lines(self) -> list[str]:
        """A description for the log."""

    @abc.abstractmethod
    def bind(self, state: ResumeState | None, elapsed: float, last_change: float) -> None:
        """Get ready for the first step, or for the one after a state.

        Parameters
        ----------
        state : ResumeState, or None
        elapsed : float
            Seconds that the earlier run took.
        last_change : float
            The relative change of its last step.
        """

    @abc.abstractmethod
    def records(self) -> Generator[Record, None, None]:
        """Make all steps."""

    @abc.abstractmethod
    def values(self) -> NDArray[np.float32]:
        """A copy of what has been made so far, for the display."""

    @abc.abstractmethod
    def state(self) -> ResumeState:
        """The state after the last record."""

    @property
    def kept_state(self) -> ResumeState | None:
        """A copy of that state to be saved if the next step fails; None where none is kept."""
        return None

    @property
    def is_extendable(self) -> bool:
        """Whether the last state is saved too, so that more steps can follow."""
        return bool(self.config.output.checkpoint_every)

    def write(self, folder: Path, checksums: Mapping[str, str]) -> None:  # noqa: B027 - a picture has none
        """Write `outputs` as they are after the last record."""

    @property
    def picture_name(self) -> str:
        """The name of the picture in the output folder."""
        return "image.png"

    @abc.abstractmethod
    def write_picture(self, path: Path, provenance: Callable[[], dict[str, Any]]) -> None:
        """Write the last picture; `provenance` gives the versions and input files."""

    @abc.abstractmethod
    def release(self) -> None:
        """Release everything that is bound, even if the traceback of an exception still refers to this task."""
