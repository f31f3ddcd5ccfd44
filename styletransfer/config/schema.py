"""The schema of a config: the type, default and meaning of every key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

import models
from models.spec import ModelSpec
from styletransfer.config.normalizations import NORMALIZATIONS
from styletransfer.config.values import (
    ByteSize,
    Count,
    Device,
    FileName,
    Finite,
    Layers,
    NotNegative,
    Number,
    Positive,
    Retained,
    Section,
    Share,
    Side,
    Switch,
    Whole,
    one_of,
)
from styletransfer.pictures.formats import FORMATS, JPEG_QUALITY
from styletransfer.pictures.pixels import SPACES


def _by_name(names: Any, value: Any) -> Any:
    """A single file name, or a list of them, as a dict with the same value for each; anything else as it is."""
    listed = [names] if isinstance(names, str) else names
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return dict.fromkeys(listed, value)
    return names


class Content(Section):
    image: FileName | None = Field(None, description="the photograph; not needed if `content.weight` is 0")
    weight: NotNegative = Field(1.0, description="weight of the content loss")
    layers: Layers | None = Field(None, description="content layers and their weights; null: the model's own")


class Style(Section):
    images: dict[FileName, Positive] | None = Field(
        None,
        description="one or more paintings, or folders of them, with weights for averaging their Gram matrices",
    )
    weight: NotNegative = Field(10.0, description="weight of the style loss")
    layers: Layers | None = Field(None, description="style layers and their weights; null: the model's own")
    size: Side | Literal["match"] | None = Field(
        None,
        description="long edge of the style pictures in pixels; null: that of the result; match: warped to the shape "
        "of the result",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, values: Any) -> Any:
        """Accept a single file name, or a list of them, as pictures of equal weight."""
        if not isinstance(values, Mapping) or "images" not in values:
            return values
        return {**values, "images": _by_name(values["images"], 1.0)}


class RegionStyle(Section):
    """A painting of a region."""

    mask: FileName | None = Field(None, description="grey picture of the part that counts; null: the whole painting")
    weight: Positive = Field(1.0, description="the painting's weight among those of the region")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Take null as the whole painting, a file name as its mask, and a number as its weight."""
        if value is None:
            return {}
        if isinstance(value, str):
            return {"mask": value}
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"weight": value}
        return value


class Region(Section):
    """A part of the result with a style of its own."""

    content: FileName | None = Field(
        None,
        description="mask of the region, a grey picture in the proportions of the photograph: white belongs to the "
        "region, black does not, grey belongs in part; null, for one region at most: what the others leave",
    )
    style: Annotated[dict[FileName, RegionStyle], Field(min_length=1)] = Field(
        description="its paintings, each with the mask of the part that counts, a weight, or both as "
        "{mask: FILE, weight: NUMBER}; null: the whole painting"
    )
    weight: Positive = Field(1.0, description="factor of the region's style loss")

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, values: Any) -> Any:
        """Take a single file name, or a list of them, as whole paintings of equal weight."""
        if not isinstance(values, Mapping) or "style" not in values:
            return values
        return {**values, "style": _by_name(values["style"], None)}


class TV(Section):
    kind: Literal["laplacian", "squared", "power", "none"] = Field("laplacian", description="kind of total variation")
    weight: NotNegative = Field(0.05, description="weight of the total variation; 0: none")

    @property
    def used_kind(self) -> str:
        """The kind in use; none if its weight is 0."""
        return self.kind if self.weight > 0 else "none"


class Init(Section):
    kind: Literal["noise", "uniform", "content", "matched", "instant", "blend", "image", "style"] = Field(
        "instant",
        description="the initial image; content: the photograph; matched: the photograph with the mean and the "
        "covariance of the painting's colours; instant: the photograph in the style of the painting as "
        "`scripts/stylize.py` makes it; style: the photograph in a trained style",
    )
    strength: Share = Field(0.6, description="instant: the share of the painting's style; the rest is the photograph")
    deviation: NotNegative = Field(20.0, description="noise: standard deviation, in units of `pixels`")
    low: Finite = Field(-20.0, description="uniform and blend: lowest value of the noise, in units of `pixels`")
    high: Finite = Field(20.0, description="uniform and blend: highest value of the noise, in units of `pixels`")
    noise_share: Share = Field(0.6, description="blend: the share of the noise; the rest is the content picture")
    image: FileName | None = Field(None, description="image: the picture to start from")
    name: FileName | None = Field(None, description="style: a bundled style, or a style file (.npz)")

    @model_validator(mode="after")
    def _consistent(self) -> Init:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not exceed high ({self.high:g})")
        if (self.kind == "image") != (self.image is not None):
            raise ValueError(
                "`image` requires kind: image" if self.image else "kind: image requires `image`, a picture file"
            )
        if (self.kind == "style") != (self.name is not None):
            raise ValueError(
                "`name` requires kind: style" if self.name else "kind: style requires `name`, a style or a style file"
            )
        return self


class Schedule(Section):
    step: Annotated[int, Field(ge=1, le=10_000_000), Whole] = Field(
        80, description="number of steps between reductions of the learning rate"
    )
    factor: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.9, description="factor by which the learning rate is multiplied at each reduction"
    )


class OptimizerSettings(Section):
    name: Literal["sgd", "adam", "lbfgs", "lbfgsb", "accept_reject"] = Field(
        "lbfgs", description="the optimisation method"
    )
    learning_rate: Positive = Field(1.0, description="sgd, adam and accept_reject: the learning rate")
    momentum: Retained = Field(0.9, description="sgd: momentum")
    weight_decay: NotNegative = Field(
        0.0, description="sgd and adam: weight decay, towards the zero of `pixels`, which is the mean colour"
    )
    clip_norm: Positive | Literal["elements"] | None = Field(
        None,
        description="largest norm of the gradient before that of TV is added; elements: the number of values in the "
        "image; null: no limit",
    )
    beta1: Retained = Field(0.9, description="adam: decay of the mean gradient")
    beta2: Retained = Field(0.999, description="adam: decay of the mean squared gradient")
    epsilon: Positive = Field(1e-8, description="adam: added to the denominator")
    evaluations: Annotated[int, Field(ge=1, le=100_000), Whole] = Field(
        100, description="lbfgsb: evaluations in one round, approximately"
    )
    history: Annotated[int, Field(ge=1, le=1000), Whole] = Field(
        10, description="lbfgs and lbfgsb: number of past steps remembered"
    )
    first_step: Positive | None = Field(
        3.0,
        description="lbfgs and lbfgsb: length of the first trial step, as the root mean square change of a value; "
        "null: a step of norm 1",
    )
    rounds: Annotated[int, Field(ge=1, le=1_000_000), Whole] | None = Field(
        None, description="lbfgsb: largest number of rounds; null: until `stop` ends the run"
    )
    schedule: Schedule | None = Field(None, description="schedule of the learning rate; null: constant")
    bounds: Literal["displayable", "none"] = Field(
        "displayable",
        description="displayable: every value stays within what a picture can show; none: what lies outside is cut off "
        "when the picture is saved, as in the published systems",
    )
    average: Retained = Field(
        0.0,
        description="sgd and adam: the result is the exponential moving average of the images, with this decay (0.99); "
        "0: the last image",
    )

    @model_validator(mode="after")
    def _consistent(self) -> OptimizerSettings:
        if self.average and self.name not in ("sgd", "adam"):
            raise ValueError(f"average ({self.average:g}) goes with sgd and adam, not with {self.name}")
        return self


class Stop(Section):
    max_iterations: Count | Annotated[list[Count], Field(min_length=1, max_length=16)] = Field(
        12, description="largest number of steps at each scale; a list: one number per scale"
    )
    relative_change: NotNegative = Field(0.0, description="stop when |x - previous x| / |x| falls below this; 0: never")


class Output(Section):
    folder: FileName = Field("output/mine", description="folder of the results; each run needs its own")
    save_every: Count = Field(50, description="steps between intermediate pictures; 0: none are saved")
    checkpoint_every: Count = Field(
        50, description="steps between checkpoints, from which --resume continues; 0: only when interrupted"
    )
    denoise: NotNegative = Field(
        0.0, description="weight of the Chambolle noise removal applied to saved pictures; 0: none"
    )
    format: one_of(FORMATS) = Field("png", description="format of the result; tiff has 16 bits a channel")  # type: ignore[valid-type]
    quality: Annotated[int, Field(ge=1, le=100), Whole] = Field(JPEG_QUALITY, description="jpg and webp: the quality")
    keep_metadata: Switch = Field(
        False,
        description="png, jpg and webp: whether the result gets the photograph's EXIF (camera, date, place, author)",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Output:
        if self.keep_metadata and self.format == "tiff":
            raise ValueError("keep_metadata goes with png, jpg and webp, not with tiff")
        return self


class Config(Section):
    """The settings of a run, as given by the user."""

    model: one_of(models.names()) = Field("vgg19_small", description="the network")  # type: ignore[valid-type]
    weights: FileName | None = Field(None, description="a file of weights; null: the model's own")
    pooling: Literal["avg", "max"] | None = Field(None, description="average or max pooling; null: the model's own")
    pixels: one_of(SPACES) = Field("rgb255", description="the pixel space in which the image is optimised")  # type: ignore[valid-type]
    normalization: one_of(NORMALIZATIONS) = Field("balanced", description="the normalization of the losses")  # type: ignore[valid-type]
    content: Content = Content()
    style: Style = Style()
    regions: Annotated[list[Region], Field(min_length=1, max_length=16)] | None = Field(
        None, description="parts of the result with styles of their own, instead of `style.images`"
    )
    tv: TV = TV()
    color: Literal["style", "keep", "match"] = Field(
        "style",
        description="whose colours the result gets; style: the painting's; keep: the photograph's, only luminance is "
        "transferred; match: the painting's, with the photograph's mean and covariance",
    )
    size: Side = Field(512, description="long edge of the result in pixels")
    shape: tuple[Side, Side] | None = Field(
        None,
        description="height and width of the result, to which the content is warped; null: by `size`, in the content's "
        "proportions",
    )
    scales: Annotated[int, Field(ge=1, le=16), Whole] | Annotated[list[Side], Field(min_length=1, max_length=16)] = (
        Field(
            1,
            description="number of sizes at which the image is optimised, each twice the previous one, except those "
            "too small for the network; or a list of their long edges",
        )
    )
    init: Init = Init()
    optimizer: OptimizerSettings = OptimizerSettings()
    stop: Stop = Stop()
    output: Output = Output()
    seed: Annotated[int, Field(ge=0, lt=2**32), Whole] = Field(0, description="random seed")
    engine: Literal["auto", "mxnet", "torch"] = Field(
        "auto",
        description="what computes; auto: PyTorch for a GPU that it sees or a processor that is fast in bfloat16, else "
        "MXNet where it is installed",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="arithmetic of the network; auto: bfloat16 with PyTorch on processors that are fast in it"
    )
    device: Device = Field("auto", description="cpu, gpu:0, cuda:0 or mps; auto: a GPU that PyTorch sees, else cpu")
    tile: Literal["auto", "off"] | Side = Field(
        "auto",
        description="longest side of a tile in pixels; auto: the largest that fits into memory; off: no tiles",
    )
    memory: ByteSize | None = Field(
        None,
        description="memory limit, such as 8GB (10^9 bytes each) or 8GiB (2^30); null: what is free",
    )
    provenance: dict[str, Any] | None = Field(
        None, description="versions and checksums of the input files, recorded in saved configs; ignored when read"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.content.weight == 0 and self.style.weight == 0:
            raise ValueError("content.weight and style.weight are both 0: there is nothing to optimise")
        if self.content.image is None and self.content.weight > 0:
            raise ValueError("content.image is missing: name a photograph")
        if self.content.image is None and self.init.kind in ("content", "matched", "instant", "blend", "style"):
            raise ValueError(f"content.image is missing: init.kind {self.init.kind} starts from it")
        if self.content.image is None and self.color != "style":
            raise ValueError(f"content.image is missing: color: {self.color} takes its colours")
        if self.regions is not None and self.style.images:
            raise ValueError("style.images and regions both name paintings: expected one of them, the other null")
        if self.style.weight > 0 and not self.style.images and self.regions is None:
            raise ValueError("style.images is missing: name at least one picture")
        if sum(region.content is None for region in self.regions or ()) > 1:
            raise ValueError("regions: more than one has no mask (content: null), but only one can have the rest")
        edge = max(self.shape) if self.shape else self.size
        if edge > FORMATS[self.output.format]:
            longest = FORMATS[self.output.format]
            raise ValueError(f"output.format: {self.output.format} holds at most {longest} pixels a side, not {edge}")
        if isinstance(self.scales, list) and (self.scales != sorted(set(self.scales)) or self.scales[-1] != edge):
            raise ValueError(f"scales: {self.scales} must increase and end with the long edge of the result, {edge}")
        steps = self.stop.max_iterations
        if isinstance(steps, list) and len(steps) != len(self.long_edges):
            raise ValueError(f"stop.max_iterations: {len(steps)} numbers for {len(self.long_edges)} scales")
        return self

    @property
    def long_edges(self) -> list[int]:
        """The long edge of the image at each scale in pixels, that of the result last."""
        if isinstance(self.scales, list):
            return list(self.scales)
        edge = max(self.shape) if self.shape else self.size
        return [max(1, round(edge / 2**halvings)) for halvings in reversed(range(self.scales))]

    @property
    def steps(self) -> list[int]:
        """The largest number of steps at each scale."""
        steps = self.stop.max_iterations
        return list(steps) if isinstance(steps, list) else [steps] * len(self.long_edges)

    @property
    def used_regions(self) -> Sequence[Region]:
        """The regions that count; none where the whole result has one style."""
        return (self.regions or ()) if self.style.weight > 0 else ()

    @property
    def used_styles(self) -> Mapping[str, float]:
        """The style pictures in use, each once, with their weights; those of regions have weights there."""
        if self.used_regions:
            return {name: 1.0 for region in self.used_regions for name in region.style}
        return (self.style.images or {}) if self.style.weight > 0 else {}

    @property
    def used_content_layers(self) -> Mapping[str, float]:
        """The content layers in use, with their weights."""
        return (self.content.layers or {}) if self.content.weight > 0 else {}

    @property
    def used_style_layers(self) -> Mapping[str, float]:
        """The style layers in use, with their weights."""
        return (self.style.layers or {}) if self.style.weight > 0 else {}

    @property
    def spec(self) -> ModelSpec:
        """The facts about the network."""
        return models.load(self.model).SPEC
