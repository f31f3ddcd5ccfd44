"""Train the bundled network vgg_slim to predict what VGG-19 sees, and write its weights.

Its projections learn the leading principal components of VGG-19's layers. `models/weights/vgg_slim.md` documents the
training. It can be stopped at any time, and resumes when started again. It needs PyTorch (requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs (JPEG)")
    parser.add_argument("--paintings", type=Path, nargs="*", default=[], help="folders of paintings, or single files")
    parser.add_argument("--leave-out", nargs="*", default=[], help="names of files to leave out of the training")
    parser.add_argument("--vgg19", type=Path, required=True, help="VGG-19's weights, in any format")
    parser.add_argument("--start", type=Path, required=True, help="weights to start from, of the same or fewer filters")
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint and the curve")
    parser.add_argument("--steps", type=int, default=12000, help="total number of training steps")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="initial rate of Adam; decays as a cosine")
    parser.add_argument("--gram-weight", type=float, default=1.0, help="weight of Gram matrices relative to features")
    parser.add_argument("--made", type=int, default=6, help="pictures made with the student each time; 0: none")
    parser.add_argument("--made-every", type=int, default=300, help="steps between these pictures")
    parser.add_argument("--transfers", type=int, default=48, help="transfers in progress to train on; 0: none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)

    from research.distillation import training

    training.run(training.Settings(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
