"""Sweeps: many pictures from one file that says what varies.

A sweep file becomes a :class:`Plan`, a list of jobs, each a checked config and a folder of its own; nothing here is
written before all of them are in order. How the jobs are run is another matter: :func:`run_here` runs them on this
machine, and whatever else runs :func:`command_of` a job and keeps ``job.status`` may take its place. What has become of
a job is read from its folder alone. Nothing here needs MXNet.

Besides what every run leaves, a job's folder holds ``job.yaml`` (its config), ``job.log`` (what it said; locked while
it runs) and ``job.status`` (its exit status).
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, ConfigDict, Field

from models.runtime import usable_cores
from styletransfer import config as configs
from styletransfer import curves, images
from styletransfer.config import Config, FileName
from styletransfer.errors import Diverged, Interrupted, UserError, nearest
from styletransfer.files import written_whole

NSTYLE = configs.PROJECT_FOLDER / "scripts" / "nstyle.py"
CONTACT, RESULTS = "contact.png", "results.csv"
_MOST_JOBS = 1000
_LONGEST_NAME = 120  # bytes; file systems take 255
_INTERRUPTED = (Interrupted.status, 130, -signal.SIGINT, -signal.SIGTERM)
_LOSSES = ("total", "content", "style", "tv")


# The sweep file.


class Sweep(BaseModel):
    """A sweep, as the user describes it: `vary` or `jobs`, on top of `base` and `set`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Any = Field({}, description="a config file, or its keys and values; what all jobs start from")
    common: dict[str, Any] = Field({}, alias="set", description="overrides for all jobs, by dotted key")
    vary: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)] | None = Field(
        None, description="values by dotted key; every combination is a job"
    )
    jobs: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = Field(
        None, description="the jobs one by one, each its overrides by dotted key"
    )
    output: FileName | None = Field(None, description="one folder a sweep; null: output/sweeps/ and the file's name")

    @pydantic.field_validator("base")
    @classmethod
    def _file_or_values(cls, base: Any) -> Any:
        if not isinstance(base, (str, dict)) or base == "":
            raise ValueError(f"{base!r} is not allowed; expected a config file, or keys and values")
        if isinstance(base, str) and base.startswith("~"):
            try:
                return str(Path(base).expanduser())
            except RuntimeError:
                raise ValueError(f"{base!r} names a user who is not known") from None
        return base

    @pydantic.model_validator(mode="after")
    def _one_of_two(self) -> Sweep:
        if (self.vary is None) == (self.jobs is None):
            raise ValueError("expected either `vary` (lists of values by key) or `jobs` (a list of overrides)")
        return self

    def overrides(self) -> Iterator[dict[str, Any]]:
        """What each job sets; of `vary`, the last key varies fastest."""
        if self.jobs is not None:
            yield from self.jobs
        elif self.vary is not None:
            yield from (dict(zip(self.vary, values)) for values in itertools.product(*self.vary.values()))


def read_sweep(path: str | Path) -> Sweep:
    """Read a sweep file.

    Raises
    ------
    UserError
        If it is absent, no YAML, or not as :class:`Sweep` has it; one line.
    """
    values = configs.read_file(path)
    keys = [field.alias or name for name, field in Sweep.model_fields.items()]
    for key in values:
        if key not in keys:
            raise UserError(f"sweep {path}: unknown key {key!r}; {nearest(key, keys)}")
    try:
        return Sweep.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(f"sweep {path}: {_first_problem(error)}") from None


def _first_problem(error: pydantic.ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "value_error":
        words = str(problem["ctx"]["error"])
    elif problem["type"] == "too_short":
        words = "is empty; expected at least one entry"
    else:
        expected = re.sub(r"^.* should be a (valid )?", "a ", problem["msg"])
        words = f"{_shortened(repr(problem['input']))} is not allowed; expected {expected}"
    return f"{key}: {words}" if key else words


def _shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


# The list of jobs.


@dataclass(frozen=True)
class Job:
    """One picture of a sweep.

    Attributes
    ----------
    name : str
        Of its folder: readable, safe for file systems, unique in the sweep.
    folder : Path
    overrides : dict
        What it sets, by dotted key.
    labels : tuple of str
        The same for people, one for each of the overrides.
    config : Config
        Checked and resolved; its ``output.folder`` is `folder`.
    """

    name: str
    folder: Path
    overrides: Mapping[str, Any]
    labels: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class Plan:
    """All jobs of a sweep.

    Attributes
    ----------
    name : str
        The sweep file's, without its ending.
    folder : Path
        In which the jobs' folders, the contact sheet and the results are.
    keys : tuple of str
        The dotted keys that vary.
    columns : int or None
        How many values the last key has; None where the jobs were listed one by one.
    jobs : tuple of Job
    """

    name: str
    folder: Path
    keys: tuple[str, ...]
    columns: int | None
    jobs: tuple[Job, ...]


def plan(path: str | Path, assignments: Sequence[str] = (), output: str | None = None) -> Plan:
    """The jobs of a sweep file, every config checked.

    Parameters
    ----------
    path : str or Path
    assignments : sequence of str
        ``KEY=VALUE`` for all jobs, on top of the file's `set`; what varies goes on top of these.
    output : str, optional
        Instead of the file's `output`.

    Raises
    ------
    UserError
        If the file, or the config of one of its jobs (which is named), is at fault.
    """
    sweep = read_sweep(path)
    count = len(sweep.jobs) if sweep.jobs else math.prod(map(len, (sweep.vary or {}).values()))
    if count > _MOST_JOBS:
        raise UserError(f"sweep {path}: {count:,} jobs are more than the {_MOST_JOBS:,} that a sweep may have")
    overrides = list(sweep.overrides())
    keys = tuple(dict.fromkeys(itertools.chain.from_iterable(overrides)))
    _check_keys(path, keys, sweep.common, assignments)

    values = dict(sweep.base) if isinstance(sweep.base, dict) else configs.read_file(configs.find_input(sweep.base))
    for key, value in sweep.common.items():
        values = configs.put(values, key.split("."), value, f"sweep {path}: set: {key}")
    values = configs.override(values, assignments)

    stem = Path(path).stem
    folder = Path(output or sweep.output or f"output/sweeps/{safe_name(stem)}").expanduser()
    labels = _labels(overrides, keys)
    names = _unique(",".join(filter(None, map(safe_name, parts))) or "base" for parts in labels)
    jobs = []
    for name, parts, job in zip(names, labels, overrides):
        where = f"sweep {path}, job {name}"
        changed = values
        for key, value in job.items():
            changed = configs.put(changed, key.split("."), value, f"{where}: {key}")
        changed = configs.put(changed, ["output", "folder"], str(folder / name), where)
        jobs.append(Job(name, folder / name, job, parts, configs.parse(changed, where)))
    return Plan(stem, folder, keys, len(list(sweep.vary.values())[-1]) if sweep.vary else None, tuple(jobs))


def _check_keys(path: str | Path, varying: Iterable[str], common: Iterable[str], assignments: Iterable[str]) -> None:
    """Refuse keys that would have no effect."""
    for key in (*varying, *common):
        if key == "output.folder" or (key == "output" and key in varying):
            raise UserError(f"sweep {path}: {key}: each job has a folder of its own; `output` names the sweep's")
    for assignment in assignments:
        key = assignment.partition("=")[0]
        if key == "output.folder":
            raise UserError(f"--set {assignment}: each job has a folder of its own; --output names the sweep's")
        for other in varying:
            if f"{key}.".startswith(f"{other}."):
                raise UserError(f"--set {assignment}: the sweep varies {other}")


def label(value: Any) -> str:
    """A value in a word or two: a file's name without folder and ending, the names of layers, a number."""
    if isinstance(value, Mapping):
        items = ((label(key), label(weight)) for key, weight in value.items())
        return "+".join(name if weight == "1" else f"{name}={weight}" for name, weight in items)
    if isinstance(value, (list, tuple)):
        return "+".join(map(label, value))
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    text = str(value)
    if "/" in text or re.fullmatch(r"\.[A-Za-z]\w{0,7}", Path(text).suffix):
        return Path(text).stem or text
    return text


def _labels(overrides: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[tuple[str, ...]]:
    """For every job and each of its overrides a label; different values of a key get different ones."""
    last = Counter(key.rpartition(".")[2] for key in keys)
    seen: dict[tuple[str, str], list[Any]] = {}

    def part(key: str, value: Any) -> str:
        short = key.rpartition(".")[2]
        text = label(value)
        if last[short] > 1:
            text = f"{key}={text}"
        elif not isinstance(value, (str, Mapping)):
            text = f"{short}={text}"
        same = seen.setdefault((key, text), [])
        if value not in same:
            same.append(value)
        number = same.index(value)
        return f"{text}-{number + 1}" if number else text

    return [tuple(part(key, value) for key, value in job.items()) for job in overrides]


def safe_name(text: str) -> str:
    """`text` with nothing in it that file systems or shells stumble over; it may be empty."""
    characters = (c if c.isalnum() or c in "._+=-" else "-" for c in unicodedata.normalize("NFC", text))
    return re.sub("-{2,}", "-", "".join(characters)).lstrip(".-").rstrip(".-")


def _unique(names: Iterable[str]) -> list[str]:
    """Names cut to a length that file systems take, different even where case does not count."""
    taken, found = {CONTACT, RESULTS}, []
    for name in names:
        if len(name.encode()) > _LONGEST_NAME:
            short = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore")
            name = f"{short}-{zlib.crc32(name.encode()):08x}"
        tries = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        name = next(other for other in tries if other.casefold() not in taken)
        taken.add(name.casefold())
        found.append(name)
    return found


# What has become of a job.


STATES = ("done", "running", "unfinished", "failed", "left")


@dataclass(frozen=True)
class State:
    """One of `STATES`: unfinished is what can go on from a checkpoint; what failed has a reason."""

    name: str
    reason: str = ""


def state_of(job: Job) -> State:
    """What the folder of a job says about it."""
    if _is_locked(job.folder / "job.log"):
        return State("running")
    status = _status(job)
    if status not in (None, 0, *_INTERRUPTED):
        return State("failed", _reason(job, status))
    if (job.folder / "image.png").exists():  # what a run writes last
        return State("done")
    return State("unfinished" if (job.folder / "checkpoint.npz").exists() else "left")


def _status(job: Job) -> int | None:
    try:
        return int((job.folder / "job.status").read_text())
    except (OSError, ValueError):
        return None


def _reason(job: Job, status: int | None) -> str:
    """The last line that a job said on standard error."""
    try:
        text = (job.folder / "job.log").read_text(errors="replace")
    except OSError:
        text = ""
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1].removeprefix("error: ") if lines else "it said nothing"
    if status is not None and status < 0:
        return f"killed by signal {-status}; the last it said: {last}"
    return last if status in (UserError.status, Diverged.status) else f"exit status {status}: {last}"


def _is_locked(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system that knows no locks
        return False


def check_finished(plan: Plan) -> None:
    """Refuse to take finished pictures for what they are not.

    Raises
    ------
    UserError
        If a finished job was made with other settings than it has now.
    """
    for job in plan.jobs:
        path = job.folder / "config.yaml"
        if state_of(job).name == "done" and path.exists():
            key = _first_difference(configs.parse(configs.read_file(path), f"config {path}"), job.config)
            if key:
                hint = "remove the folder or name another output"
                raise UserError(f"job {job.name}: {job.folder} holds a picture made with another {key}; {hint}")


def _first_difference(first: Config, second: Config) -> str | None:
    flat, other = (
        dict(_flat(config.model_dump(mode="json", exclude={"made_with", "output"}))) for config in (first, second)
    )
    return next((key for key in {**flat, **other} if flat.get(key) != other.get(key)), None)


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


# Running.


def command_of(job: Job) -> list[str]:
    """The command that makes the picture of a job, or goes on with it; ``job.yaml`` must have been written."""
    command = [sys.executable, str(NSTYLE), "--config", str(job.folder / "job.yaml")]
    if (job.folder / "image.png").exists():  # the last picture of a run that diverged
        return [*command, "--force"]
    return [*command, "--resume"] if (job.folder / "checkpoint.npz").exists() else command


def environment(at_once: int) -> dict[str, str]:
    """That of a job of which so many run side by side: the cores divided, unless the user has set the threads."""
    return {"OMP_NUM_THREADS": str(max(1, usable_cores() // at_once)), **os.environ}


def start(job: Job, variables: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Start a job in a process, and a session, of its own; None if another process runs it already."""
    job.folder.mkdir(parents=True, exist_ok=True)
    # The lock is the child's as well, with its standard error: it holds until the child ends, whatever becomes of us.
    with open(job.folder / "job.log", "ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError:
            pass  # a file system that knows no locks
        (job.folder / "job.status").unlink(missing_ok=True)
        with written_whole(job.folder / "job.yaml") as stream:
            stream.write(configs.dump(job.config, {"job": job.name}).encode())
        return subprocess.Popen(
            command_of(job),
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches us alone; we pass it on, once
        )


def _finish(job: Job, status: int) -> None:
    with written_whole(job.folder / "job.status") as stream:
        stream.write(f"{status}\n".encode())


def run_here(plan: Plan, at_once: int, say: Callable[[str], None]) -> None:
    """Run what is left of a sweep on this machine; a job that fails does so alone.

    Parameters
    ----------
    plan : Plan
    at_once : int
        How many jobs run side by side.
    say : callable
        Takes a line about every job.

    Raises
    ------
    Interrupted
        If SIGINT, SIGTERM or SIGHUP came; the jobs under way have saved their states.
    """
    waiting = deque(job for job in plan.jobs if state_of(job).name != "done")
    finished = len(plan.jobs) - len(waiting)
    if finished:
        say(f"{finished} of {len(plan.jobs)} done already")
    variables = environment(at_once)
    running: dict[subprocess.Popen[bytes], Job] = {}
    with _signals() as received, _ended_with_us(running):
        passed_on = 0
        while running or (waiting and not received):
            while waiting and len(running) < at_once and not received:
                job = waiting.popleft()
                process = start(job, variables)
                if process is None:
                    finished += 1
                    say(f"{finished}/{len(plan.jobs)} {job.name}: running elsewhere")
                else:
                    running[process] = job
            if len(received) > passed_on:
                passed_on = len(received)
                say(f"stopping {len(running)} running")
                for process in running:
                    process.terminate()
            for process in [process for process in running if process.poll() is not None]:
                job = running.pop(process)
                _finish(job, process.returncode)
                finished += 1
                say(f"{finished}/{len(plan.jobs)} {_sentence(job)}")
            time.sleep(0.05)
    if received:
        raise Interrupted("interrupted, states saved: run the same command again to go on")


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals in a list instead of acting on them; those that were ignored (nohup) stay so."""
    received: list[int] = []
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _ended_with_us(running: Mapping[subprocess.Popen[bytes], Job]) -> Iterator[None]:
    """Whatever happens, leave no process behind."""
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _sentence(job: Job) -> str:
    state, numbers = state_of(job), _final(job)
    if state.name == "done" and numbers:
        return f"{job.name}: done, {numbers['step']:g} steps, {numbers['seconds']:.1f} s, total {numbers['total']:.4g}"
    return f"{job.name}: {state.name}" + (f": {state.reason}" if state.reason else "")


# What is said and left at the end.


def listing(plan: Plan) -> str:
    """Every job and its folder, a line each."""
    width = max(len(job.name) for job in plan.jobs)
    return "\n".join(f"{job.name:{width}}  {job.folder}" for job in plan.jobs)


def report(plan: Plan) -> str:
    """What has become of every job, a line each, and how many there are of each kind."""
    return "\n".join([*map(_sentence, plan.jobs), summary(plan)])


def summary(plan: Plan) -> str:
    """Such as ``3 done, 1 failed, 2 left``."""
    counts = Counter(state_of(job).name for job in plan.jobs)
    return ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])


def all_done(plan: Plan) -> bool:
    """Whether nothing is left to do."""
    return all(state_of(job).name == "done" for job in plan.jobs)


def failures(plan: Plan) -> list[str]:
    """A line for every job that failed, with the reason."""
    return [_sentence(job) for job in plan.jobs if state_of(job).name == "failed"]


def _final(job: Job) -> dict[str, float]:
    """The last row of a job's curve, by column; empty where there is none."""
    try:
        curve = curves.read(job.folder / "curve.csv")
        final = dict(zip(curve.columns, curve.rows[-1]))
    except UserError:
        return {}
    return final if {"step", "seconds", *_LOSSES} <= set(final) else {}


def write_results(plan: Plan) -> Path:
    """Write ``results.csv``: job, what varies, state, steps, final losses, seconds, the reason of a failure."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", *plan.keys, "state", "steps", *_LOSSES, "seconds", "reason"])
    for job in plan.jobs:
        state, numbers = state_of(job), _final(job)
        varied = [_cell(job.overrides[key]) if key in job.overrides else "" for key in plan.keys]
        step = f"{numbers['step']:g}" if numbers else ""
        losses = [repr(numbers[name]) if numbers else "" for name in (*_LOSSES, "seconds")]
        writer.writerow([job.name, *varied, state.name, step, *losses, state.reason])
    path = plan.folder / RESULTS
    with written_whole(path) as stream:
        stream.write(text.getvalue().encode(errors="replace"))
    return path


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


# The contact sheet.

CELL, GAP, TEXT, LINES = 256, 12, 15, 3  # pixels: a picture's long edge, between pictures, text size; lines of a label
_LINE = TEXT + 4
_WIDEST = 6  # columns of a sheet that has no rows of its own
_GREY, _BLACK = (208, 208, 208), (0, 0, 0)


def write_contact_sheet(plan: Plan) -> Path:
    """Write ``contact.png``, all pictures of a sweep on one page."""
    path = plan.folder / CONTACT
    with written_whole(path) as stream:
        contact_sheet(plan).save(stream, format="PNG")
    return path


def contact_sheet(plan: Plan) -> Image.Image:
    """All pictures of a sweep in a grid.

    Where keys vary, the values of the last one are the columns, those of the others the rows, with labels at the
    margins, and there also the photographs and paintings that vary. Else, and where one key has many values, the grid
    is simple and every picture has its label below.
    """
    count = len(plan.jobs)
    headed = plan.columns is not None and (len(plan.keys) > 1 or count <= _WIDEST)
    columns = plan.columns if headed and plan.columns else min(_WIDEST, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    cell = max(64, min(CELL, 8000 // max(rows, columns)))

    def height(labels: Iterable[str]) -> int:
        return max(len(_wrapped(text, cell)) for text in labels) * _LINE + 4

    pictures = [_result(job, cell) for job in plan.jobs]
    tallest = max((picture.height for picture in pictures if picture), default=cell * 3 // 4)
    title, left, above, down = _LINE + GAP, 0, 0, tallest + GAP
    tops: list[Image.Image | None] = []
    sides: list[Image.Image | None] = []
    if headed:
        tops = [_margin(job, plan.keys[-1:], cell) for job in plan.jobs[:columns]]
        top_label = height(job.labels[-1] for job in plan.jobs[:columns])
        above = max((picture.height + 4 for picture in tops if picture), default=0) + top_label
    if headed and len(plan.keys) > 1:
        sides = [_margin(job, plan.keys[:-1], cell) for job in plan.jobs[::columns]]
        left = cell + GAP
        names = [", ".join(job.labels[:-1]) for job in plan.jobs[::columns]]
        down = max(down, max((picture.height for picture in sides if picture), default=0) + height(names) + GAP)
    elif not headed:
        names = [", ".join(job.labels) or job.name for job in plan.jobs]
        down += height(names)

    size = (GAP + left + columns * (cell + GAP), GAP + title + above + rows * down)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, (GAP, GAP), f"{plan.name}: {', '.join(plan.keys)}", sheet.width - 2 * GAP, lines=1)
    x0, y0 = GAP + left, GAP + title + above
    for number, picture in enumerate(tops):
        x = x0 + number * (cell + GAP)
        _write(draw, (x, y0 - top_label), plan.jobs[number].labels[-1], cell)
        _paste(sheet, picture, (x, y0 - top_label - 4 - (picture.height if picture else 0)), cell)
    for number, picture in enumerate(sides):
        y = y0 + number * down
        _paste(sheet, picture, (GAP, y), cell)
        _write(draw, (GAP, y + (picture.height + 4 if picture else 0)), names[number], cell)
    for number, (job, picture) in enumerate(zip(plan.jobs, pictures)):
        x, y = x0 + number % columns * (cell + GAP), y0 + number // columns * down
        if picture is None:
            draw.rectangle((x, y, x + cell - 1, y + tallest - 1), fill=_GREY)
            state = state_of(job)
            words = f"{state.name}: {state.reason}" if state.reason else state.name
            _write(draw, (x + 6, y + 4), words, cell - 12, lines=max(1, tallest // _LINE - 1))
        _paste(sheet, picture, (x, y), cell)
        if not headed:
            _write(draw, (x, y + tallest + 4), names[number], cell)
    return sheet


def _result(job: Job, cell: int) -> Image.Image | None:
    return _thumbnail(job.folder / "image.png", cell) if state_of(job).name == "done" else None


def _thumbnail(path: Path, cell: int) -> Image.Image | None:
    try:
        picture = Image.fromarray(images.to_bytes(images.read(path)))
    except UserError:
        return None
    height, width = images.fit(picture.height, picture.width, cell)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _margin(job: Job, keys: Iterable[str], cell: int) -> Image.Image | None:
    """The photograph and paintings of a job that `keys` are about, side by side; None where they are not."""
    names: list[str] = []
    for key in keys:
        if key in ("content", "content.image") and job.config.content.image:
            names.append(job.config.content.image)
        elif key in ("style", "style.images"):
            names += job.config.style.images or ()
    found = [_thumbnail(configs.find_input(name), max(1, cell // len(names))) for name in names]
    pictures = [picture for picture in found if picture]
    if not pictures:
        return None
    strip = Image.new("RGB", (sum(each.width for each in pictures), max(each.height for each in pictures)), "white")
    x = 0
    for picture in pictures:
        strip.paste(picture, (x, 0))
        x += picture.width
    return strip


def _paste(sheet: Image.Image, picture: Image.Image | None, corner: tuple[int, int], cell: int) -> None:
    """Put a picture into the middle of its column."""
    if picture:
        sheet.paste(picture, (corner[0] + (cell - picture.width) // 2, corner[1]))


def _wrapped(text: str, width: int, lines: int = LINES) -> list[str]:
    """Text in lines no wider than `width`; dots stand for what does not fit."""
    font = ImageFont.load_default(TEXT)
    words = "".join(c if c.isprintable() else "?" for c in text)
    written: list[str] = []
    while words and len(written) < lines:
        length = 1
        while length < len(words) and font.getlength(words[: length + 1]) <= width:
            length += 1
        written.append(words[:length])
        words = words[length:]
    if words:
        written[-1] = written[-1][:-2] + "..."
    return written


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, width: int, lines: int = LINES) -> None:
    for number, line in enumerate(_wrapped(text, width, lines)):
        draw.text((corner[0], corner[1] + number * _LINE), line, fill=_BLACK, font=ImageFont.load_default(TEXT))
