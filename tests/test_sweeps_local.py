"""Running on this machine: how cores and memory are divided, and what is left to a cluster."""

from __future__ import annotations

import sys

import pytest
from sweeping import finish, planned, studio  # noqa: F401

from styletransfer import config as configs
from styletransfer.config import bytes_of
from styletransfer.sweeps import local
from styletransfer.sweeps.states import State

pytestmark = pytest.mark.usefixtures("studio")


def test_cores_are_divided_unless_the_user_decides(monkeypatch):
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    assert local.environment(3)["OMP_NUM_THREADS"] == "1"  # as conftest.py has it
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [local.environment(jobs)["OMP_NUM_THREADS"] for jobs in (1, 3, 9)] == ["8", "2", "1"]


def test_memory_is_divided_unless_the_user_decides():
    job, *decided = planned(jobs=[{}, {"memory": "3GB"}, {"tile": "off"}, {"tile": 300}, {"device": "gpu:0"}]).jobs
    shares = [local.with_its_share(job, jobs, 10 * 10**9).config.memory for jobs in (1, 2, 3)]
    assert shares == [None, "5.0GB", "3.333GB"]
    assert all(local.with_its_share(other, 2, 10 * 10**9) is other for other in decided)
    assert local.with_its_share(job, 2, sys.maxsize) is job
    assert bytes_of(local.with_its_share(job, 2, 5).config.memory) == 10**6
    assert bytes_of(local.with_its_share(job, 2, 10**15).config.memory) == 5 * 10**14


@pytest.mark.parametrize(("at_once", "memory"), [(1, None), (2, "4.0GB"), (9, "2.666GB")])
def test_jobs_side_by_side_are_told_their_shares(monkeypatch, at_once, memory):
    plan = planned(vary={"seed": [1, 2, 3]})
    monkeypatch.setattr(local.memory, "limit", lambda asked: 8 * 10**9)
    monkeypatch.setattr(local, "command_of", lambda job: ["true"])
    local.run_here(plan, at_once, lambda line: None)
    told = [configs.parse(configs.read_file(job.folder / "job.yaml"), "") for job in plan.jobs]
    assert [config.memory for config in told] == [memory] * 3


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
