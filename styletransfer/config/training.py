"""The schema of the training of a style: every key, what it takes, its default and its meaning.

What a training shares with the making of one picture (pictures of style, layers, weights, normalization) has the same
keys as in `schema`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, model_validator

import models
from models.feedforward_spec import TransformerSpec
from models.spec import ModelSpec
from styletransfer.config.loading import check_layers, paintings
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.config.schema import TV, OptimizerSettings, Schedule, Style
from styletransfer.config.validation_errors import first_message
from styletransfer.config.values import (
    Count,
    Device,
    FileName,
    Layers,
    NotNegative,
    Positive,
    Retained,
    Section,
    Side,
    Whole,
    one_of,
)
from styletransfer.support.errors import UserError


def _check_style_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError("Input should be letters, digits, - and _, such as night")
    return name


class TrainingStyle(Style):
    weight: NotNegative = Field(25.0, description="weight of the style loss")
    size: Side = Field(512, description="long edge of the style pictures in pixels")  # type: ignore[assignment]


class TrainingContent(Section):
    weight: NotNegative = Field(1.0, description="weight of the content loss")
    layers: Layers | None = Field(None, description="the layers compared, with their weights; null: the model's own")


class Photographs(Section):
    sources: Annotated[list[FileName], Field(min_length=1, max_length=1000)] = Field(
        ["input/astronaut.jpg", "input/chelsea.jpg", "input/coffee.jpg", "input/rocket.jpg"],
        description="the photographs to learn from: folders, and single files",
    )
    crop: Annotated[int, Field(ge=16, le=4096), Whole] = Field(
        192, description="side in pixels of the random crops that are learned from"
    )
    batch: Annotated[int, Field(ge=1, le=1024), Whole] = Field(1, description="crops per step")

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, values: Any) -> Any:
        """Take a single name as a list of one."""
        if isinstance(values, Mapping) and isinstance(values.get("sources"), str):
            return {**values, "sources": [values["sources"]]}
        return values


class Stability(Section):
    """The loss that keeps videos from flickering."""

    weight: NotNegative = Field(
        100.0,
        description="weight of the mean squared difference, of values 0..1, between the results of a crop and of the "
        "same crop moved and with noise; 0: none, which trains faster",
    )
    shift: Annotated[int, Field(ge=0, le=64), Whole] = Field(
        8, description="by how many pixels the crop is moved at most, along each side"
    )
    noise: Annotated[NotNegative, Field(le=255)] = Field(
        4.0, description="standard deviation of the noise, in grey levels of 0..255"
    )


class TrainingOptimizer(Section):
    """Adam; the keys are those of `OptimizerSettings`."""

    learning_rate: Positive = Field(2e-3, description="the learning rate of Adam")
    beta1: Retained = Field(0.9, description="decay of the mean gradient")
    beta2: Retained = Field(0.999, description="decay of the mean squared gradient")
    epsilon: Positive = Field(1e-8, description="added to the denominator")
    schedule: Schedule | None = Field(
        Schedule(step=1500, factor=0.75), description="schedule of the learning rate; null: constant"
    )

    @property
    def settings(self) -> OptimizerSettings:
        """The settings as an optimiser takes them; parameters have no bounds."""
        return OptimizerSettings(
            name="adam",
            learning_rate=self.learning_rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            schedule=self.schedule,
            bounds="none",
        )


class TrainingOutput(Section):
    folder: FileName = Field("output/train/mine", description="folder of the results, one for each training")
    preview: FileName = Field("input/coffee.jpg", description="the photograph of which previews are made")
    preview_size: Side = Field(512, description="long edge of the previews in pixels")
    save_every: Count = Field(500, description="steps between previews; 0: only at the end")
    checkpoint_every: Count = Field(
        500,
        description="steps between checkpoints, from which --resume continues, and style files; 0: only when "
        "interrupted and at the end",
    )


class StyleTraining(Section):
    """The training of a style, as the user describes it."""

    name: Annotated[str, pydantic.AfterValidator(_check_style_name)] = Field("mine", description="name of the style")
    licence: Annotated[str, Field(max_length=500)] = Field(
        "not stated", description="licence of the style pictures, noted in the style file"
    )
    network: one_of(models.transformer_names()) = Field(  # type: ignore[valid-type]
        "small", description="the network that is trained"
    )
    style: TrainingStyle = TrainingStyle()
    content: TrainingContent = TrainingContent()
    tv: TV = TV()
    model: one_of(models.names()) = Field("vgg_slim", description="the loss network")  # type: ignore[valid-type]
    weights: FileName | None = Field(None, description="a file of its weights; null: the model's own")
    pooling: Literal["avg", "max"] | None = Field(None, description="its pooling; null: the model's own")
    normalization: one_of(NORMALIZATIONS) = Field("balanced", description="the normalization of the losses")  # type: ignore[valid-type]
    stability: Stability = Stability()
    photographs: Photographs = Photographs()
    start: FileName | None = Field(
        None,
        description="a trained style, its name or file, from whose parameters training starts; null: random ones",
    )
    optimizer: TrainingOptimizer = TrainingOptimizer()
    steps: Annotated[int, Field(ge=1, le=10_000_000), Whole] = Field(8000, description="number of steps")
    output: TrainingOutput = TrainingOutput()
    seed: Annotated[int, Field(ge=0, lt=2**32), Whole] = Field(0, description="random seed")
    engine: Literal["auto", "mxnet", "torch"] = Field("auto", description="what computes; as for pictures")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="arithmetic of the networks; auto: bfloat16 where the processor is faster in it"
    )
    device: Device = Field("auto", description="cpu, gpu:0, cuda:0 or mps; auto: a GPU that PyTorch sees, else cpu")
    provenance: dict[str, Any] | None = Field(
        None, description="versions and weights, noted in saved configs; ignored when read"
    )

    @model_validator(mode="after")
    def _consistent(self) -> StyleTraining:
        if not self.style.images:
            raise ValueError("style.images is missing: name at least one picture")
        if self.style.weight == 0:
            raise ValueError("style.weight is 0: there is no style to learn")
        return self

    @property
    def spec(self) -> ModelSpec:
        """The facts about the loss network."""
        return models.load(self.model).SPEC

    @property
    def transformer(self) -> TransformerSpec:
        """The facts about the network that is trained."""
        return models.load_transformer(self.network).SPEC

    @property
    def used_content_layers(self) -> Mapping[str, float]:
        """The content layers whose losses count, with their weights."""
        return (self.content.layers or {}) if self.content.weight > 0 else {}

    @property
    def used_style_layers(self) -> Mapping[str, float]:
        """The style layers, with their weights."""
        return self.style.layers or {}


def parse_training(values: Mapping[str, Any], where: str) -> StyleTraining:
    """Check the values of a training and fill in the defaults, those of the loss network too.

    Parameters and errors are those of :func:`styletransfer.config.loading.parse`.
    """
    try:
        config = StyleTraining.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {first_message(error, values, StyleTraining)}") from None
    spec = config.spec
    check_layers(spec, {"content": config.content.layers, "style": config.style.layers}, where)
    style = config.style.model_copy(
        update={
            "layers": config.style.layers or dict(spec.style_layers),
            "images": paintings(config.style.images, where),
        }
    )
    content = config.content.model_copy(update={"layers": config.content.layers or dict(spec.content_layers)})
    if config.stability.weight and config.stability.shift >= config.photographs.crop:
        raise UserError(
            f"{where}: stability.shift: {config.stability.shift} moves crops of {config.photographs.crop} pixels "
            "out of sight; expected less"
        )
    _check_crop(spec, [*(style.layers or {}), *(content.layers or {})], config.photographs.crop, where)
    return config.model_copy(update={"style": style, "content": content, "pooling": config.pooling or spec.pooling})


def _check_crop(spec: ModelSpec, layers: Sequence[str], crop: int, where: str) -> None:
    deepest = spec.deepest(layers)
    least = spec.smallest_side(deepest)
    if crop < least:
        raise UserError(
            f"{where}: photographs.crop: {crop} is too small for the layer {deepest} of {spec.name}; "
            f"expected at least {least}"
        )
