"""The measured peak memory of real runs, next to the estimates of styletransfer.session.memory.

``python tests/peak_memory.py`` prints the table from which its coefficients were taken, one run after another.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import models
from styletransfer import config as configs
from styletransfer import weights
from styletransfer.bench import machine
from styletransfer.config import Config
from styletransfer.engines import choose
from styletransfer.pictures import images
from styletransfer.session import memory, session
from styletransfer.session.picture import PictureTask

_MB = 10**6


@dataclasses.dataclass(frozen=True)
class Case:
    """A run of two steps with random weights and pictures; the styles have the same long edge.

    `settings` are config keys and values as for ``--set``. With `regions`, each has a mask and all styles.
    """

    model: str
    height: int
    width: int
    styles: tuple[tuple[int, int], ...] = ((256, 256),)
    tile: int | None = None
    settings: tuple[str, ...] = ()
    regions: int = 0

    def config(self, folder: Path) -> Config:
        """Its config, for pictures in `folder`."""
        styles = [str(folder / f"style{number}.png") for number in range(len(self.styles))]
        values = {
            "model": self.model,
            "weights": str(folder / "random.params"),
            "content": {"image": str(folder / "content.png")},
            "style": {"images": None if self.regions else styles, "size": max(self.styles[0])},
            "regions": [
                {"content": str(folder / f"mask{number}.png"), "style": styles} for number in range(self.regions)
            ]
            or None,
            "shape": [self.height, self.width],
            "tile": self.tile or "off",
            "precision": "float32",
            "optimizer": {"name": "sgd"},
            "stop": {"max_iterations": 2},
            "output": {"folder": str(folder / "output")},
        }
        return configs.parse(configs.override(values, self.settings), str(self))

    def run(self) -> memory.Workload:
        """The workload of the run, for the estimate."""
        config = self.config(Path())
        return memory.Workload(
            spec=config.spec,
            style_layers=tuple(config.style.layers or ()),
            content_layers=tuple(config.content.layers or ()),
            height=self.height,
            width=self.width,
            styles=self.styles,
            optimizer=config.optimizer,
            tv=config.tv.kind,
            factors=choose(config.engine, config.device, config.precision).memory_factors,
            tile=self.tile,
            regions=self.regions,
        )


_FEW_LAYERS = ("style.layers={relu1_1: 1}", "content.layers={pool2: 1}")
_SAVED = "output.checkpoint_every=12"  # once the optimiser's history is full
CASES = (
    Case("vgg_slim", 256, 256),
    Case("vgg_slim", 512, 512, ((512, 512),)),
    Case("vgg_slim", 1024, 1024, ((512, 400), (512, 512))),
    Case("vgg_slim", 256, 384, ((1024, 1024),)),
    Case("vgg_slim", 1024, 1024, tile=256),
    Case("vgg_slim", 1024, 1024, ((1024, 1024),), tile=512),
    Case("vgg_slim", 1024, 768, settings=("optimizer={name: lbfgsb, evaluations: 2}",)),
    Case("vgg_slim", 1024, 768, settings=("optimizer={name: lbfgs}", "stop.max_iterations=14", _SAVED)),
    Case("vgg_slim", 1024, 1024, tile=320, settings=("optimizer={name: lbfgs}", "stop.max_iterations=14", _SAVED)),
    Case("vgg_slim", 768, 768, settings=("optimizer.name=adam", "tv.kind=power")),
    Case("vgg_slim", 768, 768, settings=("optimizer.name=accept_reject", "tv.kind=squared")),
    Case("vgg_slim", 768, 768, settings=("style.layers={relu4_1: 1}",)),
    Case("vgg_slim", 512, 512, settings=("style.layers={relu1_1: 1, relu1_2: 1}", "content.layers={relu1_2: 1}")),
    Case("squeezenet", 512, 512),
    Case("squeezenet", 768, 1024, ((512, 512),)),
    Case("squeezenet", 1024, 1024, ((512, 512),), tile=400),
    Case("vgg19_small", 384, 512),
    Case("vgg19", 256, 256),
    Case("vgg19", 512, 512),
    Case("vgg19", 256, 256, ((512, 512),)),
    Case("vgg19", 512, 768, settings=("optimizer={name: lbfgs}", "stop.max_iterations=14", _SAVED)),
    Case("vgg19", 512, 512, settings=("precision=bfloat16",)),
    Case("vgg19", 768, 768, tile=320),
    Case("vgg_slim", 512, 512, settings=("precision=bfloat16",)),
    Case("vgg_slim", 1024, 1024, settings=("precision=bfloat16",)),
    Case("vgg_slim", 768, 768, settings=("scales=3",)),
    Case("vgg_slim", 1024, 1024, regions=1),
    Case("vgg_slim", 1024, 1024, regions=2),
    Case("vgg_slim", 1024, 1024, regions=4),
    Case("vgg_slim", 1024, 1024, tile=320, regions=2),
    Case("vgg_slim", 1024, 1024, regions=2, settings=("precision=bfloat16",)),
    Case("vgg_slim", 512, 512, settings=("style.layers={relu1_1: 1, relu1_2: 1}",), regions=3),
    Case("vgg19", 512, 512, regions=2),
    Case("vgg19", 768, 768, tile=320, regions=3),
    *(
        Case("vgg_slim", 2048, 2048, tile=512, settings=(*_FEW_LAYERS, *settings))
        for settings in (
            ("tv.kind=none",),
            ("tv.kind=laplacian",),
            ("tv.kind=squared",),
            ("tv.kind=power",),
            ("tv.kind=none", "optimizer.name=adam"),
            ("tv.kind=none", "optimizer.name=accept_reject"),
            ("tv.kind=none", "optimizer={name: lbfgs}"),
            ("tv.kind=none", "optimizer={name: lbfgs}", "stop.max_iterations=14", _SAVED),
            ("tv.kind=none", "optimizer={name: lbfgsb, evaluations: 2}"),
            ("tv.kind=none", "optimizer={name: lbfgsb, evaluations: 9}", "stop.max_iterations=9"),
        )
    ),
)


def measure(case: Case) -> int:
    """The peak resident memory, in bytes, of a process for this run only."""
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        for number, (height, width) in enumerate(case.styles):
            images.write(Path(folder, f"style{number}.png"), generator.random((height, width, 3)))
        images.write(Path(folder, "content.png"), generator.random((case.height, case.width, 3)))
        bands = np.arange(case.width) * case.regions // case.width
        for number in range(case.regions):
            mask = np.broadcast_to((bands == number)[None, :, None], (case.height, case.width, 3))
            images.write(Path(folder, f"mask{number}.png"), mask)
        weights.save(Path(folder, "random.params"), weights.random(models.load(case.model).SPEC, 0))
        command = [sys.executable, __file__, folder, json.dumps(dataclasses.asdict(case))]
        done = subprocess.run(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout.splitlines()[-1])


def _case(values: dict[str, Any]) -> Case:
    styles = tuple((height, width) for height, width in values.pop("styles"))
    return Case(**{**values, "styles": styles, "settings": tuple(values["settings"])})


def main(arguments: Sequence[str]) -> None:
    """Measure the case given by the arguments in this process; without arguments, print the table of all cases."""
    if arguments:
        folder, case = arguments
        session.run(PictureTask(_case(json.loads(case)).config(Path(folder))))
        print(int(machine.peak_megabytes() * 2**20))
        return
    for case in CASES:
        predicted, measured = memory.predict(case.run()), measure(case)
        note = " ".join([f"{case.model} {case.width} x {case.height}, style {case.styles}", *case.settings])
        note += f", tile {case.tile}" if case.tile else ""
        note += f", {case.regions} regions" if case.regions else ""
        print(
            f"{measured // _MB:6} MB, predicted {predicted // _MB:6}, {predicted / measured - 1:+.0%}: {note}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
