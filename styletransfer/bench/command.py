"""Implementation of `scripts/bench.py`: measure, and print tables in Markdown, every row once it is measured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import models
from styletransfer import config as configs
from styletransfer.bench import machine, peer, race, steps
from styletransfer.support.errors import UserError, nearest

TABLES = {
    "steps": steps.STEPS,
    "quality": race.HEADINGS,
    "sizes": steps.SIZES,
    "feedforward": steps.FEEDFORWARD,
    "peer": peer.HEADINGS,
}


def run(options: argparse.Namespace, command: str) -> int:
    """Run the benchmarks selected by the options of `scripts/bench.py`.

    Raises UserError if the options are invalid.
    """
    _check(options)
    print(f"`{command}` on {machine.describe()}:")
    for name in TABLES if options.what == "all" else [options.what]:
        if name == "peer" and options.what == "all":
            continue  # needs another program
        print(f"\n{_row(TABLES[name])}\n{_row(['---'] * len(TABLES[name]))}", flush=True)
        for cells in _rows(name, options):
            print(_row(cells), flush=True)
    return 0


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _check(options: argparse.Namespace) -> None:
    """Report invalid options before spending hours on measurements."""
    family = [name for name in models.names() if name.startswith("vgg")]
    for option, names, known, what in (
        ("models", options.models, family, "network of the VGG family"),
        ("networks", options.networks, models.transformer_names(), "feed-forward network"),
    ):
        for name in names:
            if name not in known:
                raise UserError(f"--{option}: {name} is not a {what}; {nearest(name, known)}")
    for model in options.models:
        race.config_for(model, options.size, *_pictures(options), options.assignments)


def _pictures(options: argparse.Namespace) -> tuple[str, str]:
    content, style = (str(configs.find_input(name)) for name in (options.content, options.style))
    return content, style


def _rows(name: str, options: argparse.Namespace) -> Iterator[Sequence[str]]:
    bfloat16 = machine.measures_bfloat16(options.bfloat16)
    if name == "feedforward":
        for network in options.networks:
            for size in options.feedforward_sizes:
                yield from steps.compare("pass_of", network, size, options.repeats, options.passes, bfloat16)
        return
    pictures = _pictures(options)
    if name == "peer":
        curves = peer.measure(options.size, *pictures, options.evaluations, options.assignments, options.pictures)
        yield [str(options.size), *race.cells(*curves)]
        return
    for model in options.models:
        if name == "steps":
            for size in options.sizes:
                yield from steps.compare("step_of", model, size, options.repeats, options.steps, bfloat16)
        elif name == "sizes":
            yield from steps.by_size(model, options.edges, options.tiles, options.largest, options.size_steps)
        else:
            config = race.config_for(model, options.size, *pictures, options.assignments)
            curves = race.run(config, options.evaluations, options.noise, options.every)
            random = "" if race.has_weights(config.weights, config.spec) else " (random weights)"
            yield [model + random, str(config.long_edges[-1]), *race.cells(*curves)]
