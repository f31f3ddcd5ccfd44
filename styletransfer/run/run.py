"""One run: a config becomes an output folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import platform
import signal
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.pictures import images, pixels
from styletransfer.run import checkpoints, output_folder, pipeline, plan
from styletransfer.run.pyramid import Pyramid, as_begun, tiles_of
from styletransfer.run.recorders import CurveRecorder, PictureRecorder, ProgressRecorder, Recorder
from styletransfer.support.errors import Diverged, Interrupted
from styletransfer.support.files import atomic_write, hashed

LOGGER = logging.getLogger(__name__)
_PACKAGES = ("numpy", "scikit-image", "scipy", "pillow")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


def run(config: Config, force: bool = False, resume: bool = False) -> Path:
    """Make the picture that a config describes.

    Parameters
    ----------
    config : Config
    force : bool
        Whether a finished output folder may be overwritten.
    resume : bool
        Whether to go on from the checkpoint in the output folder.

    Returns
    -------
    Path
        The picture, ``image.png`` in the output folder.

    Raises
    ------
    UserError
        If something the config names cannot be used; nothing has been written then.
    Diverged
        If the optimisation left its course and could not be brought back; the best picture has been written.
    Interrupted
        If SIGINT, SIGTERM or SIGUSR2 came; a checkpoint has been written, or nothing yet.
    """
    with _signals() as stopped, contextlib.ExitStack() as stack:
        folder = Path(config.output.folder).expanduser()
        output_folder.check(folder, force, resume)
        output_folder.check_inputs(folder, _input_files(config))
        pipeline.context_of(config.device)
        sizes = pipeline.read_sizes(config)
        inputs = _checksums(config)
        curve = CurveRecorder(folder, pipeline.loss_names(config))
        begun, tiles, state, done, elapsed, last_change = config, None, None, 0, 0.0, math.nan
        taken = output_folder.taken(folder, force, resume)
        if resume:
            stack.enter_context(taken)
            state = checkpoints.read(folder, checkpoints.comparable(config), inputs)
            begun, tiles, done = as_begun(config, state), tiles_of(state), int(state["step"])
            last = curve.resume(done)
            elapsed, last_change = last["seconds"], last["relative_change"]
        stages = plan.stages(begun, sizes, tiles)  # before anything is read that may not fit into memory
        _end_before_the_first_step(stopped)
        levels = pipeline.read_pictures(config, sizes)
        parameters = pipeline.load_parameters(config)
        _end_before_the_first_step(stopped)
        if not resume:  # now that nothing is at fault, the folder may be made
            stack.enter_context(taken)
        output_folder.clear(folder, keep=resume)
        LOGGER.info("%s, into %s", config.spec.title, folder)
        for stage in stages:
            LOGGER.info("%s", stage.line())
        if resume:
            LOGGER.info("going on after step %d", done)
        pyramid = Pyramid(config, levels, parameters, [stage.tile for stage in stages], state, elapsed, last_change)
        _write_config(folder, config, inputs["weights"])
        recorders: list[Recorder] = [
            curve,
            PictureRecorder(
                folder / output_folder.STEPS, config.output.save_every, config.pixels, config.output.denoise
            ),
            ProgressRecorder(sum(pyramid.steps), done),
        ]
        return _optimize(config, folder, pyramid, curve, recorders, inputs, stopped)


def _optimize(
    config: Config,
    folder: Path,
    pyramid: Pyramid,
    curve: CurveRecorder,
    recorders: list[Recorder],
    inputs: Mapping[str, str],
    stopped: list[int],
) -> Path:
    """Make all steps, recording and saving on the way, and write the picture."""
    try:
        with contextlib.ExitStack() as stack:
            for recorder in recorders:
                stack.callback(recorder.close)
            for record in stack.enter_context(contextlib.closing(pyramid.records())):
                for recorder in recorders:
                    recorder.record(record)
                if record.diverged:  # there is nothing to go on with
                    continue
                if record.rollback:
                    LOGGER.info("%s", record.rollback)
                every = config.output.checkpoint_every
                if stopped or (every and record.step and record.step % every == 0):
                    curve.flush()
                    checkpoints.save(folder, pyramid.state(), checkpoints.comparable(config), inputs)
                if stopped:
                    raise Interrupted(
                        f"interrupted at step {record.step}, state saved: run again with --resume to go on"
                    )
    except Diverged:
        _write_config(folder, config, inputs["weights"], diverged=True)  # before the picture is there
        _write_picture(folder, pyramid.image.asnumpy(), config)  # the best
        raise
    return _write_picture(folder, pyramid.image.asnumpy(), config)


def _write_picture(folder: Path, image: Any, config: Config) -> Path:
    path = folder / output_folder.PICTURE
    images.write(path, images.denoise(pixels.to_picture(image, config.pixels), config.output.denoise))
    return path


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that ask a run to end in a list instead of acting on them; a second one acts at once."""
    received: list[int] = []
    before: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        received.append(number)
        for other, handler in before.items():
            signal.signal(other, handler)
        LOGGER.info("stopping as soon as possible; a second signal ends the run at once")

    for number in map(int, _SIGNALS):
        before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_before_the_first_step(stopped: list[int]) -> None:
    if stopped:
        raise Interrupted("interrupted before the first step, nothing was written: run the same command again")


def _input_files(config: Config) -> dict[str, Path]:
    """Every file that goes into a run, by the config key that names it; absent files are left out."""
    names = {
        "content.image": config.content.image,
        **{f"style.images {name}": name for name in (config.style.images or {})},
        "init.image": config.init.image,
        "weights": config.weights or str(config.spec.weights_path),
    }
    return {
        key: path for key, name in names.items() if name is not None and (path := configs.find_input(name)).is_file()
    }


def _checksums(config: Config) -> dict[str, str]:
    """The sha256 of every file that goes into a run, by the config key that names it."""
    return {key: hashed(path, hashlib.sha256()) for key, path in _input_files(config).items()}


def _write_config(folder: Path, config: Config, weights_checksum: str, **more: Any) -> None:
    provenance = {
        "python": platform.python_version(),
        "mxnet": load_mxnet().__version__,  # not that of the package, which has other names where it is built for CUDA
        **{package: metadata.version(package) for package in _PACKAGES},
        "weights": {"file": Path(config.weights or config.spec.weights_path).name, "sha256": weights_checksum},
        **more,
    }
    with atomic_write(folder / output_folder.CONFIG) as stream:
        stream.write(configs.dump(config, provenance).encode())
