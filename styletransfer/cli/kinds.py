"""Kinds of files, so that one given to the wrong command is answered with the right one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# What a file is, and the command for it.
_COMMANDS = {
    "picture": ("the config of a picture", "python scripts/nstyle.py --config {}"),
    "training": ("the config of a training", "python scripts/train_style.py --config {}"),
    "sweep": ("a sweep", "python scripts/submit.py {}"),
    "style": ("a trained style", "python scripts/stylize.py PHOTOGRAPH --style {}"),
    "video": ("a video", "python scripts/stylize.py {} --style STYLE"),
}


def check(files: Iterable[str | Path | None], *wanted: str) -> None:
    """Check that no file is of a kind that another command takes.

    Raises UserError that names that command.

    Parameters
    ----------
    files : iterable of str, Path or None
        As they were given; None is nothing.
    wanted : str
        The kinds that this command takes: picture, training, sweep, style or video.
    """
    from styletransfer.support.errors import UserError

    for file in files:
        kind = _kind(file) if file else None
        if kind is not None and kind not in wanted:
            what, command = _COMMANDS[kind]
            raise UserError(f"{file} is {what}; the command for it is {command.format(file)}")


def _kind(file: str | Path) -> str | None:
    """The kind of a file by its suffix, of YAML by its keys; None if it is another, or cannot be read."""
    from styletransfer import config
    from styletransfer.feedforward import style_file
    from styletransfer.pictures.formats import VIDEO_SUFFIXES
    from styletransfer.support.errors import UserError
    from styletransfer.sweeps import trainings
    from styletransfer.sweeps.sweep_file import SweepFile

    suffix = Path(file).suffix.lower()
    if suffix == style_file.SUFFIX:
        return "style"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix not in (".yaml", ".yml"):
        return None
    try:
        keys = config.read_file(config.find_input(str(file))).keys()
    except UserError:
        return None
    if keys & (SweepFile.model_fields.keys() - config.Config.model_fields.keys() - {"common", "cluster"}):
        return "sweep"
    if keys & set(trainings.KEYS):
        return "training"
    return "picture" if keys & (config.Config.model_fields.keys() - {"output"}) else None
