"""The task of a session: a picture, or a style in training."""

from __future__ import annotations

import abc
import contextlib
import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from styletransfer.config import find_input
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
        The word in the log for resuming.
    choice : Choice
        Known, like `layers` and `steps`, once the task is resolved.
    layers : sequence of (group, layer)
    steps : int
    display : Display
        Known once the inputs are read.
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
        """The settings that may not change when it is resumed: not when it stops and what it writes."""
        settings: dict[str, Any] = self.config.model_dump(
            mode="json", exclude={"provenance", "output", *self.extended_by}
        )
        return settings

    @property
    @abc.abstractmethod
    def finished_settings(self) -> dict[str, Any]:
        """The settings on which the result depends."""

    @property
    def weights_file(self) -> Path:
        """The file of the network's weights."""
        config = self.config
        return find_input(config.weights) if config.weights else config.spec.weights_path

    @abc.abstractmethod
    def files(self) -> dict[str, Path]:
        """Its input files, by the config keys that name them.

        Raises UserError if one of them cannot be looked for.
        """

    def checksums(self, checksum: Checksum = checksum) -> dict[str, str]:
        """Compute the sha256 of every input, by config key; files that cannot be read are left out."""
        sums = {}
        for key, path in self.files().items():
            with contextlib.suppress(OSError):  # reading it will tell
                sums[key] = checksum(path)
        return sums

    @abc.abstractmethod
    def peak_memory(self, smallest: bool = False) -> int | None:
        """Estimate the bytes it needs, or would need with the smallest tiles; None if unknown."""

    @abc.abstractmethod
    def inspect(self) -> None:
        """Check that the inputs exist and can be used, as far as that needs little memory.

        Raises UserError if they cannot be used; so do :meth:`resolve` and :meth:`read`.
        """

    @abc.abstractmethod
    def resolve(self, state: ResumeState | None) -> None:
        """Make the choices that depend on this machine, or keep those of an earlier run."""

    @abc.abstractmethod
    def read(self, state: ResumeState | None) -> None:
        """Read all inputs, which are known to be valid afterwards."""

    @abc.abstractmethod
    def lines(self) -> list[str]:
        """A description for the log."""

    @abc.abstractmethod
    def bind(self, state: ResumeState | None, elapsed: float, last_change: float) -> None:
        """Prepare the first step, or the one after a state.

        Parameters
        ----------
        state : ResumeState, or None
        elapsed : float
            Seconds taken by the earlier run.
        last_change : float
            The relative change of its last step.
        """

    @abc.abstractmethod
    def records(self) -> Generator[Record, None, None]:
        """Make all steps."""

    @abc.abstractmethod
    def values(self) -> NDArray[np.float32]:
        """A copy of the values so far, for the display."""

    @abc.abstractmethod
    def state(self) -> ResumeState:
        """The state after the last record."""

    @property
    def kept_state(self) -> ResumeState | None:
        """The state after a recent record, to be saved if a step fails; None where none is kept."""
        return None

    @property
    def is_extendable(self) -> bool:
        """Return whether the last state is saved too, so that more steps can follow later."""
        return bool(self.config.output.checkpoint_every)

    def write(  # noqa: B027 - a picture has none
        self, folder: Path, checksums: Mapping[str, str], state: ResumeState | None = None
    ) -> None:
        """Write `outputs` as they are in a state, by default the present one."""

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
