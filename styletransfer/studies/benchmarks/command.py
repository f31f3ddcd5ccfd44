"""Implementation of `scripts/bench.py`: measure, print every row once measured, and optionally write the tables."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import models
from styletransfer import config as configs
from styletransfer.feedforward import style_file
from styletransfer.studies.benchmarks import (
    feedforward,
    large,
    machine,
    peer,
    pytorch,
    quality,
    report,
    sizes,
    start,
    steps,
)
from styletransfer.support import overwriting
from styletransfer.support.byte_sizes import parse_size
from styletransfer.support.errors import UserError, nearest

# Tables that have no place on the page: `start` needs a trained style, and `peer` another program.
_BESIDE: Mapping[str, report.Benchmark] = {"start": start, "peer": peer}  # type: ignore[dict-item]
_TABLES: Mapping[str, report.Benchmark] = {**report.BENCHMARKS, **_BESIDE}


def run(options: argparse.Namespace, command: str) -> int:
    """Run the benchmarks selected by the options of `scripts/bench.py`.

    Raises
    ------
    UserError
        If the options are invalid.
    """
    names = list(report.BENCHMARKS) if options.what == "all" else [options.what]
    _check(options, names)
    print(machine.describe(), flush=True)
    for name in names:
        _measure(name, options, command)
    return 0


def _check(options: argparse.Namespace, names: list[str]) -> None:
    """Report invalid options before spending hours on measurements."""
    for model in options.models:
        pytorch.blocks_of(model)
    for network in options.networks:
        if network not in models.transformer_names():
            raise UserError(
                f"--networks: {network} is not a feed-forward network; {nearest(network, models.transformer_names())}"
            )
    for option in ("size", "evaluations", "every", "repeats", "steps", "size_steps", "passes"):
        _at_least(1, option, getattr(options, option))
    for option in ("sizes", "edges", "large_sizes"):
        _at_least(16, option, min(getattr(options, option)))  # the deepest layer needs this many pixels
    _at_least(64, "feedforward_sizes", min(options.feedforward_sizes))  # PyTorch reflects no more than there is
    _at_least(0, "noise", options.noise)
    _limit(options)
    if options.write:
        for name in _BESIDE.keys() & names:
            raise UserError(
                f"--write: {name} has no table on the page; expected one of: {', '.join(report.BENCHMARKS)}"
            )
        report.check(options.write, names)
    read = {"--content": configs.find_input(options.content), "--style": configs.find_input(options.style)}
    read |= {"--reuse": options.reuse} if options.reuse else {}
    if options.write:
        report.check_overwriting(options.write, read, options.force)
    if options.curve:
        overwriting.check([options.curve], read, options.force, quality.is_curve)
    if "start" in names:
        if options.start_from is None:
            raise UserError("start: name a bundled style or a style file with --start-from")
        style_file.read(style_file.find(options.start_from))
    if "quality" in names or "start" in names:
        for model in options.models:
            config = _config(options, model)
            if options.reuse and "quality" in names:
                quality.read_pytorch_curve(options.reuse, model, config.long_edges[-1])


def _at_least(least: int, option: str, value: float) -> None:
    if not value >= least:
        raise UserError(f"--{option.replace('_', '-')}: {value} is too small; expected {least} or more")


def _limit(options: argparse.Namespace) -> int:
    """The bytes of `--limit`."""
    try:
        return parse_size(options.limit)
    except ValueError as error:
        raise UserError(f"--limit: {options.limit!r}: {error}") from None


def _measure(name: str, options: argparse.Namespace, command: str) -> None:
    benchmark = _TABLES[name]
    layout = report.Layout.of(benchmark)
    results: list[Any] = []
    print(f"\n{layout.row(benchmark.HEADINGS)}", flush=True)
    for result in _results(name, options):
        results.append(result)
        print(layout.row(benchmark.cells(result)), flush=True)
    notes = _notes(name, options, results)
    for note in notes:
        print(note, flush=True)
    if name == "quality" and options.curve:
        quality.write_curves(options.curve, results)
    if options.write:
        report.write(options.write, name, results, command, notes)


def _results(name: str, options: argparse.Namespace) -> Iterator[Any]:
    bfloat16 = machine.measures_bfloat16(options.bfloat16)
    if name == "feedforward":
        for network in options.networks:
            for size in options.feedforward_sizes:
                yield from feedforward.measure(network, size, options.repeats, options.passes, bfloat16)
    elif name == "peer":
        yield peer.measure(
            options.size, options.content, options.style, options.evaluations, options.assignments, options.pictures
        )
    elif name == "large":
        yield from large.measure(options.large_sizes, _limit(options), options.passes)
    else:
        yield from _results_by_model(name, options, bfloat16)


def _results_by_model(name: str, options: argparse.Namespace, bfloat16: bool) -> Iterator[Any]:
    for model in options.models:
        if name == "steps":
            for size in options.sizes:
                yield from steps.measure(model, size, options.repeats, options.steps, bfloat16)
        elif name == "sizes":
            yield from sizes.measure(model, options.edges, options.tiles, options.largest, options.size_steps)
        elif name == "start":
            yield from start.measure(_config(options, model), options.start_from, options.every)
        else:
            config = _config(options, model)
            theirs = None
            if options.reuse:
                theirs = quality.read_pytorch_curve(options.reuse, model, config.long_edges[-1])
            yield quality.race(config, options.evaluations, options.noise, options.every, theirs)


def _config(options: argparse.Namespace, model: str) -> Any:
    return quality.config_for(model, options.size, options.content, options.style, options.assignments)


def _notes(name: str, options: argparse.Namespace, results: list[Any]) -> list[str]:
    """Notes below the table."""
    if name == "quality":
        notes = quality.notes(results)
    elif name in ("steps", "feedforward") and not machine.measures_bfloat16(options.bfloat16):
        notes = [machine.why_no_bfloat16(options.bfloat16)]
    else:
        notes = []
    return [*notes, *([] if machine.has_pytorch() or name in ("sizes", "large", *_BESIDE) else [machine.NO_PYTORCH])]
