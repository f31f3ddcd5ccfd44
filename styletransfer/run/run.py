"""One run: a config becomes an output folder."""

from __future__ import annotations

import contextlib
import logging
import math
import platform
import signal
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.network.device import context_of
from styletransfer.pictures import images, pixels
from styletransfer.run import checkpoints, inputs, output_folder, picture_sizes
from styletransfer.run.pyramid import Pyramid
from styletransfer.run.recorders import CurveRecorder, PictureRecorder, ProgressRecorder, Recorder
from styletransfer.run.resolve import Begun, RunPlan, resolve
from styletransfer.support.errors import Diverged, Interrupted
from styletransfer.support.files import atomic_write

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
        files = inputs.files_of(config)
        output_folder.check_inputs(folder, files)
        context_of(config.device)
        sizes = picture_sizes.read_sizes(config)
        checksums = inputs.checksums(files)
        taken = output_folder.taken(folder, force, resume)
        state = None
        if resume:
            stack.enter_context(taken)
            state = checkpoints.read(folder, checkpoints.comparable(config), checksums)
        # Before anything is read that may not fit into memory.
        plan = resolve(config, sizes, Begun.from_state(state) if state else None)
        curve = CurveRecorder(folder, plan.loss_names, plan.output.save_every)
        done, elapsed, last_change = 0, 0.0, math.nan
        if state:
            done = int(state["step"])
            last = curve.resume(done)
            elapsed, last_change = last["seconds"], last["relative_change"]
        _end_before_the_first_step(stopped)
        pictures = inputs.read_pictures(plan)
        parameters = inputs.load_parameters(plan)
        _end_before_the_first_step(stopped)
        if not resume:  # now that nothing is at fault, the folder may be made
            stack.enter_context(taken)
        output_folder.clear(folder, keep=resume)
        LOGGER.info("%s, into %s", plan.spec.title, folder)
        for scale in plan.scales:
            LOGGER.info("%s", scale.line())
        if resume:
            LOGGER.info("going on after step %d", done)
        pyramid = Pyramid(plan, pictures, parameters, state, elapsed, last_change)
        _write_config(folder, config, checksums["weights"])
        recorders: list[Recorder] = [
            curve,
            PictureRecorder(folder / output_folder.STEPS, plan.output.save_every, plan.pixels, plan.output.denoise),
            ProgressRecorder(sum(pyramid.steps), done),
        ]
        return _optimize(config, plan, folder, pyramid, curve, recorders, checksums, stopped)


def _optimize(
    config: Config,
    plan: RunPlan,
    folder: Path,
    pyramid: Pyramid,
    curve: CurveRecorder,
    recorders: list[Recorder],
    checksums: Mapping[str, str],
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
                every = plan.output.checkpoint_every
                if stopped or (every and record.step and record.step % every == 0):
                    curve.flush()
                    checkpoints.save(folder, pyramid.state(), checkpoints.comparable(config), checksums)
                if stopped:
                    raise Interrupted(
                        f"interrupted at step {record.step}, state saved: run again with --resume to go on"
                    )
    except Diverged:
        _write_config(folder, config, checksums["weights"], diverged=True)  # before the picture is there
        _write_picture(folder, pyramid.image.asnumpy(), plan)  # the best
        raise
    return _write_picture(folder, pyramid.image.asnumpy(), plan)


def _write_picture(folder: Path, image: NDArray, plan: RunPlan) -> Path:
    path = folder / output_folder.PICTURE
    images.write(path, images.denoise(pixels.to_picture(image, plan.pixels), plan.output.denoise))
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
