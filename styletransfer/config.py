"""The config of a run: its schema with all defaults, reading, overriding, and resolving against the model.

A config is read from YAML, every key is checked, and what the user left out is filled in. Nothing here needs MXNet.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

import models
from models.spec import ModelSpec
from styletransfer.byte_sizes import bytes_of
from styletransfer.errors import UserError, nearest
from styletransfer.normalizations import NORMALIZATIONS
from styletransfer.pixels import SPACES

PROJECT_FOLDER = Path(__file__).resolve().parents[1]
_LARGEST_FILE = 100_000  # bytes
_LEAST = 1e-30  # of positive numbers; MXNet refuses what float32 does not hold in full, below 1e-38


def _check_whole(value: Any) -> Any:
    """Refuse what pydantic would take for a whole number as well: ``yes`` and ``"3"``; 1e3 is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PydanticKnownError("int_type")
    return value


def _without_dust(value: float) -> float:
    """A number that is as good as 0 as 0."""
    return 0.0 if abs(value) < _LEAST else value


def _read_off(value: Any) -> Any:
    """YAML reads a bare ``off`` as false."""
    return "off" if value is False else value


def _check_file_name(name: str) -> str:
    if not name or "\0" in name:
        raise ValueError(f"{name!r} is no file name")
    try:
        Path(name).expanduser()
    except RuntimeError:
        raise ValueError(f"{name!r} names a user who is not known") from None
    return name


def _check_device(name: str) -> str:
    if not re.fullmatch(r"cpu|gpu:[0-9]{1,2}", name):
        raise ValueError(f"{name!r} is not allowed; expected cpu or gpu:0, gpu:1, ...")
    return name


def _check_byte_size(size: Any) -> Any:
    bytes_of(str(size))  # a bare number lacks its unit
    return size


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_DUST = pydantic.AfterValidator(_without_dust)
Positive = Annotated[Number, Field(ge=_LEAST, le=1e30)]
NotNegative = Annotated[Number, Field(ge=0, le=1e30), _DUST]
Share = Annotated[Number, Field(ge=0, le=1), _DUST]
Retained = Annotated[Number, Field(ge=0, lt=1), _DUST]
Finite = Annotated[Number, Field(ge=-1e6, le=1e6)]
_WHOLE = pydantic.BeforeValidator(_check_whole)
Side = Annotated[int, Field(ge=1, le=20_000), _WHOLE]
Count = Annotated[int, Field(ge=0, le=10_000_000), _WHOLE]
FileName = Annotated[str, pydantic.AfterValidator(_check_file_name)]
Device = Annotated[str, pydantic.AfterValidator(_check_device)]
ByteSize = Annotated[str, pydantic.BeforeValidator(_check_byte_size)]
Layers = Annotated[dict[str, Positive], Field(min_length=1)]


def _key(names: Sequence[str]) -> Any:
    """A key that takes one of `names`."""
    return Literal[tuple(names)]  # type: ignore[valid-type]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, validate_default=True)


class Content(_Section):
    image: FileName | None = Field(None, description="the photograph; may be left out where the weight is 0")
    weight: NotNegative = Field(1.0, description="weight of the content losses")
    layers: Layers | None = Field(None, description="layers and their weights; null: the model's own")


class Style(_Section):
    images: dict[FileName, Positive] | None = Field(
        None, description="one or several pictures, with weights that blend their Gram matrices"
    )
    weight: NotNegative = Field(60.0, description="weight of the style losses")
    layers: Layers | None = Field(None, description="layers and their weights; null: the model's own")
    size: Side | Literal["match"] | None = Field(
        None, description="long edge of the style pictures; null: as the picture; match: warped to the content's shape"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, values: Any) -> Any:
        """A single file name or a list of them stands for equal weights."""
        images = values.get("images") if isinstance(values, Mapping) else None
        names = [images] if isinstance(images, str) else images
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return {**values, "images": dict.fromkeys(names, 1.0)}
        return values


class TV(_Section):
    kind: Literal["laplacian", "squared", "power", "none"] = Field("laplacian", description="which total variation")
    weight: NotNegative = Field(0.05, description="its weight; 0 switches it off")


class Init(_Section):
    kind: Literal["noise", "uniform", "content", "blend", "image"] = Field(
        "content", description="what the image starts as"
    )
    deviation: NotNegative = Field(20.0, description="noise: standard deviation, in values of `pixels`")
    low: Finite = Field(-20.0, description="uniform and blend: lowest value of the noise, in values of `pixels`")
    high: Finite = Field(20.0, description="uniform and blend: highest value of the noise")
    noise_share: Share = Field(0.6, description="blend: share of the noise; the rest is the content picture")
    image: FileName | None = Field(None, description="image: the picture to start from")

    @model_validator(mode="after")
    def _ordered(self) -> Init:
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) must not exceed high ({self.high:g})")
        if (self.kind == "image") != (self.image is not None):
            raise ValueError(
                "`image` goes with kind: image" if self.image else "kind: image needs `image`, a picture file"
            )
        return self


class Schedule(_Section):
    step: Annotated[int, Field(ge=1, le=10_000_000), _WHOLE] = Field(
        80, description="the rate falls every so many steps"
    )
    factor: Annotated[Number, Field(gt=0, le=1)] = Field(0.9, description="and is multiplied by this")


class OptimizerSettings(_Section):
    name: Literal["sgd", "adam", "lbfgs", "lbfgsb", "accept_reject"] = Field("lbfgs", description="the method")
    learning_rate: Positive = Field(1.0, description="step length")
    momentum: Retained = Field(0.9, description="sgd: momentum")
    weight_decay: NotNegative = Field(
        0.0, description="sgd and adam: pull towards the zero of `pixels`, the mean colour"
    )
    clip_norm: Positive | Literal["elements"] | None = Field(
        None, description="largest gradient norm, before TV is added; elements: the number of values in the image"
    )
    beta1: Retained = Field(0.9, description="adam: memory of the gradient")
    beta2: Retained = Field(0.999, description="adam: memory of its square")
    epsilon: Positive = Field(1e-8, description="adam: least size of a gradient")
    evaluations: Annotated[int, Field(ge=1, le=100_000), _WHOLE] = Field(100, description="lbfgsb: in a round, about")
    history: Annotated[int, Field(ge=1, le=1000), _WHOLE] = Field(10, description="lbfgs and lbfgsb: steps remembered")
    first_step: Positive | None = Field(
        3.0, description="lbfgs and lbfgsb: how far the first trial goes, root mean square of values; null: 1 in all"
    )
    rounds: Annotated[int, Field(ge=1, le=1_000_000), _WHOLE] | None = Field(
        None, description="lbfgsb: rounds at most; null: as stop allows"
    )
    schedule: Schedule | None = Field(None, description="how the learning rate falls; null: it does not")


class Stop(_Section):
    max_iterations: Count | Annotated[list[Count], Field(min_length=1, max_length=16)] = Field(
        80, description="steps at most, at every scale; a list: one number for each"
    )
    relative_change: NotNegative = Field(0.0, description="stop when |x - previous x| / |x| falls below this; 0: never")


class Output(_Section):
    folder: FileName = Field("output/mine", description="where the results go; one folder a run")
    save_every: Count = Field(50, description="steps between intermediate pictures; 0: none")
    checkpoint_every: Count = Field(
        50, description="steps between states from which --resume goes on; 0: only when stopped"
    )
    denoise: NotNegative = Field(
        0.0, description="weight of the Chambolle noise removal of the pictures saved; 0: none"
    )


class Config(_Section):
    """A run, as the user describes it."""

    model: _key(models.names()) = Field("vgg_slim", description="the network")  # type: ignore[valid-type]
    weights: FileName | None = Field(None, description="a weights file; null: the model's own")
    pooling: Literal["avg", "max"] | None = Field(None, description="null: the model's own")
    pixels: _key(tuple(SPACES)) = Field("rgb255", description="the space in which the image is trained")  # type: ignore[valid-type]
    normalization: _key(tuple(NORMALIZATIONS)) = Field("balanced", description="norms of the losses")  # type: ignore[valid-type]
    content: Content = Content()
    style: Style = Style()
    tv: TV = TV()
    size: Side = Field(512, description="long edge of the result, pixels")
    shape: tuple[Side, Side] | None = Field(
        None, description="height and width to which the content is warped; null: its own proportions, by `size`"
    )
    scales: Annotated[int, Field(ge=1, le=16), _WHOLE] | Annotated[list[Side], Field(min_length=1, max_length=16)] = (
        Field(
            2,
            description="sizes in which the image is made, each twice the one before (none too small for the network); "
            "or a list of their long edges",
        )
    )
    init: Init = Init()
    optimizer: OptimizerSettings = OptimizerSettings()
    stop: Stop = Stop()
    output: Output = Output()
    seed: Annotated[int, Field(ge=0, lt=2**32), _WHOLE] = Field(0, description="of everything random")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the network; auto: bfloat16 where the processor is faster in it"
    )
    device: Device = Field("cpu", description="cpu or gpu:0")
    tile: Annotated[Literal["auto", "off"] | Side, pydantic.BeforeValidator(_read_off)] = Field(
        "auto",
        description="longest side of what the network sees at once, pixels; auto: what fits into memory; off: all",
    )
    memory: ByteSize | None = Field(
        None,
        description="how much may be used, such as 8GB (10^9 bytes each) or 8GiB (2^30); null: what is free",
    )
    provenance: dict[str, Any] | None = Field(
        None, description="written into saved configs: versions and weights; not read"
    )

    @model_validator(mode="after")
    def _complete(self) -> Config:
        if self.content.weight == 0 and self.style.weight == 0:
            raise ValueError("content.weight and style.weight are both 0: there is nothing to optimise")
        if self.content.image is None and self.content.weight > 0:
            raise ValueError("content.image is missing: name a photograph")
        if self.content.image is None and self.init.kind in ("content", "blend"):
            raise ValueError(f"content.image is missing: init.kind {self.init.kind} starts from it")
        if self.style.weight > 0 and not self.style.images:
            raise ValueError("style.images is missing: name at least one picture")
        if isinstance(self.scales, list):
            edge = max(self.shape) if self.shape else self.size
            if self.scales != sorted(set(self.scales)) or self.scales[-1] != edge:
                raise ValueError(f"scales: {self.scales} must grow and end with the long edge of the result, {edge}")
        steps = self.stop.max_iterations
        if isinstance(steps, list) and len(steps) != len(self.long_edges):
            raise ValueError(f"stop.max_iterations: {len(steps)} numbers for {len(self.long_edges)} scales")
        return self

    @property
    def long_edges(self) -> list[int]:
        """Those of the sizes in which the image is to be made, the result's last, pixels."""
        if isinstance(self.scales, list):
            return list(self.scales)
        edge = max(self.shape) if self.shape else self.size
        return [max(1, round(edge / 2**level)) for level in reversed(range(self.scales))]

    @property
    def steps(self) -> list[int]:
        """How many steps are made at most at every scale."""
        steps = self.stop.max_iterations
        return list(steps) if isinstance(steps, list) else [steps] * len(self.long_edges)

    @property
    def spec(self) -> ModelSpec:
        """The facts about the network."""
        return models.load(self.model).SPEC


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, and aliases, whose expansion has no bound."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not allowed", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is no text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what :class:`_UniqueKeys` would read as a number."""


# YAML 1.1 reads 1e-3 as text; people who write configs mean a number.
for _class in (_UniqueKeys, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
    )


def read_yaml(text: str, where: str) -> Any:
    """Parse YAML.

    Raises
    ------
    UserError
        If it is no YAML; `where` (a file or an option) opens the message.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{where}{line}: not valid YAML: {' '.join(problem.split())}") from None
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # dates out of range, tags that do not fit their values, nesting without end
        raise UserError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def read_file(path: str | Path) -> dict[str, Any]:
    """The values of a config file, unchecked.

    Raises
    ------
    UserError
        If the file is absent, unreadable, too large or no YAML mapping.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            raw = stream.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise UserError(f"config {path}: larger than {_LARGEST_FILE} bytes, this is no config")
        text = raw.decode("utf-8")
    except OSError as error:
        raise UserError(f"config {path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, ValueError):
        raise UserError(f"config {path}: not a text file in UTF-8") from None
    values = read_yaml(text, f"config {path}")
    if not isinstance(values, dict):
        raise UserError(f"config {path}: expected keys and values, found {type(values).__name__}")
    return values


def _without_waiting(path: str, flags: int) -> int:
    """Open a file, or a pipe as the shell's ``<(...)`` makes it; one that nobody writes to is empty, not waited for."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def override(values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """`values` with ``style.weight=500`` and the like put in; the values are YAML.

    Raises
    ------
    UserError
        If an assignment has no ``=`` or reaches into something that is no section.
    """
    result = dict(values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        where = f"--set {assignment}"
        if not equals or not name:
            raise UserError(f"{where}: expected KEY=VALUE, such as style.weight=500")
        result = put(result, name.split("."), read_yaml(text, where), where)
    return result


def put(values: Mapping[str, Any], keys: Sequence[str], value: Any, where: str) -> dict[str, Any]:
    """`values` with one key, given as the names of its sections and its own, set.

    Raises
    ------
    UserError
        If one of the sections is none; `where` opens the message.
    """
    first, *rest = keys
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if inner is not None and not isinstance(inner, Mapping):
        raise UserError(f"{where}: {first} is no section")
    return {**values, first: put(inner or {}, rest, value, where)}


def parse(values: Mapping[str, Any], where: str) -> Config:
    """Check values and fill in the defaults.

    Parameters
    ----------
    values : mapping
        From a file, with overrides.
    where : str
        Opens error messages: the file they come from.

    Raises
    ------
    UserError
        If a key is unknown, a value is not allowed, or a layer does not exist in the model; one line.
    """
    try:
        config = Config.model_validate(values)
    except pydantic.ValidationError as error:
        raise UserError(f"{where}: {_first_problem(error, values)}") from None
    for section in ("content", "style"):
        for layer in getattr(config, section).layers or {}:
            _check_layer(config, section, layer, where)
    return _resolve(config)


def _check_layer(config: Config, section: str, layer: str, where: str) -> None:
    names = config.spec.layer_names
    if layer not in names:
        raise UserError(f"{where}: {section}.layers: {config.model} has no layer {layer!r}; {nearest(layer, names)}")


def _resolve(config: Config) -> Config:
    """Write out what the model decides where the user said nothing."""
    spec = config.spec
    style = config.style.model_copy(update={"layers": config.style.layers or dict(spec.style_layers)})
    content = config.content.model_copy(update={"layers": config.content.layers or dict(spec.content_layers)})
    return config.model_copy(update={"style": style, "content": content, "pooling": config.pooling or spec.pooling})


def _first_problem(error: pydantic.ValidationError, values: Any) -> str:
    """The first problem in one line: key, value, what was expected, the nearest valid name."""
    problems = error.errors(include_url=False)
    locations = [_keys_in(values, problem["loc"]) for problem in problems]
    problem, location = problems[0], locations[0]
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {nearest(location[-1], _keys_at(location[:-1]))}"
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
    given = repr(problem["input"])
    given = given if len(given) <= 60 else given[:57] + "..."
    branches = [other for other, where in zip(problems, locations) if where == location]
    names = [name for other in branches if other["type"] == "literal_error" for name in _literals(other)]
    close = difflib.get_close_matches(str(problem["input"]), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{key}: {given} is not allowed; expected {' or '.join(dict.fromkeys(map(_expectation, branches)))}{hint}"


def _keys_in(values: Any, location: Sequence[int | str]) -> list[str]:
    """The user's keys in a location of pydantic's, which also names branches of unions."""
    keys = []
    for part in location:
        if isinstance(values, Mapping) and part in values:
            values = values[part]
            keys.append(str(part))
    return keys


def _literals(problem: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", problem["ctx"]["expected"])


def _expectation(problem: Mapping[str, Any]) -> str:
    """What a value should have been, after pydantic's words for it."""
    special = {
        "literal_error": str(problem.get("ctx", {}).get("expected")),
        "model_type": "a section of keys and values",
        "dict_type": "a section of keys and values",
        "tuple_type": "a list",
        "missing": "more entries",
        "too_short": "at least one entry",
        "too_long": f"at most {problem.get('ctx', {}).get('max_length')} entries",
        "int_parsing_size": "a smaller whole number",
    }
    words = re.sub(r"^.* should (be |match )?", "", problem["msg"]).partition(", ")[0]
    return special.get(problem["type"], words)


def _keys_at(location: Sequence[str]) -> list[str]:
    section: Any = Config
    for name in location:
        section = _section_of(section.model_fields[name].annotation)
    return list(section.model_fields)


def _section_of(annotation: Any) -> Any:
    """The section class in an annotation such as ``Schedule | None``."""
    choices = getattr(annotation, "__args__", (annotation,))
    return next(choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel))


def find_input(name: str) -> Path:
    """The file a config names: as given, or else inside the project, so that its own configs run from anywhere.

    Raises
    ------
    UserError
        If the system cannot even look for it, as when its name is too long.
    """
    path = Path(name).expanduser()
    inside = PROJECT_FOLDER / path
    try:
        return inside if not path.exists() and inside.exists() else path
    except OSError as error:
        raise UserError(f"file {name}: {error.strerror}") from None


def dump(config: Config, provenance: Mapping[str, Any]) -> str:
    """The resolved config as YAML that runs again."""
    values = config.model_dump(mode="json", exclude={"provenance"})
    values["provenance"] = dict(provenance)
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
