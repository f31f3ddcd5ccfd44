"""The pictures that the page offers: the project's photographs and paintings, presets, bundled styles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
from styletransfer.config import presets as presets_file
from styletransfer.feedforward import style_file
from styletransfer.page import choices
from styletransfer.page.choices import Choices
from styletransfer.support.project import PROJECT_FOLDER

PHOTOGRAPHS = ("input/coffee.jpg", "input/chelsea.jpg", "input/rocket.jpg", "input/astronaut.jpg")
PAINTINGS = ("input/night.jpg", "input/wave.jpg", "input/mosaic.jpg", "input/dusk.jpg")
FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True)
class Preset:
    """Settings to begin with.

    Attributes
    ----------
    picture : Path
        The result of these settings for a photograph and a painting of the project.
    values : dict
        The keys of a config, without pictures and size.
    stroke_size : int
        In percent, as on the page.
    """

    name: str
    picture: Path
    values: Mapping[str, Any]
    stroke_size: int = 100

    @property
    def unavailable(self) -> str | None:
        """The reason why the preset cannot be used yet, missing weights, in one line; None if it can."""
        model = self.values.get("model")
        spec = models.load(model).SPEC if model else None
        if spec is None or spec.weights_path.is_file():
            return None
        return f"{self.name}: the weights of {spec.title} are not here yet: {spec.how_to_get}"

    def applied(self, chosen: Choices) -> Choices:
        """The choices with this preset, and the pictures and the size that have been chosen."""
        kept = {name: getattr(chosen, name) for name in ("content", "styles", "size", "trained")}
        return dataclasses.replace(choices.from_config(self.values), stroke_size=self.stroke_size, **kept)


@dataclass(frozen=True)
class TrainedStyle:
    """A bundled style.

    Attributes
    ----------
    painting : Path
        The painting for which it was trained.
    """

    name: str
    painting: Path


def trained_styles() -> list[TrainedStyle]:
    """The bundled styles whose paintings are there.

    Raises UserError if one is damaged.
    """
    styles = []
    for name in style_file.names():
        record = style_file.read(style_file.FOLDER / f"{name}{style_file.SUFFIX}").record
        paintings = paths(tuple(f"input/{file}" for file in record["paintings"]))
        styles += [TrainedStyle(name, painting) for painting in paintings[:1]]
    return styles


def paths(files: tuple[str, ...]) -> list[Path]:
    """Select the project's pictures that exist."""
    return [path for file in files if (path := PROJECT_FOLDER / file).is_file()]


def presets() -> list[Preset]:
    """All presets, in the order of their file.

    Raises UserError if the file is damaged.
    """
    return [
        Preset(preset.name, FOLDER / preset.picture, preset.values, preset.stroke_size)
        for preset in presets_file.read()
    ]
