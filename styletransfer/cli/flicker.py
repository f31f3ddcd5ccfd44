"""Measure how much styles flicker in videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from styletransfer.cli.options import Parser, number, whole


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Measure how much styles flicker in videos: the mean absolute difference, in grey levels "
        "of 0..255, between consecutive frames of a pan over each photograph, after the motion is undone; of the "
        "frames themselves, and of what each style makes of them.",
    )
    parser.add_argument(
        "styles", metavar="STYLE", nargs="*", help="bundled styles, style files or paintings (default: all)"
    )
    parser.add_argument("--strength", type=number(0, 1), help="share of the style, as of stylize.py")
    parser.add_argument(
        "--photographs",
        metavar="FILE",
        nargs="+",
        default=["input/astronaut.jpg", "input/chelsea.jpg", "input/coffee.jpg", "input/rocket.jpg"],
        help="the photographs (default: those of the project)",
    )
    parser.add_argument("--size", type=whole(64, 20_000), default=512, help="their long edge in pixels (default: 512)")
    parser.add_argument("--frames", type=whole(2, 1000), default=9, help="frames of a pan (default: 9)")
    parser.add_argument(
        "--noise",
        type=number(0.001, 255),
        default=2.0,
        help="standard deviation of the camera's noise, 0..255 (default: 2)",
    )
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.cli.guard import guarded

    def measure() -> int:
        from styletransfer.config import find_input
        from styletransfer.engines import choose
        from styletransfer.feedforward import style_file, styles
        from styletransfer.judging.flicker import flicker
        from styletransfer.pictures import images

        chosen = [styles.read([name], None, None, None) for name in options.styles or style_file.names()]
        photographs = {name: images.read(find_input(name)) for name in options.photographs}
        print(f"{'style':20}{'photograph':20}{'frames':>8}{'style':>8}{'ratio':>8}", flush=True)
        for style in chosen:
            choice = choose(device="cpu")
            stylizer = style.stylizer(choice.load(), choice.precision, options.strength, False, None)
            for name, photograph in photographs.items():
                resized = images.resize_to(photograph, options.size)
                before, after = flicker(resized, stylizer, options.frames, options.noise)
                print(
                    f"{style.name:20}{Path(name).stem:20}{before:8.2f}{after:8.2f}{after / before:8.2f}",
                    flush=True,
                )
        return 0

    return guarded(measure)
