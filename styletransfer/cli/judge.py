"""Judge pictures, or a network, by style distance and content distance as seen by VGG-19 and SqueezeNet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from styletransfer.cli.options import add_overrides


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Judge pictures, or a network, by style distance and content distance as seen by VGG-19 and "
        "SqueezeNet.",
    )
    parser.add_argument("--content", required=True, help="the photograph")
    parser.add_argument("--style", nargs="+", required=True, help="one or more paintings")
    parser.add_argument("--picture", nargs="+", help="pictures to judge, one for each style, instead of making them")
    parser.add_argument(
        "--size", type=int, default=320, help="long edge at which pictures are made and judged (default: %(default)s)"
    )
    add_overrides(parser)
    parser.add_argument("--layers", action="store_true", help="print the style distance in every layer as well")
    parser.add_argument(
        "--vgg19",
        metavar="FILE",
        nargs="+",
        default=[],
        help="VGG-19's weights in any format, if not fetched; or two files: its first convolutions (.npz), and "
        "vgg19_16x",
    )
    parser.add_argument(
        "--squeezenet",
        "--judge",
        metavar="FILE",
        help="SqueezeNet's weights (.net or .params), if not fetched",
    )
    parser.add_argument("--output", type=Path, help="folder to keep the new pictures in")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.support import commands

    def judge() -> int:
        from styletransfer.studies import eyes, judging
        from styletransfer.support import errors

        if options.picture and len(options.picture) != len(options.style):
            wanted, found = len(options.style), len(options.picture)
            raise errors.UserError(f"--picture: expected one picture for each style ({wanted}), found {found}")
        judges, left_out = eyes.load(options.squeezenet, options.vgg19)
        for line in left_out:
            print(commands.as_called(line), file=sys.stderr)
        verdicts = judging.verdicts(
            options.content,
            options.style,
            options.picture,
            options.size,
            options.assignments,
            judges,
            options.output,
        )
        print(" " * 28 + "".join(f"{eye.name:>32}" for eye in judges))
        print(f"{'':28}" + f"{'style':>11} {'(photo)':>9} {'content':>10}" * len(judges) + f"{'steps':>8} {'s':>8}")
        judged = []
        for verdict in verdicts:
            cells = (f"{d.style:11.3f} {f'({d.untouched:.3f})':>9} {d.content:10.3f}" for d in verdict.by.values())
            print(
                f"{_name(verdict.style):28}" + "".join(cells) + f"{verdict.steps:8d} {verdict.seconds:8.1f}", flush=True
            )
            judged.append(verdict)
        for eye in judges if options.layers else ():
            print(f"\n{f'style by {eye.name}':28}" + "".join(f"{layer:>15}" for layer in eye.style_layers))
            for verdict in judged:
                distances = verdict.by[eye.name]
                pairs = zip(distances.style_layers.values(), distances.untouched_layers.values())
                print(f"{_name(verdict.style):28}" + "".join(f"{style:7.3f} ({photo:.3f})" for style, photo in pairs))
        return 0

    return commands.guarded(judge)


def _name(style: str) -> str:
    return Path(style).name[:28]
