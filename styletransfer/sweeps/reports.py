"""Reports about a sweep: a line per job, and the table of results."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from styletransfer.session import curves
from styletransfer.session.curves import Column
from styletransfer.support.errors import UserError
from styletransfer.support.files import atomic_write
from styletransfer.sweeps.jobs import Job
from styletransfer.sweeps.states import STATES, Queue, state_of
from styletransfer.sweeps.sweep_file import RESULTS, Sweep

_LOSSES = ("total", "content", "style", "tv")


def sentence(job: Job, queue: Queue = None) -> str:
    """The state of a job in one line."""
    state, numbers = state_of(job, queue), _final(job)
    if state.name == "done" and numbers:
        return f"{job.name}: done, {numbers['step']:g} steps, {numbers['seconds']:.1f} s, total {numbers['total']:.4g}"
    return f"{job.name}: {state.name}" + (f": {state.reason}" if state.reason else "")


def listing(sweep: Sweep) -> str:
    """Every job and its folder, one line each."""
    width = max(len(job.name) for job in sweep.jobs)
    return "\n".join(f"{job.name:{width}}  {job.folder}" for job in sweep.jobs)


def unusable_inputs(sweep: Sweep) -> list[str]:
    """A line for every fault of the input files, with the number of jobs that have it."""
    faults: dict[str, list[str]] = {}
    for job in sweep.jobs:
        try:
            job.check_inputs()
        except UserError as error:
            faults.setdefault(str(error), []).append(job.name)
    return [f"{jobs[0]}{f' and {len(jobs) - 1} more' if jobs[1:] else ''}: {fault}" for fault, jobs in faults.items()]


def report(sweep: Sweep, queue: Queue = None) -> str:
    """The state of every job, one line each, and the number of jobs in each state."""
    return "\n".join([*(sentence(job, queue) for job in sweep.jobs), summary(sweep, queue)])


def summary(sweep: Sweep, queue: Queue = None) -> str:
    """Such as ``3 done, 1 failed, 2 left``."""
    counts = Counter(state_of(job, queue).name for job in sweep.jobs)
    return ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])


def all_done(sweep: Sweep) -> bool:
    """Return whether all jobs are done."""
    return all(state_of(job).name == "done" for job in sweep.jobs)


def failures(sweep: Sweep, queue: Queue = None) -> list[str]:
    """A line for every job that failed, with the reason."""
    return [sentence(job, queue) for job in sweep.jobs if state_of(job, queue).name == "failed"]


def _final(job: Job) -> dict[Column, float]:
    """The last row of a job's curve, by column; empty if there is none."""
    try:
        curve = curves.read(job.folder / "curve.csv")
        final = dict(zip(curve.columns, curve.rows[-1]))
    except UserError:
        return {}
    return final if {"step", "seconds", *_LOSSES} <= set(final) else {}


def write_results(sweep: Sweep, queue: Queue = None) -> Path:
    """Write ``results.csv``: job, what varies, state, steps, final losses, seconds, reason of failure."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", *sweep.keys, "state", "steps", *_LOSSES, "seconds", "reason"])
    for job in sweep.jobs:
        state, numbers = state_of(job, queue), _final(job)
        varied = [_cell(job.overrides[key]) if key in job.overrides else "" for key in sweep.keys]
        step = f"{numbers['step']:g}" if numbers else ""
        losses = [repr(numbers[name]) if numbers else "" for name in (*_LOSSES, "seconds")]
        writer.writerow([job.name, *varied, state.name, step, *losses, state.reason])
    path = sweep.folder / RESULTS
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode(errors="replace"))
    return path


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
