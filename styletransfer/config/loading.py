"""Loading a config from a file and the command line, checking it, and writing it to a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from models.spec import ModelSpec
from styletransfer.config.schema import Config
from styletransfer.config.validation_errors import first_message
from styletransfer.config.yaml_text import read_yaml, write_yaml
from styletransfer.pictures.formats import PNG_SIGNATURE
from styletransfer.support.errors import UserError, closest, nearest, reason_of
from styletransfer.support.project import PROJECT_FOLDER

PNG_KEY = "styletransfer config"  # the keyword of the text in a PNG
_LARGEST_FILE = 100_000  # bytes
_CUT_BY_A_COMMENT = re.compile(r"(?!\s*[\"'\[{])(.*\s)?#", re.DOTALL)
_HEAD_OF_PNG = 1_000_000  # bytes, among which a text that we wrote is


def read_file(path: str | Path) -> dict[str, Any]:
    """Read the values of a config file, or of a PNG that has them in it, without checking them.

    Raises UserError if the file is missing, unreadable or too large, or is not a YAML mapping.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            raw = stream.read(_LARGEST_FILE + 1)
            if raw.startswith(PNG_SIGNATURE):
                raw = _config_in(raw + stream.read(_HEAD_OF_PNG), path)
        if len(raw) > _LARGEST_FILE:
            raise UserError(f"config {path}: larger than {_LARGEST_FILE} bytes")
        text = raw.decode("utf-8")
    except OSError as error:
        raise UserError(f"config {path}: {reason_of(error)}") from None
    except (UnicodeDecodeError, ValueError):
        raise UserError(f"config {path}: not a UTF-8 text file, nor a PNG with a config in it") from None
    values = read_yaml(text, f"config {path}")
    if not isinstance(values, dict):
        raise UserError(f"config {path}: expected keys and values, found {type(values).__name__}")
    return values


def _config_in(content: bytes, path: str | Path) -> bytes:
    """The config that a PNG was made with, from its first bytes."""
    from styletransfer.pictures.metadata import png_text

    try:
        text = png_text(content, PNG_KEY)
    except ValueError as error:
        raise UserError(f"config {path}: a PNG that cannot be read: {error}") from None
    if text is None:
        raise UserError(f"config {path}: a PNG without a config in it; expected one that this program has written")
    return text.encode(errors="surrogateescape")


def _without_waiting(path: str, flags: int) -> int:
    """Open a file, or a pipe such as the shell makes of ``<(...)``; a pipe without a writer reads as empty."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def find_input(name: str) -> Path:
    """Find a file that a config names: as given, or else in the project, so that its own configs run from anywhere.

    Raises UserError if it cannot be looked up, for example because its name is empty or too long.
    """
    if not name:
        raise UserError("file '': expected a name")
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves the ~ of an unknown user unchanged
    inside = PROJECT_FOLDER / path
    try:
        return inside if not path.exists() and inside.exists() else path
    except OSError as error:
        raise UserError(f"file {name}: {error.strerror}") from None


def bundled(name: str, folder: str, suffix: str) -> str:
    """A file's name as given, or, if there is no such file, that of the project's file with this stem in `folder`.

    Raises UserError if there is neither, but a stem that is similar.
    """
    if os.path.exists(location(name)) or not name.isidentifier():  # noqa: PTH110 - False for names that are too long
        return name
    stems = {path.stem for path in (PROJECT_FOLDER / folder).glob(f"*{suffix}")}
    meant = closest(name, sorted(stems - {name}))
    if name not in stems and meant:
        raise UserError(f"{name}: no such file; did you mean {meant!r}?")
    return f"{folder}/{name}{suffix}" if name in stems else name


def location(name: str) -> Path:
    """The absolute path of a file that a config names: the same for ``p.jpg`` and ``./p.jpg``."""
    try:
        return find_input(name).absolute()
    except UserError:  # reading it will say why
        return Path(name).absolute()


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Set keys as ``--set`` does: `values` with assignments such as ``style.weight=500``, each value in YAML.

    Raises UserError if an assignment has no ``=``, or a key before its last dot is not a section.
    """
    result = dict(values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        where = f"--set {assignment}"
        if not equals or not name:
            raise UserError(f"{where}: expected KEY=VALUE, such as style.weight=500")
        if _CUT_BY_A_COMMENT.match(text):
            raise UserError(f"{where}: # starts a comment in YAML; put the value in quotes: {name}='\"...\"'")
        result = put(result, name.split("."), read_yaml(text, where), where)
    return result


def put(values: Mapping[str, Any], path: Sequence[str], value: Any, where: str) -> dict[str, Any]:
    """Set one key, given as the names of its sections and its own name; entries of lists are numbered from 0.

    Raises UserError if one of the sections is not a section, or a list has no such entry; the message starts with
    `where`.
    """
    first, *rest = path
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if isinstance(inner, list):
        return {**values, first: _put_in_list(inner, first, rest, value, where)}
    if inner is not None and not isinstance(inner, Mapping):
        raise UserError(f"{where}: {first} is not a section")
    return {**values, first: put(inner or {}, rest, value, where)}


def _put_in_list(entries: list[Any], name: str, path: Sequence[str], value: Any, where: str) -> list[Any]:
    numbered = {str(number): entry for number, entry in enumerate(entries)}
    if path[0] not in numbered:
        numbers = "0, the only one" if len(entries) == 1 else f"a number from 0 to {len(entries) - 1}"
        raise UserError(f"{where}: {name} has no entry {path[0]!r}; expected {numbers}")
    return list(put(numbered, path, value, where).values())


def parse(values: Mapping[str, Any], where: str) -> Config:
    """Check values and fill in the defaults, including those of the model.

    Raises UserError if a key is unknown, a value is not allowed, or a layer does not exist in the model; one line.

    Parameters
    ----------
    values : mapping
        From a file, with overrides.
    where : str
        Their origin, with which error messages start.
    """
    try:
        config = Config.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {first_message(error, values, Config)}") from None
    check_layers(config.spec, {"content": config.content.layers, "style": config.style.layers}, where)
    return _resolved(config, where)


def check_layers(spec: ModelSpec, sections: Mapping[str, Mapping[str, float] | None], where: str) -> None:
    """Check that the layers named in the sections of a config exist in the network.

    Raises UserError if one does not; the message starts with `where`.
    """
    for section, layers in sections.items():
        for layer in layers or {}:
            if layer not in spec.layer_names:
                problem = f"{spec.name} has no layer {layer!r}; {nearest(layer, spec.layer_names)}"
                raise UserError(f"{where}: {section}.layers: {problem}")


def paintings(images: Mapping[str, float] | None, where: str) -> dict[str, float] | None:
    """List style pictures with their weights, each once, with the pictures in a folder in place of the folder.

    Raises UserError if a picture has two weights, or a folder no picture; the message starts with `where`.
    """
    weights: dict[Path, tuple[str, float]] = {}
    for given, weight in (images or {}).items():
        for name in _inside(given, f"{where}: style.images: "):
            other, its_weight = weights.setdefault(location(name), (name, weight))
            if its_weight != weight:
                raise UserError(
                    f"{where}: style.images: {other} and {name} are one picture with two weights, {its_weight:g} and "
                    f"{weight:g}; expected one"
                )
    return dict(weights.values()) or None


def _inside(name: str, where: str) -> list[str]:
    if not os.path.isdir(location(name)):  # noqa: PTH112 - False for names that are too long
        return [name]
    from styletransfer.pictures import folders

    return list(map(str, folders.list_pictures(find_input(name), where)))


def _resolved(config: Config, where: str) -> Config:
    """Fill in the keys left unset whose defaults depend on the model, and list the style pictures."""
    spec = config.spec
    style = config.style.model_copy(
        update={
            "layers": config.style.layers or dict(spec.style_layers),
            "images": paintings(config.style.images, where),
        }
    )
    content = config.content.model_copy(update={"layers": config.content.layers or dict(spec.content_layers)})
    return config.model_copy(update={"style": style, "content": content, "pooling": config.pooling or spec.pooling})


def dump(config: pydantic.BaseModel, provenance: Mapping[str, Any]) -> str:
    """Format a resolved config, of a picture or of a training, as YAML that can be run again."""
    return write_yaml({**config.model_dump(mode="json", exclude={"provenance"}), "provenance": dict(provenance)})


def is_saved(path: Path) -> bool:
    """Return whether a file is a config written by :func:`dump` and unchanged since."""
    try:
        with open(path, encoding="utf-8", newline="", opener=_without_waiting) as stream:
            text = stream.read(_LARGEST_FILE + 1)
        values = read_yaml(text, str(path))
        return isinstance(values, dict) and "provenance" in values and write_yaml(values) == text
    except (OSError, ValueError, UserError):
        return False


def dump_for_picture(config: Config, provenance: Mapping[str, Any]) -> str:
    """Format the :func:`settings_of_picture` as YAML, for the text `PNG_KEY` in the picture."""
    return write_yaml({**settings_of_picture(config), "provenance": dict(provenance)})


def settings_of_picture(config: Config) -> dict[str, Any]:
    """Select the settings on which a picture depends: not its folder, other outputs, or the memory limit."""
    writing = {"folder", "save_every", "checkpoint_every"}
    return config.model_dump(mode="json", exclude={"provenance": True, "memory": True, "output": writing})
