"""The table of results."""

from __future__ import annotations

import csv
import json

import pytest
from sweeping import finish, studio, sweep_of  # noqa: F401

from styletransfer.sweeps import reports

pytestmark = pytest.mark.usefixtures("studio")


def test_results_have_one_row_per_job():
    sweep = sweep_of(vary={"content.layers": [{"relu1_2": 1}, {"relu2_2": 1}], "content.image": ["photo.png"]})
    finish(sweep.jobs[0], total=0.1)
    finish(sweep.jobs[1], 2, "error: a reason, with commas")
    with open(reports.write_results(sweep), newline="") as stream:
        first, second = csv.DictReader(stream)
    assert json.loads(first["content.layers"]) == {"relu1_2": 1} and first["content.image"] == "photo.png"
    assert (first["job"], first["state"], first["steps"], first["total"], first["seconds"]) == (
        "relu1_2,photo", "done", "2", "0.1", "1.5",
    )  # fmt: skip
    assert second["state"] == "failed" and second["total"] == "" and second["reason"] == "a reason, with commas"
