"""The choices on the page, from a config and to a config.

The page shows a few keys. A run that is opened may have others, or values that the page cannot show, such as a list of
steps: they are kept, because only the choices that differ from those of the opened run are put into its config.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.config.fields import annotation_at, choices, keys_of, section_of
from styletransfer.support.errors import UserError

# Smallest value, largest value and step of every slider; the defaults are those of the schema.
RANGES: Mapping[str, tuple[float, float, float]] = {
    "style_weight": (5, 500, 5),
    "stroke_size": (50, 200, 10),
    "size": (96, 2048, 32),
    "steps": (4, 300, 4),
    "smoothness": (0.0, 0.5, 0.01),
    "strength": (0.0, 1.0, 0.05),
}
_INSTANT_SIZE = 512  # pixels, the long edge of an instant picture at most
_PREVIEWS = 40  # intermediate pictures of a run, approximately
_CHECKPOINTS = 4  # and checkpoints, which are larger
# The longest edge up to which the default number of scales gives strokes of the usual size; each doubling needs one
# more.
_USUAL_SIZE = Config.model_fields["size"].default


@dataclass(frozen=True)
class Choices:
    """The choices made on the page.

    Attributes
    ----------
    content : str, or None
        The file of the photograph.
    styles : dict of float
        The files of the paintings, with their weights.
    style_weight, size, smoothness, color
        The keys `style.weight`, `size`, `tv.weight` and `color`.
    stroke_size : int
        The long edge of the paintings in percent of that of the result: `style.size`.
    steps : int
        The largest number of steps at each scale: `stop.max_iterations`.
    strength : float
        The share of the style in the instant picture, from which a run starts: `init.strength`.
    trained : str, or None
        The trained style in place of that of the paintings in the instant picture, from which a run starts:
        `init.name`.
    base : dict
        The config that these choices change: that of an opened run or a preset; empty for the defaults.
    """

    content: str | None = None
    styles: Mapping[str, float] = field(default_factory=dict)
    style_weight: float = 0.0
    stroke_size: int = 100
    size: int = 0
    steps: int = 0
    smoothness: float = 0.0
    color: str = "style"
    strength: float = 0.0
    trained: str | None = None
    base: Mapping[str, Any] = field(default_factory=dict)


def colors() -> list[str]:
    """The values of the key `color`, in the schema's order."""
    return choices(annotation_at(Config, ["color"]))


def from_config(values: Mapping[str, Any]) -> Choices:
    """Read the choices from a config.

    Parameters
    ----------
    values : dict
        Those of a valid config file, with or without defaults.
    """
    values = {key: value for key, value in values.items() if key != "provenance"}
    images = _value(values, "style.images") or {}
    if isinstance(images, str):
        images = [images]
    size = int(max(_value(values, "shape") or [_value(values, "size")]))
    style_size = _value(values, "style.size")
    steps = _value(values, "stop.max_iterations")
    return Choices(
        content=_value(values, "content.image"),
        styles=dict(images) if isinstance(images, Mapping) else dict.fromkeys(images, 1.0),
        style_weight=float(_value(values, "style.weight")),
        stroke_size=round(100 * style_size / size) if isinstance(style_size, int) else 100,
        size=size,
        steps=int(max(steps)) if isinstance(steps, list) else int(steps),
        smoothness=float(_value(values, "tv.weight")),
        color=_value(values, "color"),
        strength=float(_value(values, "init.strength")),
        trained=_value(values, "init.name"),
        base=copy.deepcopy(values),
    )


def to_config(chosen: Choices, folder: str, picture_edge: int | None = None) -> Config:
    """The config of a run.

    Raises UserError if something has not been chosen, is out of range, or is refused by the schema.

    Parameters
    ----------
    folder : str
        Its output folder.
    picture_edge : int, optional
        The long edge in pixels of the picture that the run continues from, the file ``start.png`` in its folder.
    """
    before = from_config(chosen.base)
    _check(chosen, before)
    values: dict[str, Any] = copy.deepcopy(dict(chosen.base))

    def put(key: str, value: Any) -> None:
        nonlocal values
        values = configs.put(values, key.split("."), value, "the page")

    another_photograph = place(chosen.content) != place(before.content)
    other_paintings = places(chosen.styles) != places(before.styles)
    if another_photograph:
        put("content.image", chosen.content)
    if other_paintings:
        put("style.images", dict(chosen.styles))
        put("regions", None)
    if chosen.style_weight != before.style_weight:
        put("style.weight", chosen.style_weight)
    if (chosen.stroke_size, chosen.size) != (before.stroke_size, before.size):
        put("style.size", None if chosen.stroke_size == 100 else round(chosen.size * chosen.stroke_size / 100))
    if chosen.size != before.size:
        put("size", chosen.size)
        put("shape", None)
        put("scales", scales_for(chosen.size))
        if isinstance(_value(values, "stop.max_iterations"), list):
            put("stop.max_iterations", chosen.steps)
    if chosen.steps != before.steps:
        put("stop.max_iterations", chosen.steps)
    if chosen.smoothness != before.smoothness:
        put("tv.weight", chosen.smoothness)
    if chosen.color != before.color:
        put("color", chosen.color)
    # A run that continued from a picture does not do so with other pictures.
    continued = _value(values, "init.kind") == "image" and (another_photograph or other_paintings)
    if continued or (chosen.trained, chosen.strength) != (before.trained, before.strength):
        instant = {"kind": "instant", "strength": chosen.strength}
        put("init", {"kind": "style", "name": chosen.trained} if chosen.trained else instant)
    if picture_edge is not None:
        put("init", {"kind": "image", "image": f"{folder}/{START}"})
        put("scales", min(_count_of_scales(values), scales_from(picture_edge, chosen.size)))
        if isinstance(_value(values, "stop.max_iterations"), list):
            put("stop.max_iterations", chosen.steps)
    put("output.folder", folder)
    config = configs.parse(values, "these settings")
    steps = sum(config.steps)
    saving = {"save_every": max(1, steps // _PREVIEWS), "checkpoint_every": max(1, steps // _CHECKPOINTS)}
    return config.model_copy(update={"output": config.output.model_copy(update=saving)})


def to_instant_request(chosen: Choices) -> dict[str, Any]:
    """What :class:`~styletransfer.page.instant_pictures.InstantPictures` is asked for.

    Raises UserError if something has not been chosen.
    """
    _check_chosen(chosen)
    return {
        "content": place(chosen.content),
        "styles": places(chosen.styles),
        "trained": chosen.trained,
        "size": min(chosen.size, _INSTANT_SIZE),
        "stroke_size": chosen.stroke_size,
        "color": chosen.color,
        "strength": chosen.strength,
    }


START = "start.png"  # in the folder of a run that continues from the picture of another


def scales_for(size: int) -> int:
    """The number of scales with which a picture of that long edge gets the strokes of a usual one."""
    return int(Config.model_fields["scales"].default) + max(0, round(math.log2(size / _USUAL_SIZE)))


def scales_from(picture_edge: int, size: int) -> int:
    """The number of scales up to `size` of which the first is not smaller than the picture that it continues from."""
    return 1 + max(0, math.floor(math.log2(size / picture_edge)))


def others(base: Mapping[str, Any]) -> list[str]:
    """The keys of a config that differ from the defaults and are not shown on the page, as ``key: value``."""
    shown = {"content.image", "style.images", "style.weight", "style.size", "size", "scales", "stop.max_iterations"}
    shown |= {"tv.weight", "color", "init.strength", "init.image"}
    trained = _value(base, "init.kind") == "style"
    kept = []
    for key, value in _flat(base):
        top = key.partition(".")[0]
        if key in shown or top in ("output", "provenance") or _is_default(base, key, value):
            continue
        if trained and top == "init":  # a tile
            continue
        kept.append(f"{key}: {value}")
    return kept


def _check(chosen: Choices, before: Choices) -> None:
    """Raise a UserError with what is missing or out of range; what an opened run has may be larger."""
    needs_photograph = _value(chosen.base, "content.weight") > 0
    needs_paintings = not _value(chosen.base, "regions") and chosen.style_weight > 0
    _check_chosen(chosen, needs_photograph, needs_paintings)
    for name, (least, most, _) in RANGES.items():
        value = getattr(chosen, name)
        if value != getattr(before, name) and not least <= value <= most:
            label = name.replace("_", " ")
            raise UserError(f"{label}: {value:g} is out of range, expected {least:g} to {most:g}")
    if chosen.color not in colors():
        raise UserError(f"colours: {chosen.color!r}: expected one of: {', '.join(colors())}")


def _check_chosen(chosen: Choices, needs_photograph: bool = True, needs_paintings: bool = True) -> None:
    if needs_photograph and not chosen.content:
        raise UserError("choose a photograph first")
    if needs_paintings and not chosen.styles:
        raise UserError("choose a painting first")


def place(file: str | None) -> str | None:
    """The absolute path of a file that a config names."""
    return str(configs.location(file)) if file else None


def places(files: Mapping[str, float]) -> dict[str, float]:
    """The absolute paths of files, with their weights."""
    return {str(configs.location(file)): weight for file, weight in files.items()}


def _count_of_scales(values: Mapping[str, Any]) -> int:
    scales = _value(values, "scales")
    return len(scales) if isinstance(scales, list) else int(scales)


def _value(values: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key, or its default."""
    value: Any = values
    for name in key.split("."):
        value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
        if value is _ABSENT:
            return _default(key)
    return value


_ABSENT = object()


def _default(key: str) -> Any:
    section: Any = Config
    *parents, last = key.split(".")
    for name in parents:
        section = section_of(keys_of(section)[name].annotation)
    return keys_of(section)[last].default


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted keys and values, as deep as the schema has sections."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        key = f"{prefix}{name}"
        annotation = annotation_at(Config, key.split("."))
        if isinstance(value, Mapping) and section_of(annotation) is not None:
            pairs += _flat(value, f"{key}.")
        else:
            pairs.append((key, value))
    return pairs


def _is_default(base: Mapping[str, Any], key: str, value: Any) -> bool:
    """Return whether a key has its default, which may be that of the model."""
    if value == _default(key):
        return True
    without: dict[str, Any] = copy.deepcopy(dict(base))
    *parents, last = key.split(".")
    section = without
    for name in parents:
        section = section[name]
    section.pop(last)
    try:
        resolved: Any = configs.parse(without, "").model_dump(mode="json")
    except UserError:
        return False
    for name in key.split("."):
        resolved = resolved[name]
    return resolved == value
