"""A description of a planned run: sizes, steps, tiles, memory, and the time estimated from a small trial."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from styletransfer.session import binding, inputs
from styletransfer.session.resolve import RunPlan
from styletransfer.support.durations import format_duration
from styletransfer.weights import Parameters

_TRIAL_EDGE = 192  # pixels: the side of the pictures for timing a step


def lines(plan: RunPlan, parameters: Parameters) -> Iterator[str]:
    """Describe a plan in lines of text, with the time estimated from a small trial.

    Raises UserError if a picture cannot be read.
    """
    config = plan.config
    yield f"{config.spec.title}, {plan.choice.precision}, {config.optimizer.name}, into {config.output.folder}"
    for scale in plan.scales:
        yield scale.line()
    peaks = [scale.memory for scale in plan.scales if scale.memory is not None]
    if plan.memory is not None:
        yield f"memory: {max(peaks) / 1e9:.2g} GB at most, of {plan.memory / 1e9:.2g} GB that may be used"
    pixel = _seconds_of_a_pixel(plan, parameters)
    seconds = pixel * sum(scale.steps * scale.work for scale in plan.scales)
    yield f"time: about {format_duration(seconds, 1)}, estimated from a small trial"


def _seconds_of_a_pixel(plan: RunPlan, parameters: Parameters) -> float:
    """The time of a step per pixel, measured with a small image."""
    side = _TRIAL_EDGE
    styles = ((side, side),) * len(plan.styles)
    scale = dataclasses.replace(plan.scales[-1], height=side, width=side, styles=styles, steps=3, tile=None)
    trial = dataclasses.replace(plan, scales=(scale,))
    (pictures,) = inputs.read_pictures(trial)
    bound = binding.bind(trial, scale, pictures, parameters)
    bound.objective(bound.image)
    times = []
    for _ in range(scale.steps):
        started = time.perf_counter()
        bound.objective(bound.image)
        times.append(time.perf_counter() - started)
    return min(times) / (side * side)
