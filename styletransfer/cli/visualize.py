"""Show what a filter of a network responds to: the patches of pictures that excite it most, and what in them does."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Show what a filter of a network responds to.")
    parser.add_argument("model", metavar="MODEL", help="the network, such as vgg_slim")
    parser.add_argument("layer", metavar="LAYER", help="a ReLU or pooling of it, such as relu3_1")
    parser.add_argument("channel", metavar="CHANNEL", type=int, help="which of the layer's filters, from 0")
    parser.add_argument(
        "--pictures", metavar="FILE", nargs="+", type=Path, help="where to look (default: the project's input/)"
    )
    parser.add_argument("--patches", type=int, default=9, help="how many at most (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=256, help="long edge of the pictures as they are seen (default: %(default)s)"
    )
    parser.add_argument("--weights", metavar="FILE", type=Path, help="(default: the network's own)")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="(default: output/visualize/MODEL_LAYER_CHANNEL.png)"
    )
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.support import commands

    def visualize() -> int:
        from styletransfer.studies import visualization

        output, patches = visualization.visualize(
            options.model,
            options.layer,
            options.channel,
            options.pictures,
            options.output,
            options.size,
            options.patches,
            options.weights,
        )
        strongest = f"the strongest activation is {patches[0].activation:.4g}"
        print(f"{output}: {len(patches)} {'patch' if len(patches) == 1 else 'patches'}; {strongest}")
        return 0

    return commands.guarded(visualize)
