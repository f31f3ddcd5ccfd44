"""Every config of the project as a real but small run: small pictures, few steps, random weights for VGG-16."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers import available_parameters

from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.session import curves, inputs
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import resolve

PROJECT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.stem for path in (PROJECT / "configs").glob("*.yaml"))
STEPS = 6
STEPS_OF_VGG19 = 10  # with its own weights; not by L-BFGS, which amplifies rounding to 10 % by then
# Pictures of the project that replace those that would have to be fetched.
_STAND_INS = {"input/IMG_4343.jpg": "input/rocket.jpg", "input/starry_night.jpg": "input/night.jpg"}


def shrunk(name: str, assignments: Iterable[str] = ()) -> Config:
    """The config of that name at 67 pixels, one scale and few steps, in float32."""
    values = configs.read_file(PROJECT / "configs" / f"{name}.yaml")
    many = values.get("model") == "vgg19" and values.get("optimizer", {}).get("name", "lbfgs") != "lbfgs"
    steps = STEPS_OF_VGG19 if many else STEPS
    small = {
        "size": 67,
        "scales": 1,
        "precision": "float32",
        "stop": {**values.get("stop", {}), "max_iterations": steps},
    }
    if "shape" in values:
        small["shape"] = [50, 67]
    values = {**values, **small}
    for section, key in (("content", "image"), ("style", "images")):
        chosen = values[section].get(key)
        if chosen:
            values[section] = {**values[section], key: _STAND_INS.get(chosen, chosen)}
    return configs.parse(configs.override(values, assignments), name)


def curve_of(config: Config) -> curves.Curve:
    """The curve of a config that is run in memory, with random weights for VGG-16."""
    plan = resolve(config)
    parameters = inputs.load_parameters(plan) if config.model == "vgg_slim" else available_parameters(config.model)
    pyramid = Pyramid(plan, inputs.read_pictures(plan), parameters)
    rows: list[dict[str, Any]] = [curves.row_of(record) for record in pyramid.records()]
    columns = curves.columns_for(plan.grouped_layers)
    return curves.Curve(columns, tuple(tuple(float(row[column]) for column in columns) for row in rows))
