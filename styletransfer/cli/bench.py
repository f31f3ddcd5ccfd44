"""Measure the time and memory of this project, next to the same objective in PyTorch if that is installed."""

from __future__ import annotations

import argparse
import shlex
import sys

from styletransfer.cli.options import Parser, add_overrides, file_path


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Measure the time and memory of this project, next to the same objective in PyTorch if that is "
        "installed.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("steps", "quality", "sizes", "feedforward", "large", "all", "start", "peer"),
        default="all",
        help="which table (default: all, which is without start and peer)",
    )
    parser.add_argument("--models", nargs="+", default=["vgg19", "vgg_slim"], help="networks of the VGG family")
    parser.add_argument(
        "--write",
        type=file_path,
        metavar="FILE",
        help="replace the tables of this page, such as docs/performance.md, and draw its plot",
    )

    parser.add_argument("--force", action="store_true", help="let --write and --curve overwrite files of others")

    steps = parser.add_argument_group("steps")
    steps.add_argument(
        "--sizes", nargs="+", type=int, default=[256, 512], help="sides of the square pictures in pixels"
    )
    steps.add_argument("--repeats", type=int, default=3, help="processes per stack; the stacks take turns")
    steps.add_argument("--steps", type=int, default=3, help="timed steps per process, after a warm-up step")
    steps.add_argument("--bfloat16", action="store_true", help="measure bfloat16 even if it is not faster here")

    quality = parser.add_argument_group("quality")
    quality.add_argument("--size", type=int, default=512, help="long edge of the result in pixels")
    quality.add_argument("--content", default="input/coffee.jpg", help="the photograph")
    quality.add_argument("--style", default="input/night.jpg", help="the painting")
    quality.add_argument("--evaluations", type=int, default=300, help="evaluations of PyTorch's L-BFGS")
    quality.add_argument(
        "--noise",
        type=float,
        default=0.001,
        help="standard deviation of the noise that PyTorch starts from (0..255)",
    )
    add_overrides(quality, "a config key, for this project only")
    quality.add_argument(
        "--every",
        type=int,
        default=5,
        help="steps between the images of this project that are evaluated at the final size",
    )
    quality.add_argument("--curve", type=file_path, metavar="FILE", help="write loss against seconds as CSV")
    quality.add_argument(
        "--reuse", type=file_path, metavar="FILE", help="take PyTorch's curves from the CSV of an earlier --curve"
    )

    start = parser.add_argument_group("start", "with --size, --content, --style, --set and --every of quality")
    start.add_argument(
        "--start-from", metavar="NAME", help="the trained style to start from: a bundled style, or a style file (.npz)"
    )

    peer = parser.add_argument_group("peer", "with --size, --content, --style, --evaluations and --set of quality")
    peer.add_argument("--pictures", type=file_path, metavar="FOLDER", help="where to write the pictures of both")

    sizes = parser.add_argument_group("sizes")
    sizes.add_argument(
        "--edges", nargs="+", type=int, default=[256, 512, 1024, 2048, 4096], help="sides of the pictures in pixels"
    )
    sizes.add_argument("--tiles", nargs="*", type=int, default=[512, 1024], help="sides of the tiles in pixels")
    sizes.add_argument(
        "--largest", type=int, default=1024, help="largest side in pixels that is also measured without tiles"
    )
    sizes.add_argument("--size-steps", type=int, default=1, help="timed steps per row, after a warm-up step")

    networks = parser.add_argument_group("feedforward", "with --repeats and --bfloat16 of steps")
    networks.add_argument("--networks", nargs="+", default=["small", "residual"], help="feed-forward networks")
    networks.add_argument(
        "--feedforward-sizes",
        nargs="+",
        type=int,
        default=[256, 512, 1024],
        metavar="SIZE",
        help="sides of the square pictures in pixels",
    )
    networks.add_argument("--passes", type=int, default=5, help="timed pictures per process, after a warm-up picture")

    large = parser.add_argument_group("large", "with --passes of feedforward")
    large.add_argument(
        "--large-sizes",
        nargs="+",
        type=int,
        default=[4096],
        metavar="SIZE",
        help="sides of the square pictures in pixels",
    )
    large.add_argument("--limit", default="4GB", metavar="BYTES", help="memory that may be used (default: 4GB)")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(program).parse_args(given)

    from styletransfer.support import commands

    def bench() -> int:
        from styletransfer.studies.benchmarks import command

        return command.run(options, commands.as_called(shlex.join(["python", "scripts/bench.py", *given])))

    return commands.guarded(bench)
