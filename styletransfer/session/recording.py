"""The recording of a run in its output folder, and the state of an earlier run there."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.losses.objective import GroupedLayer
from styletransfer.pictures import images, in_memory, marks
from styletransfer.pictures.images import Picture
from styletransfer.pictures.metadata import exif_of
from styletransfer.session import checkpoints, output_folder
from styletransfer.session.display import Display
from styletransfer.session.picture_sources import found
from styletransfer.session.provenance import provenance_of
from styletransfer.session.recorders import CurveRecorder, PictureRecorder
from styletransfer.session.resume_state import ResumeState
from styletransfer.support.errors import reason_of
from styletransfer.support.files import atomic_write
from styletransfer.support.optional import optional

LOGGER = logging.getLogger(__name__)


class Recording:
    """The output folder of a run, from its check and lock to the finished picture.

    The methods are called in the order in which they are defined.

    Parameters
    ----------
    config : Config
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to resume from the checkpoint in the folder.
    read : dict of Path
        Files that are read besides those that the config names, by the options that name them.

    Attributes
    ----------
    folder : Path
    resume : bool
    """

    def __init__(
        self, config: Config, force: bool = False, resume: bool = False, read: Mapping[str, Path] | None = None
    ) -> None:
        self.folder = Path(config.output.folder).expanduser()
        self.resume = resume
        self._config, self._force, self._read = config, force, read or {}
        self._checksums: Mapping[str, str] = {}
        self._taken = contextlib.ExitStack()
        self._curve: CurveRecorder | None = None
        self._exif = b""

    def check(self, files: Mapping[str, Path]) -> None:
        """Check whether the run may use the folder; `files` are its input files.

        Raises
        ------
        UserError
            If it may not.
        """
        output_folder.check_inputs(self.folder, {**files, **self._read})
        output_folder.check(self.folder, self._force, self.resume)

    def earlier(self, checksums: Mapping[str, str]) -> ResumeState | None:
        """The state that is resumed, or None; if there is one, the folder is locked.

        Parameters
        ----------
        checksums : dict of str
            The sha256 of every input of the run.

        Raises
        ------
        UserError
            If there is no state, or it is that of another run.
        """
        self._checksums = checksums
        if not self.resume:
            return None
        self._take()
        return ResumeState.from_arrays(checkpoints.read(self.folder, checkpoints.comparable(self._config), checksums))

    def begin(self) -> None:
        """Lock the folder of a new run, and remove the results of an earlier run.

        Raises
        ------
        UserError
            If it cannot be written.
        """
        if not self.resume:
            self._take()
        output_folder.clear(self.folder, keep=self.resume)
        photograph = self._config.content.image
        if self._config.output.keep_metadata and photograph is not None and not in_memory.is_name(photograph):
            self._exif = exif_of(found(photograph))

    def _take(self) -> None:
        self._taken.enter_context(output_folder.taken(self.folder, self._force, self.resume))

    def curve(self, layers: Sequence[GroupedLayer]) -> CurveRecorder:
        """The recorder of the losses."""
        self._curve = CurveRecorder(self.folder, layers, self._config.output.save_every)
        return self._curve

    def pictures(self, every: int, display: Display) -> PictureRecorder:
        """The recorder of intermediate pictures, one every `every` steps."""
        return PictureRecorder(self.folder / output_folder.STEPS, every, display)

    def save(self, state: ResumeState) -> None:
        """Save the state of the run, and the curve so far."""
        if self._curve:
            self._curve.flush()
        checkpoints.save(self.folder, state.arrays(), checkpoints.comparable(self._config), self._checksums)

    def write_config(self) -> None:
        """Write the config with its provenance."""
        provenance = provenance_of(self._config, self._checksums)
        with atomic_write(self.folder / output_folder.CONFIG) as stream:
            stream.write(configs.dump(self._config, provenance).encode())
        output_folder.write_status(self.folder, output_folder.UNFINISHED)

    def finish(self, picture: Picture, diverged: bool = False) -> None:
        """Write how the run ended, and then the picture."""
        output_folder.write_status(self.folder, output_folder.DIVERGED if diverged else output_folder.DONE)
        output = self._config.output
        path, texts = self.picture_path, dict[str, str]()
        with optional(path, "the config is not written into it"):
            provenance = provenance_of(self._config, self._checksums)
            texts[configs.PNG_KEY] = configs.dump_for_picture(self._config, provenance)
        try:
            images.write(path, picture, output.quality, self._exif, texts, marks.RESULT)
        except Exception as error:
            if isinstance(error, OSError) and error.errno:  # the disk
                raise
            LOGGER.warning("%s: its metadata is left out: %s", path, reason_of(error))
            images.write(path, picture, output.quality)

    @property
    def picture_path(self) -> Path:
        """The file of the result."""
        return output_folder.picture_of(self.folder, self._config.output.format)

    def close(self) -> None:
        """Unlock the folder."""
        self._taken.close()
