"""What the README, the other pages and the heads of configs say is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import models
from styletransfer import config as configs
from styletransfer.cli import submit, transfer
from styletransfer.config import table
from styletransfer.weights import sources

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()
CONFIGS = sorted((PROJECT / "configs").rglob("*.yaml"))


def test_the_table_of_config_keys_is_that_of_the_schema() -> None:
    assert "\n".join(table.rows()) in README


def test_every_config_network_and_linked_file_is_there() -> None:
    for config in (PROJECT / "configs").glob("*.yaml"):
        assert f"configs/{config.name}" in README
    for name in models.names():
        assert f"`{name}`" in README
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (PROJECT / link).exists(), link


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.search(r"@[A-Z]", README)


def commands_in_the_head(path: Path) -> list[str]:
    """What the head of a config has for a shell; lines of further options are put behind its own command."""
    lines = [line[4:] for line in path.read_text().splitlines() if line.startswith("#   ")]
    whole = [line for line in lines if not line.startswith("--")]
    further = [line for line in lines if line.startswith("--")]
    return [*whole, " ".join([whole[-1], *further])] if further else whole


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_commands_in_the_head_of_a_config_can_be_pasted(path: Path) -> None:
    """As a shell takes them apart, they are understood."""
    commands = commands_in_the_head(path)
    assert any(str(path.relative_to(PROJECT)) in command for command in commands)
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)
            continue
        script, *options = arguments
        assert program == "python"
        if script == "scripts/fetch.py":
            assert set(options) <= set(sources.catalogue())
        elif script == "scripts/submit.py":
            assert Path(submit.parser().parse_args(options).sweep) == path.relative_to(PROJECT)
        else:
            assert script == "scripts/nstyle.py"
            found = transfer.parser().parse_args(options)
            configs.parse(configs.override(configs.read_file(PROJECT / found.config), found.assignments), command)


def test_every_test_that_reliability_names_is_there() -> None:
    page = (PROJECT / "docs" / "reliability.md").read_text()
    tests = "".join(path.read_text() for path in (PROJECT / "tests").glob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    for name in named:
        assert f"def {name}(" in tests or (PROJECT / "tests" / f"{name}.py").exists(), name
