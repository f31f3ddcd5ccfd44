#!/usr/bin/env python3
"""Judge pictures, or a network, by what SqueezeNet sees: style distance and content distance.

Make pictures with a network in several styles and judge them:

    python scripts/judge.py --content photo.jpg --style a.jpg b.jpg --set model=vgg_slim --output output/judged

or judge pictures that are there, one for each style:

    python scripts/judge.py --content photo.jpg --style a.jpg b.jpg --picture made_a.png made_b.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Judge pictures, or a network, by what SqueezeNet sees.")
    parser.add_argument("--content", required=True, help="the photograph")
    parser.add_argument("--style", nargs="+", required=True, help="paintings")
    parser.add_argument("--picture", nargs="+", help="pictures to judge, one for each style, instead of making them")
    parser.add_argument("--size", type=int, default=320, help="long edge at which everything is judged and made")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments", help="as in nstyle.py"
    )
    parser.add_argument("--judge", metavar="FILE", help="SqueezeNet's weights (.net or .params), if not fetched")
    parser.add_argument("--output", type=Path, help="folder to keep the pictures made in")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)

    from styletransfer import commands

    def judge() -> int:
        from styletransfer import errors, judging

        if options.picture and len(options.picture) != len(options.style):
            raise errors.UserError("--picture: name as many pictures as styles")
        verdicts = judging.verdicts(
            options.content,
            options.style,
            options.picture,
            options.size,
            options.assignments,
            options.judge,
            options.output,
        )
        print(
            f"{'style':28} {'style distance':>14} {'(photograph)':>13} {'content distance':>17} {'steps':>6} {'s':>8}"
        )
        for verdict in verdicts:
            print(
                f"{Path(verdict.style).name:28} {verdict.style_distance:14.3f} {verdict.untouched:13.3f} "
                f"{verdict.content_distance:17.3f} {verdict.steps:6d} {verdict.seconds:8.1f}"
            )
        return 0

    return commands.guarded(judge)


if __name__ == "__main__":
    sys.exit(main())
