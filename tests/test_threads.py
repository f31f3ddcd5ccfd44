"""The number of threads that compute."""

from __future__ import annotations

import os

import pytest
from processes import output_of

from models import threads


def test_usable_cores_follow_the_affinity():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); from models import threads; print(threads.usable_cores())"
    assert output_of(code) == "1"
    assert 1 <= threads.usable_cores() <= len(os.sched_getaffinity(0))


def test_usable_cores_are_physical_ones(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: None)
    monkeypatch.setattr(threads, "_thread_siblings", lambda cpu: {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}[cpu])
    assert threads.usable_cores() == 2


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (1, 1), (3, 3), (9, 4)])
def test_usable_cores_stay_within_the_quota(monkeypatch, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: quota)
    monkeypatch.setattr(threads, "_thread_siblings", str)
    assert threads.usable_cores() == cores


@pytest.mark.parametrize(("asked", "expected"), [("3", 3), ("2,1", 2), (" 2 , 1 ", 2), ("04", 4), ("2,abc", 2)])
def test_the_first_number_of_threads_is_used(monkeypatch, asked, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.threads() == expected


@pytest.mark.parametrize("asked", ["", "  "])
def test_without_a_number_of_threads_it_is_that_of_the_usable_cores(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads.threads() == threads.usable_cores()


@pytest.mark.parametrize(("found", "cores"), [(8, 8), (None, 1)])
def test_without_an_affinity_all_cores_are_used(monkeypatch, found, cores):
    """As on macOS, all cores count."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: found)
    assert threads.usable_cores() == cores
