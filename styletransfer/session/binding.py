"""Binding one scale of a run: its targets, objective, optimiser and initial image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.engines import Array, Engine
from styletransfer.losses import total_variation
from styletransfer.losses.objective import Objective
from styletransfer.losses.targets import Painting, Region, find_targets
from styletransfer.optimization import optimizers
from styletransfer.optimization.optimizers import Optimizer
from styletransfer.pictures import images, pixels
from styletransfer.pictures.images import Picture
from styletransfer.session import initialization
from styletransfer.session.inputs import Pictures
from styletransfer.session.memory import Workload
from styletransfer.session.resolve import RunPlan
from styletransfer.weights import Parameters, parameters_for


@dataclass
class Bound:
    """A scale of a run, ready to be optimised."""

    engine: Engine
    image: Array  # (1, 3, H, W) in the pixel space of the run
    objective: Objective
    optimizer: Optimizer
    generator: np.random.Generator


def bind(
    plan: RunPlan, scale: Workload, pictures: Pictures, parameters: Parameters, image: NDArray | None = None
) -> Bound:
    """Bind everything for one scale.

    Parameters
    ----------
    scale : Workload
        One of its scales.
    pictures : Pictures
        Those of that scale.
    parameters : dict of arrays
        In the network's native space.
    image : array (1, 3, H, W), optional
        The image to go on with, in the pixel space of the run; by default the initial image.
    """
    config, engine = plan.config, plan.choice.load()
    adapted = parameters_for(config.spec, parameters, config.pixels)
    network = engine.network(config.spec, adapted, plan.pooling, plan.choice.precision)

    def enter(picture: Picture) -> Array:
        return engine.array(pixels.from_picture(picture, config.pixels))

    height, width = scale.height, scale.width
    shape = (1, 3, height, width)
    content = None if pictures.content is None else enter(pictures.content)
    styles = [(share, enter(style)) for share, style in pictures.styles]
    entered = dict(zip(plan.styles, (picture for _, picture in styles)))
    regions = [
        Region(
            region.mask,
            [Painting(share, entered[name], mask) for name, (share, mask) in region.paintings.items()],
            region.weight,
        )
        for region in pictures.regions
    ]
    layers = list(scale.content_layers), list(scale.style_layers)
    targets = find_targets(network, scale.tile, content, styles, *layers, height, width, regions)
    normalization = NORMALIZATIONS[config.normalization]
    tv, tv_unit = None, 1.0
    if scale.tv != "none":
        tv = total_variation.KINDS[scale.tv](engine)
        if normalization.relative:
            unit_picture = pictures.content
            if unit_picture is None:
                unit_picture = images.resize(pictures.styles[0][1], height, width)
            (energy,) = engine.numbers([tv.energy_and_gradient(enter(unit_picture))[0]])
            tv_unit = energy or 1.0
    objective = Objective(network, scale.tile, targets, normalization, plan.loss_weights, tv, tv_unit, height, width)
    generator = np.random.default_rng(config.seed)
    if image is None:
        content_values, start_values = (
            None if picture is None else pixels.from_picture(picture, config.pixels)
            for picture in (pictures.content, pictures.start)
        )
        image = initialization.start(config.init, shape, content_values, start_values, generator)
    values = engine.array(image)
    optimizer = optimizers.create(config.optimizer, engine, values, config.pixels)
    return Bound(engine, values, objective, optimizer, generator)
