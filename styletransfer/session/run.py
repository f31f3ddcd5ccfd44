"""One run: a config becomes an output folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from styletransfer.config import Config
from styletransfer.session import interrupts
from styletransfer.session.prepared import prepared
from styletransfer.session.recorders import progress
from styletransfer.session.recording import Recording


def run(config: Config, force: bool = False, resume: bool = False, read: Mapping[str, Path] | None = None) -> Path:
    """Make the picture that a config describes.

    Parameters
    ----------
    config : Config
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to go on from the checkpoint in the output folder.
    read : dict of Path
        Files that were read for the config, by the options that name them; they are not overwritten.

    Returns
    -------
    Path
        The picture in the output folder, ``image.png`` or of another format.

    Raises
    ------
    UserError
        If something the config names cannot be used; nothing has been written then.
    Diverged
        If the optimisation left its course and could not be brought back; the best picture has been written.
    Interrupted
        If SIGINT, SIGTERM or SIGUSR2 came; a checkpoint has been written, or nothing yet.
    """
    recording, stopped = Recording(config, force, resume, read), list[int]()
    with (
        interrupts.collected(interrupts.COMMAND, stopped),
        prepared(config, recording=recording, stopped=stopped) as ready,
        contextlib.closing(ready.records([progress(ready.steps, ready.done)], stopped)) as records,
    ):
        for _ in records:
            pass
    return recording.picture_path
