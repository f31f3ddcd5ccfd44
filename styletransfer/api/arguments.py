"""The arguments of a call as a checked config, and the pictures in memory that it names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.config.fields import keys_of, section_of
from styletransfer.pictures import in_memory
from styletransfer.session.picture_sources import PictureSources
from styletransfer.support.errors import UserError, closest

PathLike = str | os.PathLike[str]
PictureLike = PathLike | Image.Image | NDArray[Any]
Styles = PictureLike | Sequence[PictureLike | tuple[PictureLike, float]] | Mapping[Any, float]
Output = PathLike | Mapping[str, Any]
ConfigLike = PathLike | Mapping[str, Any] | Config

_SEPARATOR = "__"  # of a section and its key in the name of an argument, where a config has a dot
_EXPECTED = "expected a path, a PIL image or an array (height, width, 3)"


@dataclass(frozen=True)
class Request:
    """A call, with its arguments checked.

    Attributes
    ----------
    sources : PictureSources
        With the pictures in memory.
    recorded : bool
        Whether to write files, to the output folder of the config.
    read : dict of Path
        The config file, if there is one.
    """

    config: Config
    sources: PictureSources
    recorded: bool
    read: Mapping[str, Path]


def understood(
    function: str,
    content: PictureLike | None,
    style: Styles | None,
    config: ConfigLike | None,
    output: Output | None,
    keys: Mapping[str, Any],
) -> Request:
    """Check the arguments of a call; no picture is opened.

    Raises UserError if a key is unknown, a value is not allowed, or a picture is missing; one line.

    Parameters
    ----------
    function : str
        The name of the function, for error messages.
    content, style, config, output
        As :func:`~styletransfer.transfer` explains.
    keys : dict
        The config keys: ``optimizer__name`` or ``optimizer.name``, or a whole section.
    """
    where = f"{function}()"
    held, read = Held(where), dict[str, Path]()
    values = _values(config, held)
    if isinstance(config, (str, os.PathLike)):
        where = f"{os.fspath(config)} with {where}"
        read["config"] = configs.find_input(os.fspath(config))
    if content is not None:
        values = configs.put(values, ["content", "image"], held.name(content, "content.image"), where)
    if style is not None:
        values = configs.put(values, ["style", "images"], held.styles(style), where)
    recorded = isinstance(output, (str, os.PathLike))
    if recorded:
        values = configs.put(values, ["output", "folder"], os.fspath(output), where)  # type: ignore[arg-type]
    elif isinstance(output, Mapping):
        keys = {**{f"output.{key}": value for key, value in output.items()}, **keys}
    elif output is not None:
        raise UserError(f"{where}: output: expected a folder or a section, not {type(output).__name__}")
    for name, value in keys.items():
        path = _path(name, where)
        recorded = recorded or path == ["output", "folder"]
        values = configs.put(values, path, held.named(value, path), f"{where}: {name}")
    return Request(configs.parse(values, where), PictureSources(held.pictures), recorded, read)


def _values(config: ConfigLike | None, held: Held) -> dict[str, Any]:
    """The values of `config`."""
    if config is None:
        return {}
    if isinstance(config, Config):
        return config.model_dump(mode="json", exclude={"provenance"})
    if isinstance(config, (str, os.PathLike)):
        return configs.read_file(configs.find_input(os.fspath(config)))
    if not isinstance(config, Mapping):
        raise UserError(f"{held.where}: config: expected a file, a dict or a Config, not {type(config).__name__}")
    values: dict[str, Any] = {}
    for key, value in config.items():
        path = str(key).split(".")
        values = configs.put(values, path, held.named(value, path), f"{held.where}: config: {key}")
    return values


def _path(name: str, where: str) -> list[str]:
    """The names of the sections and of the key of an argument.

    Raises UserError if it is almost a key, such as ``style_weight``; other unknown keys are found when the config is
    checked.
    """
    path = name.replace(_SEPARATOR, ".").split(".")
    if path[0] not in keys_of(Config):
        meant = closest(name, (_SEPARATOR.join(key) for key in _keys(Config)))
        if meant and _SEPARATOR in meant:
            raise UserError(f"{where}: unknown key {name!r}; did you mean {meant!r}?")
    return path


def _keys(section: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """The paths of all keys."""
    for name, field in keys_of(section).items():
        yield (name,)
        inner = section_of(field.annotation)
        if inner is not None:
            yield from ((name, *rest) for rest in _keys(inner))


class Held:
    """Collects the pictures in memory, and gives them names.

    Attributes
    ----------
    pictures : dict
        The pictures by name.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.pictures: dict[str, in_memory.PictureInMemory] = {}

    def name(self, picture: Any, key: str) -> str:
        """The name of a picture for a config: its file, or the key if it is in memory; a picture has one name."""
        if isinstance(picture, (str, os.PathLike)):
            return os.fsdecode(picture)
        if not (in_memory.is_picture(picture) or isinstance(picture, np.ndarray)):
            raise UserError(f"{self.where}: {key}: {_EXPECTED}, not {type(picture).__name__}")
        for name, known in self.pictures.items():
            if known is picture:
                return name
        name = in_memory.name_for(key)
        self.pictures[name] = picture
        return name

    def styles(self, style: Any) -> dict[str, Any]:
        """The style pictures with their weights."""
        if isinstance(style, Mapping):
            pairs = list(style.items())
        elif isinstance(style, (list, tuple)):
            pairs = [entry if _is_pair(entry) else (entry, 1.0) for entry in style]
        else:
            pairs = [(style, 1.0)]
        named: dict[str, Any] = {}
        for number, (picture, weight) in enumerate(pairs, start=1):
            name = self.name(picture, f"style.images {number}")
            if name in named:
                raise UserError(f"{self.where}: style: {name} is given twice; give it a weight in place of that")
            named[name] = self.named(weight, ["style", "images", name])
        return named

    def named(self, value: Any, path: Sequence[str]) -> Any:
        """A value as in a config file: with names in place of pictures, and numbers and lists of Python."""
        if tuple(path) == ("style", "images") and value is not None:
            return self.styles(value)
        if isinstance(value, Mapping):
            return {self._key(key, path): self.named(inner, [*path, str(key)]) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.named(inner, [*path[:-1], f"{path[-1]} {number}"]) for number, inner in enumerate(value, 1)]
        if isinstance(value, np.generic):
            return value.item()
        if in_memory.is_picture(value):
            return self.name(value, ".".join(path))
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        return value.tolist() if isinstance(value, np.ndarray) else value

    def _key(self, key: Any, path: Sequence[str]) -> str:
        """A key as in a config file; it may be a picture, as in `style.images`."""
        is_picture = isinstance(key, os.PathLike) or in_memory.is_picture(key)
        return self.name(key, ".".join(path)) if is_picture else str(key)


def _is_pair(entry: Any) -> bool:
    """Whether an entry is a picture with its weight."""
    return isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], (Real, np.generic))
