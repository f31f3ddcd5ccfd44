"""The task of making one picture, from its config and the sources of its pictures."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from styletransfer import config as configs
from styletransfer import weights
from styletransfer.config import Config, find_input
from styletransfer.optimization.loop import Record
from styletransfer.pictures import images, in_memory, marks
from styletransfer.pictures.metadata import exif_of
from styletransfer.session import inputs, picture_sizes, regions, style_start
from styletransfer.session.display import Display
from styletransfer.session.inputs import Pictures
from styletransfer.session.picture_sources import FILES, PictureSources, picture_file
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import RunPlan, peak_memory, resolve
from styletransfer.session.resume_state import ResumeState
from styletransfer.session.task import Checksum, Task, checksum
from styletransfer.support.errors import UserError, reason_of
from styletransfer.support.optional import optional

LOGGER = logging.getLogger(__name__)


class PictureTask(Task):
    """One picture, at all its scales.

    Parameters
    ----------
    sources : PictureSources
        Where the pictures are.
    """

    config: Config
    extended_by = ("stop", "memory")
    plan: RunPlan

    def __init__(self, config: Config, sources: PictureSources = FILES) -> None:
        super().__init__(config)
        self._sources = sources
        self._pictures: Sequence[Pictures] = ()
        self._parameters: weights.Parameters = {}
        self._pyramid: Pyramid | None = None
        self._exif = b""

    @property
    def finished_settings(self) -> dict[str, Any]:
        return configs.settings_of_picture(self.config)

    def files(self) -> dict[str, Path]:
        names = {key: name for key, name in self._pictures_named().items() if name not in self._sources.in_memory}
        places = {key: find_input(name) for key, name in names.items()} | {"weights": self.weights_file}
        files = {key: path for key, path in places.items() if path.is_file()}
        with contextlib.suppress(UserError):
            style = style_start.file_of(self.config.init)
            files |= {} if style is None else {"init.name": style}
        return files

    def _pictures_named(self) -> dict[str, str]:
        """The names of the pictures, by config key."""
        config = self.config
        names = {
            "content.image": config.content.image,
            **{f"style.images {name}": name for name in (config.style.images or {})},
            "init.image": config.init.image,
            **regions.files_of(config.regions or ()),
        }
        return {key: name for key, name in names.items() if name is not None}

    def checksums(self, checksum: Checksum = checksum) -> dict[str, str]:
        names, held = self._pictures_named(), self._sources.in_memory
        return super().checksums(checksum) | {
            key: in_memory.checksum(held[name]) for key, name in names.items() if name in held
        }

    def peak_memory(self, smallest: bool = False) -> int | None:
        return peak_memory(self.config, smallest)

    def inspect(self) -> None:
        config = self.config
        self._sizes = picture_sizes.read_sizes(config, self._sources)
        if config.init.image is not None:
            self._sources.size(config.init.image)
        style_start.file_of(config.init)
        weights.find(config.spec, find_input(config.weights) if config.weights else None)

    def resolve(self, state: ResumeState | None) -> None:
        self.plan = resolve(self.config, self._sizes, state)
        self.choice = self.plan.choice
        self.layers = self.plan.grouped_layers
        self.steps = sum(scale.steps for scale in self.plan.scales)

    def read(self, state: ResumeState | None) -> None:
        self._pictures = inputs.read_pictures(self.plan, self._sources)
        self._parameters = inputs.load_parameters(self.plan)
        self.display = Display(self.plan, self._pictures)
        photograph = self.config.content.image
        if self.config.output.keep_metadata and photograph is not None and not in_memory.is_name(photograph):
            self._exif = exif_of(picture_file(photograph))

    def lines(self) -> list[str]:
        return [self.config.spec.title, *(scale.line() for scale in self.plan.scales)]

    def bind(self, state: ResumeState | None, elapsed: float, last_change: float) -> None:
        self._pyramid = Pyramid(self.plan, self._pictures, self._parameters, state, elapsed, last_change)

    @property
    def _bound(self) -> Pyramid:
        assert self._pyramid is not None, "the run is closed"
        return self._pyramid

    def records(self) -> Generator[Record, None, None]:
        return self._bound.records()

    def values(self) -> NDArray[np.float32]:
        return self._bound.values()

    def state(self) -> ResumeState:
        return self._bound.state()

    @property
    def picture_name(self) -> str:
        return f"image.{self.config.output.format}"

    def write_picture(self, path: Path, provenance: Callable[[], dict[str, Any]]) -> None:
        output, picture, texts = self.config.output, self.display.picture(self.values()), dict[str, str]()
        with optional(path, "the config is not written into it"):
            texts[configs.PNG_KEY] = configs.dump_for_picture(self.config, provenance())
        try:
            images.write(path, picture, output.quality, self._exif, texts, marks.RESULT)
        except Exception as error:
            if isinstance(error, OSError) and error.errno:  # the disk
                raise
            LOGGER.warning("%s: its metadata is left out: %s", path, reason_of(error))
            images.write(path, picture, output.quality)

    def release(self) -> None:
        self._pyramid, self._pictures, self._parameters = None, (), {}
