"""The number of threads that compute."""

from __future__ import annotations

import os
import re
from pathlib import Path


class InvalidSetting(Exception):
    """An environment variable has an unusable value; one line says which, and why."""


def threads() -> int:
    """Return the number of threads to compute with: the first in ``OMP_NUM_THREADS``, or else the usable cores.

    Raises InvalidSetting if the variable does not begin with a number of threads.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not asked:
        return usable_cores()
    first = asked.partition(",")[0].strip()
    if not re.fullmatch(r"0*[1-9][0-9]{0,3}", first):
        raise InvalidSetting(f"OMP_NUM_THREADS: {asked!r} is not a number of threads; expected one such as 2")
    return int(first)


def usable_cores() -> int:
    """Count the physical cores of this process: its affinity, without hyper-thread siblings, within the cgroup's quota.

    Outside Linux, all cores.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    cores = {_thread_siblings(cpu) for cpu in allowed}
    quota = _cgroup_quota()
    return max(1, min(len(cores), quota) if quota else len(cores))


def _thread_siblings(cpu: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _cgroup_quota() -> int | None:
    """Whole cores that the cgroup grants, or None if it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        period_us = int((folder / "cpu.cfs_period_us").read_text())
        return max(1, microseconds // period_us) if microseconds > 0 else None
    except (OSError, ValueError):
        return None
