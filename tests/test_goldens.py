"""Golden loss curves: every config of the project, scaled down, reproduces its recorded curve."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shrunk import CONFIGS, curve_of, shrunk

from styletransfer.session import curves

FOLDER = Path(__file__).resolve().parent / "goldens"
ROUNDING = 1e-6  # float32 rounding of a loss of zero: the content loss at the content picture


def golden(name: str) -> tuple[curves.Curve, float]:
    """The golden curve of a config and its tolerance; a missing one fails."""
    path = FOLDER / f"{name}.csv"
    assert path.is_file(), f"no golden curve for configs/{name}.yaml: python tests/goldens/renew.py {name}"
    found = re.search(r"^# rtol (\S+)$", path.read_text(), re.MULTILINE)
    assert found, f"{path} states no tolerance"
    return curves.read(path), float(found.group(1))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_reproduces_its_golden_curve(name: str) -> None:
    expected, tolerance = golden(name)
    found = curve_of(shrunk(name))
    assert curves.first_difference(expected, found, tolerance, ROUNDING, ("the golden", "this run")) is None


def test_every_golden_belongs_to_a_config() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.csv")) == CONFIGS


@pytest.mark.parametrize("name", ["starry_mxnet", "coursera_vgg19", "pytorch_vgg19"])
@pytest.mark.parametrize("key", ["optimizer.learning_rate", "style.weight", "content.weight"])
def test_a_change_of_one_percent_is_detected(name: str, key: str) -> None:
    expected, tolerance = golden(name)
    section, last = key.split(".")
    value = getattr(getattr(shrunk(name), section), last)
    changed = curve_of(shrunk(name, [f"{key}={value * 1.01!r}"]))
    assert curves.first_difference(expected, changed, tolerance, ROUNDING) is not None


@pytest.mark.parametrize("name", ["slim", "gatys", "keras_vgg16"])
def test_a_change_of_one_percent_is_detected_by_lbfgs_at_the_first_step(name: str) -> None:
    expected, _ = golden(name)
    weight = shrunk(name).style.weight
    changed = curve_of(shrunk(name, [f"style.weight={weight * 1.01!r}", "stop.max_iterations=0"]))
    first = curves.Curve(expected.columns, expected.rows[:1])
    assert curves.first_difference(first, changed, 1e-3) is not None


@pytest.mark.parametrize("name", ["slim", "gatys", "reconstruct", "texture"])
def test_a_first_step_of_lbfgs_that_is_one_percent_longer_is_detected(name: str) -> None:
    expected, tolerance = golden(name)
    changed = curve_of(shrunk(name, [f"optimizer.first_step={shrunk(name).optimizer.first_step * 1.01!r}"]))
    assert curves.first_difference(expected, changed, tolerance, ROUNDING) is not None


def test_two_runs_are_identical() -> None:
    config = shrunk("slim")
    assert curves.first_difference(curve_of(config), curve_of(config), 0.0) is None
