"""Show what a filter of a network responds to: the patches of pictures that activate it most, and their gradients."""

from __future__ import annotations

import argparse

from styletransfer.cli.options import Parser, file_path


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(prog=program, description="Show what a filter of a network responds to.")
    parser.add_argument("model", metavar="MODEL", help="the network, such as vgg_slim")
    parser.add_argument("layer", metavar="LAYER", help="one of its ReLUs or poolings, such as relu3_1")
    parser.add_argument("channel", metavar="CHANNEL", type=int, help="number of the filter in the layer, from 0")
    parser.add_argument(
        "--pictures",
        metavar="FILE",
        nargs="+",
        type=file_path,
        help="pictures to search, or folders of them (default: those in the project's input/)",
    )
    parser.add_argument("--patches", type=int, default=9, help="largest number of patches (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=256, help="long edge to which the pictures are resized (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", metavar="FILE", type=file_path, help="file of weights (default: the network's own)"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=file_path, help="the sheet (default: output/visualize/MODEL_LAYER_CHANNEL.png)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite a file that this command has not written")
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.cli.guard import guarded

    def visualize() -> int:
        from styletransfer.judging import visualization

        output, patches = visualization.visualize(
            options.model,
            options.layer,
            options.channel,
            options.pictures,
            options.output,
            options.size,
            options.patches,
            options.weights,
            options.force,
        )
        strongest = f"the strongest activation is {patches[0].activation:.4g}"
        print(f"{output}: {len(patches)} {'patch' if len(patches) == 1 else 'patches'}; {strongest}")
        return 0

    return guarded(visualize)
