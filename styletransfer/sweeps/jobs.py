"""A job: one picture, or one training of a style, in a folder of its own."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from styletransfer import config as configs
from styletransfer.config import Config, StyleTraining
from styletransfer.session import checkpoints, inputs
from styletransfer.session.resolve import peak_memory
from styletransfer.support.byte_sizes import format_size
from styletransfer.support.errors import UserError
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.training import memory as training_memory
from styletransfer.training import training

Checksum = Callable[[Path], str]  # the sha256 of a file


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

    @staticmethod
    @abc.abstractmethod
    def settings(config: Any, done: bool) -> dict[str, Any]:
        """What must be the same for a result to be that of a config, or else for a checkpoint to be resumed."""

    @abc.abstractmethod
    def files(self) -> Mapping[str, Path]:
        """Its input files, by the config keys that name them."""

    @abc.abstractmethod
    def checksums(self, checksum: Checksum) -> Mapping[str, str]:
        """The sha256 of its input files, by the config keys that name them; without those that cannot be read."""

    @abc.abstractmethod
    def peak_memory(self, smallest: bool = False) -> int | None:
        """The bytes that it needs, or would need with the smallest tiles; None if that is unknown."""

    @abc.abstractmethod
    def check_inputs(self) -> None:
        """See that its input files can be used, with a UserError if one cannot."""

    @property
    def allowed_memory(self) -> str | None:
        """The memory that its config lets it use, such as ``8GB``; None if the config does not say."""
        return None

    @property
    def uses_all_memory(self) -> bool:
        """Whether it divides its work so that it fits into whatever memory is free."""
        return False

    def limited_to(self, size: int) -> Job:
        """The same job, which may use `size` bytes, if it can be told to."""
        return self


class PictureJob(Job):
    """The making of one picture."""

    config: Config
    program = PROJECT_FOLDER / "scripts" / "nstyle.py"
    parse = staticmethod(configs.parse)

    @staticmethod
    def settings(config: Config, done: bool) -> dict[str, Any]:
        return configs.settings_of_picture(config) if done else checkpoints.comparable(config)

    def files(self) -> Mapping[str, Path]:
        return inputs.files_of(self.config)

    def checksums(self, checksum: Checksum) -> Mapping[str, str]:
        sums = {}
        for key, path in self.files().items():
            with contextlib.suppress(OSError):  # a run would report it
                sums[key] = checksum(path)
        return sums

    def check_inputs(self) -> None:
        inputs.check(self.config)

    def peak_memory(self, smallest: bool = False) -> int | None:
        return peak_memory(self.config, smallest)

    @property
    def allowed_memory(self) -> str | None:
        return self.config.memory if self.config.device == "cpu" else None

    @property
    def uses_all_memory(self) -> bool:
        return self.config.device == "cpu" and self.config.tile == "auto" and self.config.memory is None

    def limited_to(self, size: int) -> Job:
        config = self.config.model_copy(update={"memory": format_size(size)})
        return dataclasses.replace(self, config=config)


class TrainingJob(Job):
    """The training of one style."""

    config: StyleTraining
    program = PROJECT_FOLDER / "scripts" / "train_style.py"
    parse = staticmethod(configs.parse_training)

    @staticmethod
    def settings(config: StyleTraining, done: bool) -> dict[str, Any]:
        return training.settings(config) if done else training.comparable(config)

    def files(self) -> Mapping[str, Path]:
        named = {f"style.images {name}": name for name in (self.config.style.images or {})}
        named |= {"output.preview": self.config.output.preview, "weights": self.config.weights or ""}
        return {key: configs.find_input(name) for key, name in named.items() if name}

    def checksums(self, checksum: Checksum) -> Mapping[str, str]:
        try:
            return training.checksums(self.config)
        except (UserError, OSError):  # a training would report it
            return {}

    def check_inputs(self) -> None:
        training.check_inputs(self.config)

    def peak_memory(self, smallest: bool = False) -> int | None:
        return training_memory.peak(self.config)
