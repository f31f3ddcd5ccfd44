"""The runs in the output folder: their titles, their pictures, and the names of new ones."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from styletransfer.session.output_folder import CONFIG, STEPS, finished_picture
from styletransfer.sweeps import names

_MOST_LISTED = 60
_LONGEST_PART = 40  # characters of a file's name that a run is named after


@dataclass(frozen=True)
class Run:
    """A run that has a picture.

    Attributes
    ----------
    name : str
        Of its folder, below that of all runs.
    picture : Path
        The result, or the last intermediate picture.
    finished : bool
        Whether it is the result.
    changed : float
        When the picture was written, seconds since the epoch.
    """

    name: str
    picture: Path
    finished: bool
    changed: float


def newest(folder: Path) -> Path | None:
    """The result of a run, or its last intermediate picture; None if it has none yet."""
    picture = finished_picture(folder)
    if picture is not None:
        return picture
    return max((folder / STEPS).glob("[0-9]*.jpg"), default=None)


def list_runs(output: Path) -> list[Run]:
    """List the runs with a picture, those of sweeps too, the newest first; at most 60."""
    runs = []
    for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}", f"*/*/*/{CONFIG}"):
        for config in output.glob(pattern):
            picture = newest(config.parent)
            if picture is None or config.parent.is_symlink():
                continue
            try:
                changed = picture.stat().st_mtime
            except OSError:  # just removed
                continue
            name = config.parent.relative_to(output).as_posix()
            runs.append(Run(name, picture, picture.parent == config.parent, changed))
    return sorted(runs, key=lambda run: run.changed, reverse=True)[:_MOST_LISTED]


def title(content: str | None, styles: Iterable[str]) -> str:
    """Describe a run by the names of its pictures: ``coffee × night``."""
    return " \N{MULTIPLICATION SIGN} ".join(filter(None, (_stem(content), _stems(styles))))


def new_name(output: Path, content: str | None, styles: Iterable[str]) -> str:
    """The name of a new folder: the time, and the names of the pictures.

    Parameters
    ----------
    output : Path
        The folder of all runs.
    content : str, or None
        The file of the photograph.
    styles : iterable of str
        The files of the paintings.
    """
    parts = (_stem(content), _stems(styles))
    what = "-x-".join(filter(None, (names.safe_name(part)[:_LONGEST_PART] for part in parts)))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{what}"
    return next(
        other
        for other in itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        if not (output / other).exists()
    )


def _stem(file: str | None) -> str:
    return Path(file).stem if file else ""


def _stems(files: Iterable[str]) -> str:
    return "+".join(map(_stem, files))
