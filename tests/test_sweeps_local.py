"""Running on this machine: how cores are divided, and what is left to a cluster."""

from __future__ import annotations

import pytest
from sweeping import finish, planned, studio  # noqa: F401

from styletransfer.sweeps import local
from styletransfer.sweeps.states import State

pytestmark = pytest.mark.usefixtures("studio")


def test_cores_are_divided_unless_the_user_decides(monkeypatch):
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    assert local.environment(3)["OMP_NUM_THREADS"] == "1"  # as conftest.py has it
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [local.environment(jobs)["OMP_NUM_THREADS"] for jobs in (1, 3, 9)] == ["8", "2", "1"]


def test_what_a_cluster_has_is_left_to_it():
    plan = planned(vary={"seed": [1, 2, 3]})
    finish(plan.jobs[0])
    said = []
    queue = {"seed=1": State("queued"), "seed=2": State("queued"), "seed=3": State("running")}
    local.run_here(plan, 2, said.append, queue)
    assert said == ["1 of 3 done already", "2 left to the cluster"] and not plan.jobs[1].folder.exists()


def test_where_a_job_began_on_a_cluster_is_forgotten(monkeypatch):
    job = planned(jobs=[{"seed": 1}]).jobs[0]
    job.folder.mkdir(parents=True)
    (job.folder / "job.begun").write_text("Slurm job 7_4 on node1\n")
    monkeypatch.setattr(local, "command_of", lambda job: ["true"])
    assert local.start(job, {}).wait() == 0
    assert not (job.folder / "job.begun").exists() and (job.folder / "job.yaml").exists()
