"""What the README says is so."""

from __future__ import annotations

import re
from pathlib import Path

import models
from styletransfer import config_table

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()


def test_the_table_of_config_keys_is_that_of_the_schema() -> None:
    assert "\n".join(config_table.rows()) in README


def test_every_config_network_and_linked_file_is_there() -> None:
    for config in (PROJECT / "configs").glob("*.yaml"):
        assert f"configs/{config.name}" in README
    for name in models.names():
        assert f"`{name}`" in README
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (PROJECT / link).exists(), link


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.search(r"@[A-Z]", README)
