"""Judge pictures, or a network, by style and content distance as seen by VGG-19 and SqueezeNet, and by flaws."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from styletransfer.cli.options import Parser, add_overrides, file_path, whole

if TYPE_CHECKING:
    from styletransfer.judging.verdicts import Verdict

_NAME = 28  # characters of a picture's name


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Judge pictures, or a network, by style distance and content distance as seen by VGG-19 and "
        "SqueezeNet.",
    )
    parser.add_argument("--content", nargs="+", required=True, help="the photograph, or one for each picture")
    parser.add_argument("--style", nargs="+", required=True, help="the painting, or one for each picture")
    parser.add_argument("--pictures", "--picture", nargs="+", help="pictures to judge, instead of making them")
    parser.add_argument(
        "--size",
        type=whole(1, 20_000),
        default=512,
        help="long edge at which pictures are made and judged (default: %(default)s)",
    )
    add_overrides(parser)
    parser.add_argument("--layers", action="store_true", help="print the style distance in every layer as well")
    parser.add_argument("--plot", metavar="PNG", type=file_path, help="plot style distance against content distance")
    parser.add_argument("--vgg19", metavar="FILE", help="VGG-19's weights in any format, if not fetched")
    parser.add_argument(
        "--squeezenet",
        "--judge",
        metavar="FILE",
        help="SqueezeNet's weights (.net or .params), if not fetched",
    )
    parser.add_argument("--output", type=file_path, help="folder to keep the new pictures in")
    parser.add_argument("--force", action="store_true", help="overwrite files in it that this command has not written")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.cli.guard import guarded
    from styletransfer.support import commands

    def print_verdicts() -> int:
        from styletransfer.judging import judges, verdicts

        cases = verdicts.cases(options.content, options.style, options.pictures)
        read = {"--vgg19": options.vgg19, "--squeezenet": options.squeezenet}
        weights = {option: Path(name) for option, name in read.items() if name}
        verdicts.check_output(cases, options.output, options.plot, weights, options.force)
        available, left_out = judges.load(options.squeezenet, options.vgg19)
        for line in left_out:
            print(commands.as_called(line), file=sys.stderr)
        print(f"{'':{_NAME}}" + "".join(f"{judge.name:>32}" for judge in available) + f"{'clipped':>20} {'chroma':>8}")
        distances = f"{'style':>11} {'(photo)':>9} {'content':>10}" * len(available)
        print(f"{'':{_NAME}}" + distances + f"{'':8} {'(painting)':>11} {'noise':>8}{'steps':>8} {'s':>8}")
        judged = []
        for verdict in verdicts.judge_cases(cases, options.size, options.assignments, available, options.output):
            judged.append(verdict)
            print(_row(verdict), flush=True)
        for judge in available if options.layers else ():
            print(f"\n{f'style by {judge.name}':{_NAME}}" + "".join(f"{layer:>15}" for layer in judge.style_layers))
            for verdict in judged:
                by = verdict.by[judge.name]
                pairs = zip(by.style_layers.values(), by.untouched_layers.values())
                print(_name(verdict) + "".join(f"{style:7.3f} ({photo:.3f})" for style, photo in pairs))
        if options.plot:
            verdicts.plot(options.plot, judged)
        return 0

    return guarded(print_verdicts)


def _row(verdict: Verdict) -> str:
    cells = (f"{d.style:11.3f} {f'({d.untouched:.3f})':>9} {d.content:10.3f}" for d in verdict.by.values())
    flaws = verdict.flaws
    clipped = f"{flaws.clipped:8.1%} {f'({flaws.clipped_of_painting:.1%})':>11} {flaws.chroma_noise:8.2f}"
    return _name(verdict) + "".join(cells) + clipped + f"{verdict.steps:8d} {verdict.seconds:8.1f}"


def _name(verdict: Verdict) -> str:
    return f"{verdict.case.name[:_NAME]:{_NAME}}"
