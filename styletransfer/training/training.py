"""One training: a config becomes an output folder with a style file.

The folder has the files of the making of one picture, with the same names: ``image.png`` is the last preview, and shows
that the training is finished; ``steps/`` has those before; besides, there is the style file, ``style.npz``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import feedforward
from models.runtime import Array, load_mxnet
from styletransfer import config as configs
from styletransfer import weights
from styletransfer.config import StyleTraining, find_input
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.feedforward import style_file
from styletransfer.feedforward.stylize import Stylizer
from styletransfer.losses import total_variation
from styletransfer.losses.objective import GroupedLayer
from styletransfer.network.device import context_of
from styletransfer.network.executor import Backbone, parameters_for
from styletransfer.optimization import optimizers
from styletransfer.optimization.divergence_guard import Guard
from styletransfer.optimization.loop import Record, StoppingRule, optimize
from styletransfer.pictures import images, marks, pixels
from styletransfer.pictures.images import Picture
from styletransfer.session import checkpoints, interrupts, output_folder
from styletransfer.session.picture_sizes import check_size
from styletransfer.session.provenance import provenance_of
from styletransfer.session.recorders import CurveRecorder, Recorder, progress
from styletransfer.session.resolve import loss_weights_of, precision_of
from styletransfer.session.resume_state import ResumeState
from styletransfer.support.errors import Diverged, Interrupted, UserError, reason_of
from styletransfer.support.files import atomic_write, hashed, remove
from styletransfer.support.optional import optional
from styletransfer.training import photographs
from styletransfer.training.network import TrainableTransformer, parameters_of, vector_of
from styletransfer.training.objective import BatchObjective
from styletransfer.training.stability import StabilityLoss

LOGGER = logging.getLogger(__name__)
STYLE = "style.npz"


def comparable(config: StyleTraining) -> dict[str, Any]:
    """What must not change between a training and its resumption: all but when it ends and what it writes."""
    return config.model_dump(mode="json", exclude={"provenance", "output", "steps", "name", "licence"})


def run(
    config: StyleTraining, force: bool = False, resume: bool = False, read: Mapping[str, Path] | None = None
) -> Path:
    """Train the network of a config.

    Parameters
    ----------
    config : StyleTraining
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to resume from the checkpoint in the output folder.
    read : dict of Path
        Files that were read for the config, by the options that name them; they are not overwritten.

    Returns
    -------
    Path
        The style file.

    Raises
    ------
    UserError
        If something the config names cannot be used; nothing has been written then.
    Diverged
        If the training left its course and could not be brought back; the best style has been written.
    Interrupted
        If SIGINT, SIGTERM or SIGUSR2 came; a checkpoint has been written, or nothing yet.
    """
    stopped: list[int] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(interrupts.collected(interrupts.COMMAND, stopped))
        folder = Path(config.output.folder).expanduser()
        output_folder.check_inputs(folder, read or {}, [STYLE])
        output_folder.check(folder, force, resume, [STYLE])
        inputs = _Inputs(config)
        output_folder.check_inputs(folder, inputs.all_files(), [STYLE])
        context_of(config.device)
        precision = precision_of(config)
        checksums = inputs.checksums()
        taken = output_folder.taken(folder, force, resume)
        state = None
        if resume:
            stack.enter_context(taken)
            state = ResumeState.from_arrays(checkpoints.read(folder, comparable(config), checksums))
            precision = precision_of(config, state)
        training = _Training(config, inputs, precision, state)
        stack.callback(training.close)
        curve = CurveRecorder(folder, training.grouped_layers)
        if state is not None:
            training.elapsed = curve.resume(state.step)["seconds"]
        if stopped:
            raise Interrupted("interrupted before the first step, nothing was written: run the same command again")
        if not resume:  # all input is valid: now the folder may be created
            stack.enter_context(taken)
            remove(folder / STYLE)
        output_folder.clear(folder, keep=resume)
        LOGGER.info("%s, %d parameters, %s, into %s", config.transformer.title, training.values.size, precision, folder)
        if resume:
            LOGGER.info("going on after step %d", training.step)
        output = _Output(folder, config, training, checksums)
        output.write_config()
        return _optimize(config, training, curve, output, stopped)


class _Inputs:
    """The files that go into a training, read."""

    def __init__(self, config: StyleTraining) -> None:
        self._config = config
        self.photographs = photographs.files_of(config.photographs.sources)
        self.styles = {name: find_input(name) for name in (config.style.images or {})}
        self.weights = find_input(config.weights) if config.weights else config.spec.weights_path
        for name, path in self.styles.items():
            if not path.is_file():
                raise UserError(f"style.images: picture {name}: no such file")
        named = {f"style.images {name}": path for name, path in self.styles.items()}
        self.start: style_file.Style | None = None
        if config.start is not None:
            named["start"] = style_file.find(config.start)
            self.start = style_file.read(named["start"])
            if self.start.spec.name != config.network:
                raise UserError(
                    f"start: {config.start} is a style of the network {self.start.spec.name}; expected one of "
                    f"{config.network}, or network: {self.start.spec.name}"
                )
        self.files = {**named, "weights": self.weights, "output.preview": find_input(config.output.preview)}
        self.preview = _resized(images.read(self.files["output.preview"]), config.output.preview_size)
        self.parameters = weights.load(config.spec, self.weights if config.weights else None)

    def all_files(self) -> dict[str, Path]:
        """Those that the config names, and the photographs."""
        return {**self.files, **{f"photographs.sources: {path}": path for path in self.photographs}}

    def checksums(self) -> dict[str, str]:
        """Those of the files on which the result depends, by the config key that names them."""
        found = {key: hashed(path, hashlib.sha256()) for key, path in self.files.items() if key != "output.preview"}
        return {**found, "photographs.sources": photographs.checksum(self.photographs)}

    def style_pictures(self) -> list[tuple[float, Picture]]:
        """The style pictures at the size at which they are learned, with weights that sum to 1.

        Raises
        ------
        UserError
            If one of them cannot be read, or is too small for a style layer.
        """
        config, found = self._config, []
        shares = config.style.images or {}
        whole = sum(shares.values())
        for name, share in shares.items():
            picture = _resized(images.read(self.styles[name]), config.style.size)
            height, width = picture.shape[:2]
            check_size(config.spec, list(config.style.layers or {}), height, width, f"style.images: picture {name}")
            found.append((share / whole, picture))
        return found


def _resized(picture: Picture, long_edge: int) -> Picture:
    return images.resize(picture, *images.fit(picture.shape[0], picture.shape[1], long_edge))


def settings(config: StyleTraining) -> dict[str, Any]:
    """What decides about a finished style: all but where it goes, and what else is written."""
    return config.model_dump(mode="json", exclude={"provenance", "output"})


def check_inputs(config: StyleTraining) -> None:
    """See that the files of a training can be used.

    Raises
    ------
    UserError
        If one of them cannot.
    """
    _Inputs(config)


def checksums(config: StyleTraining) -> dict[str, str]:
    """The sha256 of the files on which a style depends, by the config key that names them.

    Raises
    ------
    UserError
        If one of them cannot be used.
    """
    return _Inputs(config).checksums()


class _Training:
    """The state of a training, and its steps.

    Attributes
    ----------
    values : array (number of parameters,)
        The parameters of the network.
    step : int
        Steps made so far.
    elapsed : float
        Seconds that these took in earlier runs.
    """

    def __init__(self, config: StyleTraining, inputs: _Inputs, precision: str, state: ResumeState | None) -> None:
        mx, context = load_mxnet(), context_of(config.device)
        self._config, self._precision = config, precision
        self.spec = spec = config.transformer
        self.step, self.elapsed = 0 if state is None else state.step, 0.0
        self.photographs = len(inputs.photographs)
        side = config.photographs.crop
        self._crops = photographs.Crops(inputs.photographs, side, config.photographs.batch, config.seed, spec.pixels)
        backbone = Backbone(
            config.model,
            config.pooling or config.spec.pooling,
            parameters_for(config.model, inputs.parameters, spec.pixels),
            context,
            None,
            precision,
        )
        tv = None
        if config.tv.used_kind != "none":
            tv = total_variation.KINDS[config.tv.used_kind]((1, 3, side, side), context)
        styles = [
            (share, mx.nd.array(pixels.from_picture(style, spec.pixels), ctx=context))
            for share, style in inputs.style_pictures()
        ]

        def network() -> TrainableTransformer:
            return TrainableTransformer(spec, side, side, context, precision)

        stability = StabilityLoss(network(), config.stability, config.seed) if config.stability.weight else None
        self._objective = BatchObjective(
            network(),
            backbone,
            styles,
            NORMALIZATIONS[config.normalization],
            loss_weights_of(config),
            tv,
            self._crops,
            0 if state is None else state.generator["batch"],
            stability,
        )
        if inputs.start is None:
            initial = feedforward.initial_parameters(spec, np.random.default_rng(config.seed))
        else:
            initial = inputs.start.parameters
        self.values: Array = vector_of({name: mx.nd.array(initial[name], ctx=context) for name in spec.parameters})
        self._optimizer = optimizers.create(config.optimizer.settings, self.values, spec.pixels)
        if state is not None:
            self.values[:] = state.image
            self._optimizer.restore(state.optimizer)
        self._guard = Guard(None if state is None else state.guard)
        self._resumed = state is not None
        self._state: ResumeState | None = None

    @property
    def grouped_layers(self) -> list[GroupedLayer]:
        return self._objective.grouped_layers

    def records(self) -> Any:
        """All steps; those of :func:`~styletransfer.optimization.loop.optimize`."""
        for record in optimize(
            self.values,
            self._objective,
            self._optimizer,
            StoppingRule(self._config.steps),
            after=self.step if self._resumed else None,
            elapsed=self.elapsed,
            guard=self._guard,
        ):
            self.step = record.step
            self._state = self._current_state()
            yield record

    def parameters(self) -> dict[str, NDArray[np.float32]]:
        """Those of the network, by name."""
        return parameters_of(self.spec, self.values.asnumpy())

    def state(self) -> ResumeState | None:
        """All that is needed to resume after the last record: the last batch is evaluated again first.

        It does not change while the next step is made, so that it can be saved if that fails. None before step 0.
        """
        return self._state

    def _current_state(self) -> ResumeState:
        return ResumeState(
            self._precision,
            step=self.step,
            image=self.values.asnumpy(),
            generator={"batch": self._objective.next_batch - 1},
            optimizer=self._optimizer.state(),
            guard=self._guard.state(),
        )

    def stylise(self, picture: Picture, name: str) -> Picture:
        """A picture in the style as it is."""
        style = style_file.Style(self.spec, self.parameters(), {"name": name})
        return Stylizer(style, self.values.context, self._precision)(picture)

    def close(self) -> None:
        self._crops.close()


class _Output:
    """What a training writes into its folder."""

    def __init__(self, folder: Path, config: StyleTraining, training: _Training, checksums: Mapping[str, str]) -> None:
        self._folder, self._config, self._training, self._checksums = folder, config, training, checksums
        self._preview = _resized(images.read(find_input(config.output.preview)), config.output.preview_size)

    def write_config(self) -> None:
        """Write the config with its provenance."""
        with atomic_write(self._folder / output_folder.CONFIG) as stream:
            stream.write(configs.dump(self._config, provenance_of(self._config, self._checksums)).encode())
        output_folder.write_status(self._folder, output_folder.UNFINISHED)

    @property
    def _weights(self) -> str:
        return Path(self._config.weights or self._config.spec.weights_path).name

    def save(self, curve: CurveRecorder) -> None:
        """Save curve, state and style file."""
        state = self._training.state()
        assert state is not None, "before step 0"
        curve.flush()
        checkpoints.save(self._folder, state.arrays(), comparable(self._config), self._checksums)
        self.write_style()

    def rescue(self, curve: CurveRecorder) -> None:
        """Save what there is after an error, about which more is not to be said than about the error itself."""
        if self._training.state() is None:
            return
        try:
            self.save(curve)
        except Exception as error:
            LOGGER.warning("the state of step %d could not be saved: %s", self._training.step, reason_of(error))
        else:
            LOGGER.info("state of step %d saved: run again with --resume", self._training.step)

    def write_style(self) -> Path:
        """Write the style as it is."""
        config, path = self._config, self._folder / STYLE
        record = {
            "name": config.name,
            "paintings": {
                Path(name).name: self._checksums[f"style.images {name}"] for name in (config.style.images or {})
            },
            "licence": config.licence,
            "steps": self._training.step,
            "loss network": {"name": config.model, "file": self._weights, "sha256": self._checksums["weights"]},
            "photographs": {"number": self._training.photographs, "sha256": self._checksums["photographs.sources"]},
            **({"start": self._checksums["start"]} if config.start else {}),
            "training": config.model_dump(mode="json", exclude={"provenance", "output", "name", "licence"}),
        }
        style_file.write(path, style_file.Style(self._training.spec, self._training.parameters(), record))
        return path

    def write_preview(self, path: Path) -> None:
        """Write the preview photograph in the style as it is."""
        images.write(path, self._training.stylise(self._preview, self._config.name), mark=marks.RESULT)

    def finish(self, diverged: bool = False) -> Path:
        """Write the style, how the training ended, and then the last preview."""
        path = self.write_style()
        output_folder.write_status(self._folder, output_folder.DIVERGED if diverged else output_folder.DONE)
        picture = output_folder.picture_of(self._folder, "png")
        with optional(picture):
            self.write_preview(picture)
        return path


class _PreviewRecorder:
    """Writes ``steps/000500.jpg`` and the like."""

    def __init__(self, folder: Path, every: int, output: _Output) -> None:
        self._folder, self._every, self._output = folder, every, output

    def record(self, record: Record) -> None:
        if self._every and record.step and record.step % self._every == 0:
            path = self._folder / f"{record.step:06d}.jpg"
            with optional(path):
                self._folder.mkdir(exist_ok=True)
                self._output.write_preview(path)

    def close(self) -> None:
        pass


def _optimize(
    config: StyleTraining, training: _Training, curve: CurveRecorder, output: _Output, stopped: list[int]
) -> Path:
    """Make all steps, recording and saving on the way, and write the style."""
    folder, every = Path(config.output.folder).expanduser(), config.output.checkpoint_every
    recorders: list[Recorder] = [
        curve,
        _PreviewRecorder(folder / output_folder.STEPS, config.output.save_every, output),
        progress(config.steps, training.step),
    ]
    try:
        with contextlib.ExitStack() as stack:
            for recorder in recorders:
                stack.callback(recorder.close)
            for record in stack.enter_context(contextlib.closing(training.records())):
                for recorder in recorders:
                    recorder.record(record)
                if record.diverged:  # it cannot be resumed
                    continue
                if record.rollback:
                    LOGGER.info("%s", record.rollback)
                last = record.step == config.steps
                if stopped or last or (every and record.step and record.step % every == 0):
                    output.save(curve)
                if stopped and not last:
                    raise Interrupted(f"interrupted at step {record.step}, state saved: run again with --resume")
    except Diverged:
        output.finish(diverged=True)
        raise
    except Interrupted:
        raise
    except Exception:
        output.rescue(curve)
        raise
    return output.finish()
