"""One run: a config becomes an output folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import platform
import signal
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from models.runtime import load_mxnet
from styletransfer import config as configs
from styletransfer import images, pipeline, pixels
from styletransfer.config import Config
from styletransfer.errors import Diverged, Interrupted, UserError
from styletransfer.files import written_whole
from styletransfer.optimization import Record, optimize
from styletransfer.recorders import CurveRecorder, PictureRecorder, ProgressRecorder, Recorder

LOGGER = logging.getLogger(__name__)
_RESULTS = ("image.png", "curve.csv", "curve.png", "config.yaml", "checkpoint.npz", "steps/[0-9]*.jpg")
_PACKAGES = ("numpy", "scikit-image", "scipy", "pillow")


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
        If the losses left the finite numbers; the last good picture has been written.
    Interrupted
        If SIGINT or SIGTERM came; a checkpoint has been written.
    """
    folder = Path(config.output.folder).expanduser()
    _check_folder(folder, force, resume)
    pictures = pipeline.read_pictures(config)
    parameters = pipeline.load_parameters(config)
    pipeline.context_of(config.device)
    checkpoint = _read_checkpoint(folder, config, pictures.height, pictures.width) if resume else None
    _clear_folder(folder, keep=resume)
    LOGGER.info("%s, %d x %d pixels, into %s", config.spec.title, pictures.width, pictures.height, folder)
    prepared = pipeline.prepare(config, pictures, parameters)

    curve = CurveRecorder(folder, prepared.objective.loss_names)
    done, elapsed, last_change = None, 0.0, math.nan
    if checkpoint is not None:
        done = int(checkpoint["step"])
        prepared.image[:] = checkpoint["image"]
        prepared.optimizer.restore(_unprefixed(checkpoint, "optimizer."))
        prepared.generator.bit_generator.state = json.loads(str(checkpoint["generator"]))
        last = curve.resume(done)
        elapsed, last_change = last["seconds"], last["relative_change"]
        LOGGER.info("going on after step %d", done)
    _write_config(folder, config)
    recorders: list[Recorder] = [
        curve,
        PictureRecorder(folder / "steps", config.output.save_every, config.pixels, config.output.denoise),
        ProgressRecorder(config.stop.max_iterations, done or 0),
    ]

    def save_checkpoint(record: Record) -> None:
        curve.flush()
        state = {f"optimizer.{name}": value for name, value in prepared.optimizer.state().items()}
        with written_whole(folder / "checkpoint.npz") as stream:
            np.savez(
                stream,
                step=record.step,
                image=record.image.asnumpy(),
                generator=json.dumps(prepared.generator.bit_generator.state),
                config=json.dumps(_comparable(config)),
                **state,
            )

    good = prepared.image.asnumpy()
    with contextlib.ExitStack() as stack:
        for recorder in recorders:
            stack.callback(recorder.close)
        stopped = stack.enter_context(_signals())
        steps = stack.enter_context(
            contextlib.closing(
                optimize(
                    prepared.image,
                    prepared.objective,
                    prepared.optimizer,
                    config.stop,
                    after=done,
                    elapsed=elapsed,
                    last_change=last_change,
                )
            )
        )
        try:
            for record in steps:
                for recorder in recorders:
                    recorder.record(record)
                every = config.output.checkpoint_every
                if stopped or (every and record.step and record.step % every == 0):
                    save_checkpoint(record)
                if stopped:
                    raise Interrupted(
                        f"interrupted at step {record.step}, state saved: run again with --resume to go on"
                    )
                if record.step % 10 == 0:
                    good = record.image.asnumpy()
        except Diverged:
            _write_picture(folder, good, config)
            raise
    final = prepared.image.asnumpy()
    return _write_picture(folder, final, config)


def _write_picture(folder: Path, image: Any, config: Config) -> Path:
    path = folder / "image.png"
    images.write(path, images.denoise(pixels.to_picture(image, config.pixels), config.output.denoise))
    return path


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of acting on them; a second one acts at once."""
    received: list[int] = []
    before: dict[int, Any] = {}

    def receive(number: int, frame: Any) -> None:
        received.append(number)
        for other, handler in before.items():
            signal.signal(other, handler)
        LOGGER.info("stopping after this step")

    for number in map(int, (signal.SIGINT, signal.SIGTERM)):
        before[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_folder(folder: Path, force: bool, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output.folder: {folder} is a file; name a folder")
    if resume and not (folder / "checkpoint.npz").is_file():
        raise UserError(f"--resume: there is no checkpoint in {folder}")
    if (folder / "image.png").exists() and not force:
        hint = "name another output.folder or add --force"
        raise UserError(f"output.folder: {folder} holds a finished picture; {hint}")
    if (folder / "checkpoint.npz").exists() and not (resume or force):
        hint = "add --resume to go on, or --force to start anew"
        raise UserError(f"output.folder: {folder} holds an unfinished run; {hint}")


def _clear_folder(folder: Path, keep: bool) -> None:
    """Make the folder, show that it can be written, and remove what an earlier run left in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / "config.yaml") if not keep else contextlib.nullcontext():
            pass
        if not keep:
            for pattern in _RESULTS:
                for path in folder.glob(pattern):
                    path.unlink()
    except OSError as error:
        raise UserError(f"output.folder: {folder} cannot be written: {error.strerror or error}") from None


def _write_config(folder: Path, config: Config) -> None:
    path = Path(config.weights or config.spec.weights_path)
    made_with = {
        "python": platform.python_version(),
        "mxnet": load_mxnet().__version__,  # not that of the package, which has other names where it is built for CUDA
        **{package: metadata.version(package) for package in _PACKAGES},
        "weights": {
            "file": path.name,
            "sha256": hashlib.sha256(configs.find_input(str(path)).read_bytes()).hexdigest(),
        },
    }
    with written_whole(folder / "config.yaml") as stream:
        stream.write(configs.dump(config, made_with).encode())


def _comparable(config: Config) -> dict[str, Any]:
    """What must not change between a run and its resumption: all but where it stops and what it writes."""
    return config.model_dump(mode="json", exclude={"made_with", "output", "stop"})


def _read_checkpoint(folder: Path, config: Config, height: int, width: int) -> dict[str, Any]:
    path = folder / "checkpoint.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            checkpoint = {name: stored[name] for name in stored.files}
        if not {"step", "image", "generator"} <= set(checkpoint):
            raise ValueError("it is no checkpoint")
        before = json.loads(str(checkpoint["config"]))
    except Exception as error:  # NumPy, zipfile, zlib and json each have their own for a damaged file
        raise UserError(f"--resume: cannot read {path}: {error}") from None
    difference = _first_difference(before, _comparable(config))
    if difference:
        raise UserError(f"--resume: {difference} differs from the run in {folder}; start anew with --force")
    if checkpoint["image"].shape != (1, 3, height, width):
        raise UserError(f"--resume: content.image has other proportions than in the run in {folder}")
    return checkpoint


def _first_difference(first: Any, second: Any, key: str = "") -> str | None:
    """The dotted key at which two nested dictionaries first differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in {**first, **second}:
            found = _first_difference(first.get(name), second.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    return None if first == second else key


def _unprefixed(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
