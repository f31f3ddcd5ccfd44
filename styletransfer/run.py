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
from styletransfer import checkpoints, images, output_folder, pipeline, pixels, plan
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.errors import Diverged, Interrupted
from styletransfer.files import written_whole
from styletransfer.pyramid import Pyramid
from styletransfer.recorders import CurveRecorder, PictureRecorder, ProgressRecorder, Recorder

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
        If SIGINT, SIGTERM or SIGUSR2 came; a checkpoint has been written.
    """
    folder = Path(config.output.folder).expanduser()
    output_folder.check(folder, force, resume)
    inputs = _checksums(config)
    pipeline.context_of(config.device)
    sizes = pipeline.read_sizes(config)
    stages = plan.stages(config, sizes)  # before anything is read that may not fit into memory
    levels = pipeline.read_pictures(config, sizes)
    parameters = pipeline.load_parameters(config)
    with output_folder.taken(folder, force, resume), _signals() as stopped:
        state = checkpoints.read(folder, _comparable(config), inputs) if resume else None
        LOGGER.info("%s, into %s", config.spec.title, folder)
        for stage in stages:
            LOGGER.info("%s", stage.line())
        curve = CurveRecorder(folder, pipeline.loss_names(config))
        done, elapsed, last_change = 0, 0.0, math.nan
        if state is not None:
            done = int(state["step"])
            last = curve.resume(done)
            elapsed, last_change = last["seconds"], last["relative_change"]
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
    with contextlib.ExitStack() as stack:
        for recorder in recorders:
            stack.callback(recorder.close)
        try:
            for record in stack.enter_context(contextlib.closing(pyramid.records())):
                for recorder in recorders:
                    recorder.record(record)
                if record.taken_back:
                    LOGGER.info("%s", record.taken_back)
                every = config.output.checkpoint_every
                if stopped or (every and record.step and record.step % every == 0):
                    curve.flush()
                    checkpoints.save(folder, pyramid.state(), _comparable(config), inputs)
                if stopped:
                    raise Interrupted(
                        f"interrupted at step {record.step}, state saved: run again with --resume to go on"
                    )
        except Diverged:
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
        LOGGER.info("stopping after this step")

    for number in map(int, _SIGNALS):
        before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checksums(config: Config) -> dict[str, str]:
    """The sha256 of every file that goes into a run, by the config key that names it; absent files are left out."""
    files = {
        "content.image": config.content.image,
        **{f"style.images {name}": name for name in (config.style.images or {})},
        "init.image": config.init.image,
        "weights": config.weights or str(config.spec.weights_path),
    }
    return {
        key: hashlib.sha256(path.read_bytes()).hexdigest()
        for key, name in files.items()
        if name is not None and (path := configs.find_input(name)).is_file()
    }


def _write_config(folder: Path, config: Config, weights_checksum: str) -> None:
    made_with = {
        "python": platform.python_version(),
        "mxnet": load_mxnet().__version__,  # not that of the package, which has other names where it is built for CUDA
        **{package: metadata.version(package) for package in _PACKAGES},
        "weights": {"file": Path(config.weights or config.spec.weights_path).name, "sha256": weights_checksum},
    }
    with written_whole(folder / output_folder.CONFIG) as stream:
        stream.write(configs.dump(config, made_with).encode())


def _comparable(config: Config) -> dict[str, Any]:
    """What must not change between a run and its resumption: all but where it stops and what it writes."""
    return config.model_dump(mode="json", exclude={"made_with", "output", "stop", "memory"})
