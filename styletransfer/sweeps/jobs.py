"""A job: one picture, or one training of a style, in a folder of its own."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from styletransfer import config as configs
from styletransfer.config import Config, StyleTraining
from styletransfer.config.values import names_gpu
from styletransfer.session.picture import PictureTask
from styletransfer.session.task import Checksum, Task
from styletransfer.support.byte_sizes import format_size
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.training.training import StyleTask


@dataclass(frozen=True)
class Job(abc.ABC):
    """One job of a sweep.

    Attributes
    ----------
    name : str
        The name of its folder: readable, safe for file systems, unique in the sweep.
    overrides : dict
        By dotted key.
    labels : tuple of str
        A readable label for each of the overrides.
    config : Config or StyleTraining
        Validated and resolved; its ``output.folder`` is `folder`.
    program : Path
        The script that runs it; it takes ``--config``, ``--resume`` and ``--force``.
    """

    name: str
    folder: Path
    overrides: Mapping[str, Any]
    labels: tuple[str, ...]
    config: Config | StyleTraining
    program: ClassVar[Path]

    @staticmethod
    @abc.abstractmethod
    def parse(values: Mapping[str, Any], where: str) -> Config | StyleTraining:
        """The config of such a job; parameters and errors are those of :func:`styletransfer.config.parse`."""

    @property
    @abc.abstractmethod
    def task(self) -> Task:
        """The task of the job."""

    def settings(self, config: Any, done: bool) -> dict[str, Any]:
        """The settings that must agree for a result to count as done, or for a checkpoint to be resumed."""
        task = type(self.task)(config)
        return task.finished_settings if done else task.resumed_settings

    def files(self) -> Mapping[str, Path]:
        """Its input files by config key; empty if one of them cannot be looked up."""
        try:
            return self.task.files()
        except UserError:  # the job will report it
            return {}

    def checksums(self, checksum: Checksum) -> Mapping[str, str]:
        """Compute the sha256 of every input, by config key; files that cannot be read are left out."""
        try:
            return self.task.checksums(checksum)
        except (UserError, OSError):  # the job will report it
            return {}

    def peak_memory(self, smallest: bool = False) -> int | None:
        """Estimate the bytes it needs, or would need with the smallest tiles; None if unknown."""
        return self.task.peak_memory(smallest)

    def check_inputs(self) -> None:
        """Raise a UserError if one of its input files cannot be used."""
        self.task.inspect()

    @property
    def allowed_memory(self) -> str | None:
        """The memory limit of its config, such as ``8GB``; None if it has none."""
        return None

    @property
    def uses_all_memory(self) -> bool:
        """Return whether it divides its work to fit into the free memory."""
        return False

    def limited_to(self, size: int) -> Job:
        """Limit the job to `size` bytes, if it can be limited."""
        return self


class PictureJob(Job):
    """The making of one picture."""

    config: Config
    program = PROJECT_FOLDER / "scripts" / "nstyle.py"
    parse = staticmethod(configs.parse)

    @property
    def task(self) -> PictureTask:
        return PictureTask(self.config)

    @property
    def allowed_memory(self) -> str | None:
        return None if names_gpu(self.config.device) else self.config.memory

    @property
    def uses_all_memory(self) -> bool:
        return not names_gpu(self.config.device) and self.config.tile == "auto" and self.config.memory is None

    def limited_to(self, size: int) -> Job:
        config = self.config.model_copy(update={"memory": format_size(size)})
        return dataclasses.replace(self, config=config)


class TrainingJob(Job):
    """The training of one style."""

    config: StyleTraining
    program = PROJECT_FOLDER / "scripts" / "train_style.py"
    parse = staticmethod(configs.parse_training)

    @property
    def task(self) -> StyleTask:
        return StyleTask(self.config)
