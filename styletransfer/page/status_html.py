"""The status of runs as text and HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable

from styletransfer.page.job_queue import Status
from styletransfer.page.progress import Progress
from styletransfer.support.byte_sizes import format_size
from styletransfer.support.durations import format_duration

_HEADS = {
    "waiting": "Waiting",
    "running": "Running",
    "stopping": "Stopping",
    "done": "Done",
    "stopped": "Stopped",
    "left": "Stopped",
    "failed": "Failed",
}


def status(title: str, state: Status, progress: Progress, before: str = "") -> str:
    """The state of a run as HTML.

    Parameters
    ----------
    title : str
        Of the run.
    before : str, optional
        The title of the run that it waits for.
    """
    head, text = _HEADS[state.name], _sentence(state, progress, before)
    bar = ""
    if state.name in ("running", "stopping"):
        value = f' value="{progress.step}" max="{progress.steps}"' if progress.steps and progress.curve else ""
        bar = f'<progress{value} aria-label="steps made"></progress>'
    return _line(state.name, head, title, text, bar)


def _sentence(state: Status, progress: Progress, before: str) -> str:
    steps = f"step {progress.step} of {progress.steps}" if progress.steps else f"step {progress.step}"
    if state.name == "waiting":
        return f"number {state.place} in line" + (f", after {before}" if before else "")
    if state.name == "running":
        if progress.curve is None:
            return "loading the network and the pictures"
        left = progress.seconds_left
        return steps if left is None else f"{steps}, about {format_duration(left)} left"
    if state.name == "stopping":
        return "finishing this step and saving the state"
    if state.name == "done":
        took = "" if progress.curve is None else f" in {format_duration(progress.curve.column('seconds')[-1])}"
        return f"{progress.step} steps{took}"
    if state.name == "stopped":
        return f"at {steps}. Go on continues from there; with other settings, it starts again from this picture."
    if state.name == "left":
        return "before the first step; nothing was made"
    return state.reason


def line(current: str, waiting: Iterable[str]) -> str:
    """The runs in line as HTML, their titles given; nothing if there is none."""
    waiting = list(waiting)
    if not current and not waiting:
        return ""
    items = "".join(f"<li>{html.escape(title)}</li>" for title in waiting)
    now = f"Now: {html.escape(current)}. " if current else ""
    return f'<div class="line">{now}{"In line:" if waiting else "Nothing is waiting."}<ol>{items}</ol></div>'


def estimate(memory: int | None, seconds: float | None) -> str:
    """Describe the time and the memory that a run will take."""
    parts = []
    if seconds is not None:
        parts.append(f"about {format_duration(seconds)}, as the last run with this network")
    if memory is not None:
        parts.append(f"{format_size(memory)} of memory if it is not made in tiles")
    return "; ".join(parts)


def instant(title: str) -> str:
    """The state of an instant picture as HTML."""
    return _line("instant", "Instant picture", title, "Refine makes the final one from it")


def _line(state: str, head: str, title: str, text: str, more: str = "") -> str:
    return (
        f'<div class="state {state}" data-state="{state}"><strong>{head}</strong> '
        f"<em>{html.escape(title)}</em><span>{html.escape(text)}</span>{more}</div>"
    )


NOTHING = _line("empty", "No picture yet", "", "Choose a photograph and a painting.")
