"""Runs of random and hostile sizes, each in a process of its own whose heap the C library checks.

``python tests/stress/shapes.py`` makes 200 runs of two steps and prints a table of what ran, what was rejected in one
line, and what died: ended by a signal, by an unexpected error, or not at all. The exit status is 1 if anything died.
``--seed S --only 17`` repeats case 17.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

import numpy as np
from PIL import Image

import models
from styletransfer import weights
from styletransfer.engines import choose
from styletransfer.losses.tiling import smallest_tile

_CHECKS = {"MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
_CHECKER = "libc_malloc_debug.so.0"  # what MALLOC_CHECK_ needs since version 2.34 of glibc
_WELL = {0: "ran", 2: "rejected", 3: "diverged"}  # exit statuses
_SHORTEST = 16
_BUNDLED = "vgg_slim"


@dataclasses.dataclass(frozen=True)
class Case:
    """One run.

    Attributes
    ----------
    number : int
    factors : dict of str
        What is counted: the kind of the run, its network and the like.
    sizes : dict of tuple
        The pictures to make, with height and width.
    config : dict
        Written to ``config.yaml``; JSON, which is YAML too.
    arguments : tuple of str
        Of Python, in the folder with all these files.
    """

    number: int
    factors: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    config: Mapping[str, Any]
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        pictures = ", ".join(f"{name} {width} x {height}" for name, (height, width) in self.sizes.items())
        return f"case {self.number}: {' '.join(self.factors.values())}; {pictures}; {json.dumps(self.config)}"


class Draw:
    """Random choices for one case, the same whatever other cases there are."""

    def __init__(self, seed: int, number: int, longest: int) -> None:
        self.of = random.Random(f"{seed} {number}")
        self.longest = longest

    def side(self, least: int = _SHORTEST, longest: int | None = None) -> int:
        """A side: short ones are as likely as long ones; many are odd, prime, or near a multiple of a block."""
        longest = longest or self.longest
        side = round(least * (longest / least) ** self.of.random())
        near = self.of.choice([1, 1, 2, 16, 32])
        side = side // near * near + self.of.choice([0, 0, -1, 1])
        return min(max(side, least), longest)

    def size(self) -> tuple[int, int]:
        """Height and width; every fifth is a strip, and every third is small."""
        kind = self.of.random()
        if kind < 0.2:
            strip = [self.of.randint(_SHORTEST, 2 * _SHORTEST), self.side(self.longest // 2)]
            self.of.shuffle(strip)
            return strip[0], strip[1]
        if kind < 0.55:
            small = max(self.longest // 5, 3 * _SHORTEST)
            return self.side(longest=small), self.side(longest=small)
        return self.side(), self.side()

    def painting(self) -> tuple[int, int]:
        """Height and width in the proportions of a painting."""
        side = self.side(2 * _SHORTEST)
        return side, round(side * self.of.uniform(0.6, 1.6))

    def precision(self) -> str:
        return self.of.choice(choose(device="cpu", precision="float32").load().precisions())


def _picture(draw: Draw, kind: str) -> tuple[dict[str, str], dict[str, tuple[int, int]], dict[str, Any], str]:
    """A run of the optimisation: whole, in tiles, with regions, or from a trained style."""
    network = draw.of.choice([_BUNDLED, *models.names()])
    optimizer = draw.of.choice(["sgd", "adam", "lbfgs", "lbfgsb", "accept_reject"])
    height, width = draw.size()
    sizes = {"content.png": (height, width), "style.png": draw.painting()}
    config: dict[str, Any] = {
        "model": network,
        "weights": None if network == _BUNDLED else f"../{network}.params",
        "content": {"image": "content.png"},
        "style": {"images": "style.png", "size": draw.of.choice([None, "match", draw.side(2 * _SHORTEST)])},
        "tv": {"kind": draw.of.choice(["laplacian", "squared", "power", "none"])},
        "color": draw.of.choice(["style", "keep", "match"]),
        "optimizer": {"name": optimizer, **({"evaluations": 3} if optimizer == "lbfgsb" else {})},
        "stop": {"max_iterations": 2},
        "scales": draw.of.choice([1, 1, 2, 3]),
        "tile": "off",
        "precision": draw.precision(),
        "output": {
            "folder": "result",
            "save_every": draw.of.choice([0, 1]),
            "checkpoint_every": draw.of.choice([0, 1]),
        },
    }
    if draw.of.random() < 0.5:
        config["shape"] = [height, width]
    else:
        config["size"] = max(height, width)
    if kind == "tiles":
        spec = models.load(network).SPEC
        least = smallest_tile(spec, [*spec.content_layers, *spec.style_layers])
        config["tile"] = draw.of.randint(least, max(least, draw.longest))
    elif kind == "regions":
        sizes["mask.png"] = (height, width)
        config["style"]["images"] = None
        config["regions"] = [{"content": "mask.png", "style": "style.png"}, {"style": ["style.png", "content.png"]}]
    elif kind == "start":
        config["init"] = {"kind": "style", "name": draw.of.choice(["night", "wave", "mosaic"])}
    return {"network": network, "optimiser": optimizer, "precision": config["precision"]}, sizes, config, "nstyle.py"


def _training(draw: Draw, kind: str) -> tuple[dict[str, str], dict[str, tuple[int, int]], dict[str, Any], str]:
    network, loss = draw.of.choice(models.transformer_names()), draw.of.choice([_BUNDLED, _BUNDLED, *models.names()])
    crop = min(draw.side(32), 288)
    sizes = {
        "photo.png": (crop + draw.of.randint(10, 60), crop + draw.of.randint(10, 60)),
        "style.png": draw.painting(),
        "content.png": draw.size(),
    }
    config = {
        "name": "stress",
        "network": network,
        "model": loss,
        "weights": None if loss == _BUNDLED else f"../{loss}.params",
        "style": {"images": "style.png", "size": draw.side(2 * _SHORTEST)},
        "stability": {"weight": draw.of.choice([0, 100])},
        "photographs": {"sources": ["photo.png"], "crop": crop, "batch": draw.of.choice([1, 1, 2, 3])},
        "steps": 2,
        "precision": draw.precision(),
        "output": {"folder": "result", "preview": "content.png", "preview_size": draw.side()},
    }
    return {"network": f"{network} by {loss}", "precision": config["precision"]}, sizes, config, "train_style.py"


def _stylize(draw: Draw, kind: str) -> tuple[dict[str, str], dict[str, tuple[int, int]], dict[str, Any], str]:
    style, precision = draw.of.choice(["night", "wave", "mosaic"]), draw.precision()
    sizes = {"content.png": draw.size(), "other.png": draw.size()}
    options = ["--style", style, "--precision", precision, "--output", "result"]
    options += draw.of.choice([[], ["--keep-colors"], ["--size", str(draw.side())], ["--strength", "0.5"]])
    return {"network": "small", "precision": precision}, sizes, {}, " ".join(["stylize.py", *sizes, *options])


def _instant(draw: Draw, kind: str) -> tuple[dict[str, str], dict[str, tuple[int, int]], dict[str, Any], str]:
    precision = draw.precision()
    sizes = {"content.png": draw.size(), "painting.png": draw.painting(), "other.png": draw.painting()}
    options = ["--style", "painting.png", "--precision", precision, "--output", "result.png"]
    options += draw.of.choice([[], ["--style", "other.png"], ["--style-size", str(draw.side())], ["--strength", "1"]])
    return {"network": _BUNDLED, "precision": precision}, sizes, {}, " ".join(["stylize.py", "content.png", *options])


# How each kind of case is drawn, and how often.
_KINDS: Mapping[str, tuple[Callable[[Draw, str], Any], int]] = {
    "whole": (_picture, 7),
    "tiles": (_picture, 3),
    "regions": (_picture, 3),
    "start": (_picture, 1),
    "training": (_training, 3),
    "stylize": (_stylize, 3),
    "instant": (_instant, 3),
}


def drawn(seed: int, number: int, longest: int) -> Case:
    """The case of that number."""
    draw = Draw(seed, number, longest)
    kind = draw.of.choices(list(_KINDS), [often for _, often in _KINDS.values()])[0]
    factors, sizes, config, command = _KINDS[kind][0](draw, kind)
    program, *options = command.split()
    if config:
        options = ["--config", "config.yaml"]
    return Case(number, {"kind": kind, **factors}, sizes, config, (str(PROJECT / "scripts" / program), *options))


@functools.cache
def environment() -> Mapping[str, str]:
    """The environment of the cases: the heap is checked, one thread computes."""
    checks = {**os.environ, **_CHECKS, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    preloaded = {**checks, "LD_PRELOAD": " ".join(filter(None, [os.environ.get("LD_PRELOAD"), _CHECKER]))}
    tried = subprocess.run(["true"], env=preloaded, capture_output=True, check=False)
    return checks if tried.stderr else preloaded


def outcome(case: Case, parent: Path, limit: float) -> str:
    """Run a case and return its end: ``ran``, ``rejected: reason``, ``diverged``, or ``died: ...``."""
    folder = parent / str(case.number)
    folder.mkdir()
    for name, size in case.sizes.items():
        _write_picture(folder / name, size, case.number)
    (folder / "config.yaml").write_text(json.dumps(case.config))
    pipe = subprocess.PIPE
    command = [sys.executable, *case.arguments]
    with subprocess.Popen(
        command, cwd=folder, env=dict(environment()), stdout=subprocess.DEVNULL, stderr=pipe, text=True
    ) as process:
        try:
            _, said = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"died: no end after {limit:g} s"
    last = (said.splitlines() or [""])[-1]
    if process.returncode < 0:
        return f"died: {signal.Signals(-process.returncode).name}: {last}"
    if process.returncode not in _WELL or "Traceback" in said:
        return f"died: exit status {process.returncode}: {last}"
    well = _WELL[process.returncode]
    return f"{well}: {last.removeprefix('error: ')}" if well == "rejected" else well


def _write_picture(path: Path, size: tuple[int, int], seed: int) -> None:
    """A picture of coarse noise; a mask is white on the left and black on the right."""
    height, width = size
    if path.name == "mask.png":
        values = np.repeat([[255] * (width // 2) + [0] * (width - width // 2)], height, axis=0).astype(np.uint8)
        Image.fromarray(values).save(path)
        return
    noise = np.random.default_rng(seed).integers(0, 256, (height // 5 + 2, width // 5 + 2, 3), np.uint8)
    Image.fromarray(noise).resize((width, height)).save(path)


def table(ended: Sequence[tuple[Case, str]]) -> str:
    """Count the cases that ran, were rejected and died, by each factor and by the longest side of the first picture."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for case, how in ended:
        longest = max(next(iter(case.sizes.values())))
        bound = next(bound for bound in (64, 128, 256, 512, 1 << 30) if longest <= bound)
        sizes = f"to {bound}" if bound < 1 << 30 else "above 512"
        verdict = how.partition(":")[0]
        for factor, value in {"all": "", **case.factors, "longest side": sizes}.items():
            counts[factor, value, "ran" if verdict == "diverged" else verdict] += 1
    rows = ["| | | ran | rejected | died |", "|---|---|---|---|---|"]
    order = [*dict.fromkeys(factor for factor, _, _ in counts)]
    for factor, value in sorted(
        {key[:2] for key in counts}, key=lambda key: (order.index(key[0]), len(key[1]), key[1])
    ):
        numbers = (str(counts[factor, value, verdict]) for verdict in ("ran", "rejected", "died"))
        rows.append(f"| {factor} | {value} | {' | '.join(numbers)} |")
    return "\n".join(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Make runs of random and hostile sizes with a checked heap.")
    parser.add_argument("--cases", type=int, default=200, metavar="N", help="number of cases (default: 200)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first case (default: 0)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all cases (default: 0)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="WORD", help="cases of this number, kind, network, optimiser "
        "or precision; repeatable, and then all must apply"
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="cases at a time (default: 2)")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS", help="of one case (default: 120)")
    parser.add_argument("--longest", type=int, default=700, metavar="PIXELS", help="longest side (default: 700)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    numbers = range(options.first, options.first + options.cases)
    wanted = [word for word in options.only if not word.isdecimal()]
    chosen = [int(word) for word in options.only if word.isdecimal()]
    cases = [drawn(options.seed, number, options.longest) for number in chosen or numbers]
    cases = [case for case in cases if set(wanted) <= {*case.factors.values()}]
    if "LD_PRELOAD" not in environment():
        print(f"{_CHECKER} cannot be loaded: from glibc 2.34 on, the heap is not checked", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.workers) as workers:
        for network in {name for case in cases if (name := case.config.get("model", _BUNDLED)) != _BUNDLED}:
            weights.save(Path(folder, f"{network}.params"), weights.random(models.load(network).SPEC, 0))
        ends = [workers.submit(outcome, case, Path(folder), options.limit) for case in cases]
        ended: list[tuple[Case, str]] = []
        try:
            for case, end in zip(cases, ends):
                ended.append((case, end.result()))
                if ended[-1][1].startswith("died"):
                    print(f"{ended[-1][1]}\n  {case}", flush=True)
        except KeyboardInterrupt:  # what has ended is reported
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            workers.shutdown(cancel_futures=True)
    print(table(ended))
    for reason, count in Counter(how for _, how in ended if how.startswith("rejected")).most_common():
        print(f"{count} {reason}")
    return int(any(how.startswith("died") for _, how in ended))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background commands with it ignored
    sys.exit(main())
