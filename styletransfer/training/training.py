"""The task of training a network for one style: its result is the style file.

Its session writes the files of the making of one picture, with the same names: ``image.png`` is the last preview, and
shows that the training is finished; ``steps/`` has those before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import feedforward
from styletransfer import weights
from styletransfer.config import StyleTraining, find_input
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.engines import Array, choose
from styletransfer.feedforward import style_file
from styletransfer.feedforward.style_file import Style
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.losses import total_variation
from styletransfer.optimization import optimizers
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.loop import Record, StoppingRule, optimize
from styletransfer.pictures import images, marks, pixels
from styletransfer.pictures.images import Picture
from styletransfer.session.picture_sizes import check_size
from styletransfer.session.resolve import choose_again, loss_weights_of
from styletransfer.session.resume_state import ResumeState
from styletransfer.session.task import Checksum, Task, checksum
from styletransfer.support.errors import UserError
from styletransfer.support.optional import optional
from styletransfer.training import memory, photographs
from styletransfer.training.network import TrainableTransformer, parameters_of
from styletransfer.training.objective import BatchObjective
from styletransfer.training.stability import GROUPED_LAYER, StabilityLoss

STYLE = "style.npz"
_KEPT_EVERY = 10  # steps: a failed step costs no more than these


class StyleTask(Task):
    """The training of one style."""

    config: StyleTraining
    outputs = (STYLE,)
    extended_by = ("steps", "name", "licence")
    resuming = "going on"

    def __init__(self, config: StyleTraining) -> None:
        super().__init__(config)
        self.display, self.steps, self.spec = self, config.steps, config.transformer
        groups = {"content": config.used_content_layers, "style": config.used_style_layers}
        self.layers = [(group, layer) for group, layers in groups.items() for layer in layers]
        self.layers += [GROUPED_LAYER] if config.stability.weight else []
        self._crops: photographs.Crops | None = None
        self._kept: ResumeState | None = None
        self._step = 0

    @property
    def finished_settings(self) -> dict[str, Any]:
        return self.config.model_dump(mode="json", exclude={"provenance", "output"})

    def _style_files(self) -> dict[str, Path]:
        """The files on which the style depends, except the photographs."""
        named = {f"style.images {name}": find_input(name) for name in (self.config.style.images or {})}
        if self.config.start is not None:
            named["start"] = style_file.find(self.config.start)
        return {**named, "weights": self.weights_file}

    def files(self) -> dict[str, Path]:
        crops = {f"photographs.sources: {path}": path for path in photographs.files_of(self.config.photographs.sources)}
        return {**self._style_files(), "output.preview": find_input(self.config.output.preview), **crops}

    def checksums(self, checksum: Checksum = checksum) -> dict[str, str]:
        sums = {key: checksum(path) for key, path in self._style_files().items()}
        files = photographs.files_of(self.config.photographs.sources)
        return {**sums, "photographs.sources": photographs.checksum(files)}

    def peak_memory(self, smallest: bool = False) -> int | None:
        return memory.peak(self.config)

    def inspect(self) -> None:
        config, self._files = self.config, photographs.files_of(self.config.photographs.sources)
        for name in config.style.images or {}:
            if not find_input(name).is_file():
                raise UserError(f"style.images: picture {name}: no such file")
        self._start: Style | None = None
        if config.start is not None:
            self._start = style_file.read(style_file.find(config.start))
            if self._start.spec.name != config.network:
                raise UserError(
                    f"start: {config.start} is a style of the network {self._start.spec.name}; expected one of "
                    f"{config.network}, or network: {self._start.spec.name}"
                )
        self._preview = images.resize_to(images.read(find_input(config.output.preview)), config.output.preview_size)
        self._parameters = weights.load(config.spec, self.weights_file if config.weights else None)

    def resolve(self, state: ResumeState | None) -> None:
        config = self.config
        if state is None:
            self.choice = choose(config.engine, config.device, config.precision)
        else:
            self.choice = choose_again(state, config.device)

    def _style_pictures(self) -> list[tuple[float, Picture]]:
        """The style pictures at the size at which they are learned, with weights that sum to 1."""
        config, pictures = self.config, []
        shares = config.style.images or {}
        for name, share in shares.items():
            picture = images.resize_to(images.read(find_input(name)), config.style.size)
            height, width = picture.shape[:2]
            check_size(config.spec, list(config.used_style_layers), height, width, f"style.images: picture {name}")
            pictures.append((share / sum(shares.values()), picture))
        return pictures

    def read(self, state: ResumeState | None) -> None:
        """Bind the objective too, which reads the first photographs."""
        config, spec, engine, precision = self.config, self.spec, self.choice.load(), self.choice.precision
        side, tv = config.photographs.crop, None
        self._crops = photographs.Crops(self._files, side, config.photographs.batch, config.seed, spec.pixels)
        parameters = weights.parameters_for(config.spec, self._parameters, spec.pixels)
        loss_network = engine.network(config.spec, parameters, config.pooling or config.spec.pooling, precision)
        if config.tv.used_kind != "none":
            tv = total_variation.KINDS[config.tv.used_kind](engine)
        styles = [
            (share, engine.array(pixels.from_picture(style, spec.pixels))) for share, style in self._style_pictures()
        ]

        def network() -> TrainableTransformer:
            return TrainableTransformer(engine, spec, side, side, precision)

        stability = StabilityLoss(engine, network(), config.stability, config.seed) if config.stability.weight else None
        self._objective = BatchObjective(
            network(),
            loss_network,
            styles,
            NORMALIZATIONS[config.normalization],
            loss_weights_of(config),
            tv,
            self._crops,
            0 if state is None else state.generator["batch"],
            stability,
        )

    def lines(self) -> list[str]:
        number = sum(math.prod(shape) for shape in self.spec.parameters.values())
        return [f"{self.spec.title}, {number} parameters"]

    def bind(self, state: ResumeState | None, elapsed: float, last_change: float) -> None:
        config, engine = self.config, self.choice.load()
        if self._start is None:
            initial = feedforward.initial_parameters(self.spec, np.random.default_rng(config.seed))
        else:
            initial = self._start.parameters
        self._values: Array = engine.flat(engine.array(initial[name]) for name in self.spec.parameters)
        self._optimizer = optimizers.create(config.optimizer.settings, engine, self._values, self.spec.pixels)
        if state is not None:
            engine.assign(self._values, state.image)
            self._optimizer.restore(state.optimizer)
            self._step = state.step
        self._guard = Guard(engine, None if state is None else state.guard)
        self._after, self._elapsed = None if state is None else state.step, elapsed

    def records(self) -> Generator[Record, None, None]:
        for record in optimize(
            self.choice.load(),
            self._values,
            self._objective,
            self._optimizer,
            StoppingRule(self.steps),
            after=self._after,
            elapsed=self._elapsed,
            guard=self._guard,
        ):
            self._step = record.step
            if record.step % _KEPT_EVERY == 0:
                self._kept = self.state()
            yield record

    def state(self) -> ResumeState:
        """The state after the last record; the last batch is evaluated again first."""
        return ResumeState(
            self.choice.engine,
            self.choice.precision,
            step=self._step,
            image=self.values(),
            generator={"batch": self._objective.next_batch - 1},
            optimizer=self._optimizer.state(),
            guard=self._guard.state(),
        )

    def values(self) -> NDArray[np.float32]:
        return self.choice.load().numpy(self._values)

    @property
    def is_extendable(self) -> bool:
        return True

    @property
    def kept_state(self) -> ResumeState | None:
        return self._kept

    def write(self, folder: Path, checksums: Mapping[str, str], state: ResumeState | None = None) -> None:
        step, values = (self._step, self.values()) if state is None else (state.step, state.image)
        config = self.config
        paintings = {Path(name).name: checksums[f"style.images {name}"] for name in (config.style.images or {})}
        record = {
            "name": config.name,
            "paintings": paintings,
            "licence": config.licence,
            "steps": step,
            "loss network": {"name": config.model, "file": self.weights_file.name, "sha256": checksums["weights"]},
            "photographs": {"number": len(self._files), "sha256": checksums["photographs.sources"]},
            **({"start": checksums["start"]} if config.start else {}),
            "training": config.model_dump(mode="json", exclude={"provenance", "output", "name", "licence"}),
        }
        style_file.write(folder / STYLE, Style(self.spec, parameters_of(self.spec, values), record))

    def picture(self, image: NDArray) -> Picture:
        """The preview photograph in the style of parameters of the network, a vector."""
        style = Style(self.spec, parameters_of(self.spec, image), {"name": self.config.name})
        return Stylizer(style, self.choice.load(), self.choice.precision)(self._preview)

    def write_picture(self, path: Path, provenance: Callable[[], dict[str, Any]]) -> None:
        with optional(path):
            images.write(path, self.picture(self.values()), mark=marks.RESULT)

    def release(self) -> None:
        if self._crops is not None:
            self._crops.close()
