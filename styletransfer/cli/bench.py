"""Measure the time and memory of this project, next to the same objective in PyTorch if that is installed."""

from __future__ import annotations

import argparse
import shlex
import sys

from styletransfer.cli.options import Parser, add_overrides, file_path, number, whole

_COUNT, _SIDE = whole(1, 10**6), whole(16, 10**5)  # the deepest layer needs 16 pixels


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Measure the time and memory of this project, next to the same objective in PyTorch if that is "
        "installed.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("steps", "quality", "sizes", "feedforward", "all", "peer"),
        default="all",
        help="which table (default: all, which is without peer)",
    )
    parser.add_argument("--models", nargs="+", default=["vgg19", "vgg_slim"], help="networks of the VGG family")

    steps = parser.add_argument_group("steps")
    steps.add_argument(
        "--sizes", nargs="+", type=_SIDE, default=[256, 512], help="sides of the square pictures in pixels"
    )
    steps.add_argument("--repeats", type=_COUNT, default=3, help="processes per stack; the stacks take turns")
    steps.add_argument("--steps", type=_COUNT, default=3, help="timed steps per process, after a warm-up step")
    steps.add_argument("--bfloat16", action="store_true", help="measure bfloat16 on any processor")

    quality = parser.add_argument_group("quality")
    quality.add_argument("--size", type=_SIDE, default=512, help="long edge of the result in pixels")
    quality.add_argument("--content", default="input/coffee.jpg", help="the photograph")
    quality.add_argument("--style", default="input/night.jpg", help="the painting")
    quality.add_argument("--evaluations", type=_COUNT, default=300, help="evaluations of PyTorch's L-BFGS")
    quality.add_argument(
        "--noise",
        type=number(0, 1000),
        default=0.001,
        help="standard deviation of the noise that PyTorch starts from (0..255)",
    )
    add_overrides(quality, "a config key, for this project only")
    quality.add_argument(
        "--every",
        type=_COUNT,
        default=5,
        help="steps between the images of this project that are evaluated at the final size",
    )

    peer = parser.add_argument_group("peer", "with --size, --content, --style, --evaluations and --set of quality")
    peer.add_argument("--pictures", type=file_path, metavar="FOLDER", help="where to write the pictures of both")

    sizes = parser.add_argument_group("sizes")
    sizes.add_argument(
        "--edges", nargs="+", type=_SIDE, default=[256, 512, 1024, 2048, 4096], help="sides of the pictures in pixels"
    )
    sizes.add_argument("--tiles", nargs="*", type=_SIDE, default=[512, 1024], help="sides of the tiles in pixels")
    sizes.add_argument(
        "--largest", type=_SIDE, default=1024, help="largest side in pixels that is also measured without tiles"
    )
    sizes.add_argument("--size-steps", type=_COUNT, default=1, help="timed steps per row, after a warm-up step")

    networks = parser.add_argument_group("feedforward", "with --repeats and --bfloat16 of steps")
    networks.add_argument("--networks", nargs="+", default=["small", "residual"], help="feed-forward networks")
    networks.add_argument(
        "--feedforward-sizes",
        nargs="+",
        type=whole(64, 10**5),  # PyTorch reflects no more than there is
        default=[256, 512, 1024],
        metavar="SIZE",
        help="sides of the square pictures in pixels",
    )
    networks.add_argument("--passes", type=_COUNT, default=5, help="timed pictures per process, after a warm-up")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(program).parse_args(given)

    from styletransfer.cli.guard import guarded
    from styletransfer.support import commands

    def bench() -> int:
        from styletransfer.bench import command

        return command.run(options, commands.as_called(shlex.join(["python", "scripts/bench.py", *given])))

    return guarded(bench)
