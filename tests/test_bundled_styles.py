"""The bundled styles: their records, their size, and that they still give the pictures they gave."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from bundled_styles import GOLDENS, stylised
from numpy.typing import NDArray
from PIL import Image

from styletransfer import steps
from styletransfer.config import find_input, parse_training, read_file
from styletransfer.feedforward import style_file
from styletransfer.feedforward.style_file import Style
from styletransfer.losses.objective import Losses
from styletransfer.pictures import images

NAMES = style_file.names()
LARGEST = 2_000_000  # bytes
# Rounding to bytes makes a grey level of float32 rounding, of few values.
LARGEST_DIFFERENCE, LARGEST_SHARE = 1, 0.02


def read(name: str) -> Style:
    return style_file.read(style_file.find(name))


def golden(name: str) -> NDArray[np.int16]:
    path = GOLDENS / f"{name}.png"
    assert path.is_file(), f"no golden picture of the style {name}: python tests/goldens/renew.py {name}"
    with Image.open(path) as image:
        assert read(name).record["sha256"] in image.text["Comment"], f"{path} is of another style file"  # type: ignore[attr-defined]
    return images.to_bytes(images.read(path)).astype(np.int16)


def is_golden(name: str, style: Style) -> bool:
    """Return whether a style gives the golden picture of that name."""
    difference = np.abs(golden(name) - stylised(style))
    return difference.max() <= LARGEST_DIFFERENCE and (difference > 0).mean() <= LARGEST_SHARE


def test_there_are_styles() -> None:
    assert len(NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_style_gives_its_golden_picture(name: str) -> None:
    assert is_golden(name, read(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_one_percent_is_detected(name: str) -> None:
    style = read(name)
    weight = f"{style.spec.layers[-1].name}_weight"
    changed = {**style.parameters, weight: style.parameters[weight] * np.float32(1.01)}
    assert not is_golden(name, dataclasses.replace(style, parameters=changed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("photograph", ["input/chelsea.jpg", "input/rocket.jpg"])
def test_a_style_gives_photographs_the_style_of_its_painting(name: str, photograph: str) -> None:
    """By the losses of optimisations that start from its picture, from the photograph, and from the painting."""

    def first(**init: str) -> Losses:
        painting = f"input/{name}.jpg"
        values = {"model": "vgg_slim", "size": 256, "scales": 1, "precision": "float32", "init": init}
        return next(steps(photograph, painting, **values)).losses

    stylised, plain = first(kind="style", name=name), first(kind="content")
    assert stylised.style < 0.25 * plain.style
    other = first(kind="image", image=f"input/{name}.jpg")
    assert stylised.content < other.content


def test_every_golden_belongs_to_a_style() -> None:
    assert sorted(path.stem for path in GOLDENS.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_style_is_small_and_its_record_is_true(name: str) -> None:
    path = style_file.find(name)
    assert path.stat().st_size <= LARGEST
    record = read(name).record
    assert record["name"] == name and record["licence"] == "Apache-2.0"
    for painting, checksum in record["paintings"].items():
        assert hashlib.sha256(find_input(f"input/{painting}").read_bytes()).hexdigest() == checksum


@pytest.mark.parametrize("name", NAMES)
def test_a_style_was_trained_by_the_config_of_its_name(name: str) -> None:
    """But for the photographs, and where it was computed."""
    config = parse_training(read_file(find_input(f"configs/train/{name}.yaml")), name).model_dump(mode="json")
    record = read(name).record
    for key, value in record["training"].items():
        if key not in ("photographs", "device"):
            assert config[key] == value, key
    assert record["steps"] == config["steps"]
