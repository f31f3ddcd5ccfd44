"""Train the bundled network vgg_slim to predict what VGG-19 sees, and write its weights.

Its projections learn the leading principal components of VGG-19's layers: those of VGG-19 itself as far as conv3_4, and
deeper ones as estimated by vgg19_16x. `models/weights/vgg_slim.md` documents the training. It can be stopped at any
time, and resumes when started again.
"""

from __future__ import annotations

import argparse

from styletransfer.cli.options import Parser, file_path
import zipfile
from pathlib import Path


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(prog=program, description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=file_path, required=True, help="folder of photographs (JPEG)")
    parser.add_argument(
        "--paintings", type=file_path, nargs="*", default=[], help="folders of paintings, or single files"
    )
    parser.add_argument("--leave-out", nargs="*", default=[], help="names of files to leave out of the training")
    parser.add_argument("--vgg19", type=file_path, required=True, help="VGG-19's first eight convolutions (.npz)")
    parser.add_argument(
        "--vgg19-16x",
        type=file_path,
        required=True,
        help="vgg19_16x with its read-outs: the published file, or the fetched .params",
    )
    parser.add_argument("--work", type=file_path, required=True, help="folder for the checkpoint and the curve")
    parser.add_argument("--steps", type=int, default=15000, help="total number of training steps")
    parser.add_argument("--batch", type=int, default=2, help="crops per step")
    parser.add_argument("--crop", type=int, default=192, help="side of a crop in pixels, a multiple of 16")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="initial rate of Adam; decays as a cosine")
    parser.add_argument(
        "--gram-weight",
        type=float,
        default=0.5,
        help="weight of Gram matrices relative to features",
    )
    parser.add_argument("--made", type=int, default=16, help="pictures made with the student each time; 0: none")
    parser.add_argument("--made-every", type=int, default=1000, help="steps between these pictures")
    parser.add_argument(
        "--revive-at", type=int, nargs="*", default=[], help="steps at which to reinitialize dead filters"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.support import commands, overwriting

    def distill() -> int:
        from styletransfer.studies.distillation import training

        written = [options.work / name for name in ("checkpoint.npz", "vgg_slim.params", "curve.csv")]
        read = {"--vgg19": options.vgg19, "--vgg19-16x": options.vgg19_16x}
        hint = "name another folder for --work"
        overwriting.check(written, read, False, lambda path: _is_checkpoint(written[0]), hint)
        training.run(training.Settings(**vars(options)))
        return 0

    return commands.guarded(distill)


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is the state of such a training, and not, for example, that of a picture."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("value.") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
