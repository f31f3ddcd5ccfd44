#!/usr/bin/env python3
"""Measure the time of a step and the peak memory, beside the same objective in PyTorch where torch is installed.

    python scripts/bench.py
    python scripts/bench.py --models vgg_slim --sizes 256 --repeats 5

Every measurement runs in a process of its own, the stacks by turns, so that both see the same machine; the table gives
medians, and the ratio of MXNet's to PyTorch's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the time of a step and the peak memory.")
    parser.add_argument("--models", nargs="+", default=["vgg19", "vgg_slim"], help="VGG-shaped networks")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512], help="sides of the square picture, pixels")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each stack, by turns")
    parser.add_argument("--steps", type=int, default=3, help="timed steps in each process, after one that is not")
    options = parser.parse_args(arguments)

    from styletransfer import benchmarks, commands

    def bench() -> int:
        print(benchmarks.machine())
        for line in benchmarks.table(options.models, options.sizes, options.repeats, options.steps):
            print(line, flush=True)
        return 0

    return commands.guarded(bench)


if __name__ == "__main__":
    sys.exit(main())
