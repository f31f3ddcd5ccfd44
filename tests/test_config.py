"""The config: valid and invalid values, error messages, and writing it to a file and reading it back."""

from __future__ import annotations

import itertools
import math
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from processes import PROJECT, output_of

import models
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.support.errors import UserError

MINIMAL = {"content": {"image": "photo.jpg"}, "style": {"images": "painting.jpg"}}
SCHEMA = Config.model_json_schema()


# The schema as JSON Schema: its keys and their types.


def resolved(schema):
    """A schema, or the one that it refers to."""
    return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def choices(schema):
    """The alternatives of a schema, or the schema itself."""
    return [choice for option in schema.get("anyOf", [schema]) for choice in [resolved(option)]]


def walk(schema=SCHEMA, keys=()):
    """The path and the schema of every key; tables have one example entry."""
    for name, value in schema.get("properties", {}).items():
        here = (*keys, name)
        yield here, value
        for choice in choices(value):
            yield from walk(choice, here)
            if isinstance(choice.get("additionalProperties"), dict):
                yield (*here, "relu1_1"), choice["additionalProperties"]


KEYS = [(keys, schema) for keys, schema in walk() if keys[0] != "provenance"]
SECTIONS = sorted({keys[:-1] for keys, _ in KEYS if keys[-1] != "relu1_1"})
NUMBERS = [
    (keys, choice) for keys, schema in KEYS for choice in choices(schema) if choice.get("type") in ("number", "integer")
]
LISTS = [
    (keys, choice["prefixItems"]) for keys, schema in KEYS for choice in choices(schema) if "prefixItems" in choice
]
FREE_TEXTS = [
    keys
    for keys, schema in KEYS
    if any(choice.get("type") == "string" and not {"enum", "const"} & choice.keys() for choice in choices(schema))
]


def dotted(keys):
    return ".".join(keys)


def with_key(keys, value, values=MINIMAL):
    """The minimal config with one key set."""
    if keys[:2] == ("style", "images"):
        values = {**values, "style": {}}
    return configs.put(values, keys, value, "test")


def with_regions(*regions):
    return {"content": {"image": "photo.jpg"}, "regions": list(regions)}


def parsed(values=MINIMAL):
    return configs.parse(values, "here.yaml")


def rejected(values):
    """The error message for invalid values: one line that starts with their origin."""
    with pytest.raises(UserError) as caught:
        parsed(values)
    message = str(caught.value)
    assert message.startswith("here.yaml: ") and len(message.splitlines()) == 1
    return message.removeprefix("here.yaml: ")


# Defaults and documented keys.


def test_a_photograph_and_a_painting_are_enough():
    config = parsed()
    assert config.content.image == "photo.jpg" and config.style.images == {"painting.jpg": 1.0}
    assert config.model == "vgg19_small" and config.pixels == "rgb255" and config.normalization == "balanced"
    assert config.engine == config.device == config.precision == "auto" and config.seed == 0
    assert config.output.folder == "output/mine"


def test_defaults_of_the_model_are_filled_in():
    for name in models.names():
        spec = models.load(name).SPEC
        config = parsed({**MINIMAL, "model": name})
        assert config.style.layers == spec.style_layers and config.content.layers == spec.content_layers
        assert config.pooling == spec.pooling
        assert config.spec is spec


def test_values_set_by_the_user_are_kept():
    values = {
        "model": "vgg19",
        "weights": "w.params",
        "pooling": "max",
        "pixels": "bgr255",
        "normalization": "mxnet",
        "content": {"image": "a.png", "weight": 2, "layers": {"relu3_1": 1, "pool4": 0.5}},
        "style": {"images": {"b.png": 1, "c.png": 3}, "weight": 7.5, "layers": {"relu2_2": 2}, "size": 300},
        "tv": {"kind": "squared", "weight": 0.25},
        "size": 123,
        "init": {"kind": "uniform", "low": -1, "high": 2},
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.5,
            "momentum": 0,
            "weight_decay": 0.1,
            "clip_norm": "elements",
            "schedule": {"step": 10, "factor": 0.5},
        },
        "stop": {"max_iterations": 7, "relative_change": 0.005},
        "output": {"folder": "here", "save_every": 3, "checkpoint_every": 4, "denoise": 0.02},
        "seed": 5,
        "engine": "torch",
        "device": "gpu:1",
    }
    found = parsed(values).model_dump(exclude_unset=True)
    assert found == values


@pytest.mark.parametrize("images", ["a.jpg", ["a.jpg"], {"a.jpg": 1}])
def test_a_single_style_may_be_a_name_a_list_or_a_table(images):
    assert parsed(with_key(("style", "images"), images)).style.images == {"a.jpg": 1.0}


def test_styles_in_a_list_have_equal_weights():
    assert parsed(with_key(("style", "images"), ["a.jpg", "b.jpg"])).style.images == {"a.jpg": 1.0, "b.jpg": 1.0}


def test_a_style_picture_counts_once():
    assert parsed(with_key(("style", "images"), ["a.jpg", "./a.jpg", "b.jpg"])).style.images == {"a.jpg": 1, "b.jpg": 1}
    said = rejected(with_key(("style", "images"), {"a.jpg": 1, "./a.jpg": 2}))
    assert said == "style.images: a.jpg and ./a.jpg are one picture with two weights, 1 and 2; expected one"


@pytest.mark.parametrize("style", ["a.jpg", ["a.jpg"], {"a.jpg": None}, {"a.jpg": 1}, {"a.jpg": {"weight": 1}}])
def test_a_painting_of_a_region_is_given_as_a_name_a_list_or_a_table(style):
    (region,) = parsed(with_regions({"style": style})).regions
    assert region.model_dump() == {"content": None, "style": {"a.jpg": {"mask": None, "weight": 1.0}}, "weight": 1.0}


def test_a_painting_of_a_region_has_a_mask_a_weight_or_both():
    style = {"a.jpg": "a.png", "b.jpg": 2, "c.jpg": {"mask": "c.png", "weight": 3}}
    (region,) = parsed(with_regions({"content": "sky.png", "style": style})).regions
    assert {name: (each.mask, each.weight) for name, each in region.style.items()} == {
        "a.jpg": ("a.png", 1.0),
        "b.jpg": (None, 2.0),
        "c.jpg": ("c.png", 3.0),
    }
    assert region.content == "sky.png"


def test_regions_of_weight_0_do_not_count():
    values = with_regions({"style": ["a", "b"]}, {"content": "m", "style": "b"})
    assert list(parsed(values).used_styles) == ["a", "b"] and len(parsed(values).used_regions) == 2
    without = parsed({**values, "style": {"weight": 0}})
    assert not without.used_styles and not without.used_regions


def test_every_key_has_a_description():
    for keys, schema in KEYS:
        is_section = any("properties" in choice for choice in choices(schema))
        assert is_section or keys[-1] == "relu1_1" or schema.get("description"), dotted(keys)


def test_a_config_cannot_be_changed():
    with pytest.raises(Exception, match="frozen"):
        parsed().size = 3


# Unknown keys.


@pytest.mark.parametrize("section", SECTIONS, ids=dotted)
def test_an_unknown_key_is_rejected_at_every_level(section):
    assert f"unknown key {dotted((*section, 'zzz'))!r}; expected one of: " in rejected(with_key((*section, "zzz"), 1))


@pytest.mark.parametrize("keys", [keys for keys, _ in KEYS if keys[-1] != "relu1_1"], ids=dotted)
def test_the_right_key_is_suggested_for_a_misspelt_one(keys):
    *section, name = keys
    message = rejected(with_key((*section, name + "x"), 1))
    assert message == f"unknown key {dotted(keys) + 'x'!r}; did you mean {name!r}?"


@pytest.mark.parametrize("name", ["float", "int", "str", "nullable", "function-x", "literal['a']", ""])
def test_unknown_keys_may_have_any_name(name):
    assert rejected({**MINIMAL, name: 1}).startswith(f"unknown key {name!r}; ")


@pytest.mark.parametrize(("old", "new"), [("convention", "normalization"), ("made_with", "provenance")])
def test_a_renamed_key_is_rejected_with_its_new_name(old, new):
    assert rejected({**MINIMAL, old: "mxnet"}) == f"unknown key {old!r}; it is now called {new!r}"
    assert rejected(with_key(("style", old), 1)).startswith(f"unknown key 'style.{old}'; expected one of: ")


@pytest.mark.parametrize("section", [keys for keys in SECTIONS if keys], ids=dotted)
@pytest.mark.parametrize("value", [3, "text", [1], True])
def test_a_section_must_be_a_mapping(section, value):
    assert rejected(with_key(section, value)).startswith(
        f"{dotted(section)}: {value!r}: Input should be a section of keys and values"
    )


# Invalid values.


def test_numbers_are_found_in_the_schema():
    names = {dotted(keys) for keys, _ in NUMBERS}
    assert {"size", "seed", "style.size", "optimizer.clip_norm", "style.layers.relu1_1", "init.low"} <= names


def limits(schema):
    """The inclusive limits of a number."""
    return [schema[limit] for limit in ("minimum", "maximum") if limit in schema]


def beyond(schema):
    """Values beyond the limits that every number must have."""
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    highest = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = 1 if schema["type"] == "integer" else abs(lowest) * 0.01 or 1e-3
    near = [lowest - step, highest + max(1, highest * 0.01)]
    return [*near, -math.inf, math.inf, math.nan, 10**400, -(10**400), 1e300]


@pytest.mark.parametrize(("keys", "schema"), NUMBERS, ids=[dotted(keys) for keys, _ in NUMBERS])
def test_every_number_has_limits_and_is_rejected_beyond_them(keys, schema):
    for value in limits(schema):
        parsed(with_key(keys, value, {**MINIMAL, "init": {"low": -1e6, "high": 1e6}}))
    for value in beyond(schema):
        assert rejected(with_key(keys, value)).startswith(f"{dotted(keys)}: "), value


@pytest.mark.parametrize(("keys", "items"), LISTS, ids=[dotted(keys) for keys, _ in LISTS])
def test_every_number_in_a_list_has_limits_and_a_list_has_a_length(keys, items):
    good = [limits(item)[0] for item in items]
    parsed(with_key(keys, good))
    bad = [good[:-1], [*good, good[0]], [], 3, "ab", {"a": 1}]
    bad += [[value, *good[1:]] for value in (*beyond(items[0]), "3", True, None, [1])]
    bad += [[*good[:-1], value] for value in beyond(items[-1])]
    for value in bad:
        assert rejected(with_key(keys, value)).startswith((f"{dotted(keys)}: ", f"{dotted(keys)}.")), value
    last = len(good) - 1
    assert rejected(with_key(keys, good[:-1])) == f"{dotted(keys)}.{last}: {good[:-1]}: Field required"
    assert f"at most {len(good)} items" in rejected(with_key(keys, [*good, 1]))
    assert rejected(with_key(keys, 3)) == f"{dotted(keys)}: 3: Input should be a valid tuple"
    assert rejected(with_key(keys, [*good[:-1], 0])).startswith(f"{dotted(keys)}.{last}: 0: Input should be ")


@pytest.mark.parametrize(("keys", "schema"), NUMBERS, ids=[dotted(keys) for keys, _ in NUMBERS])
@pytest.mark.parametrize("value", ["3", "abc", True, False, [1], {"a": 1}, b"3"])
def test_a_value_that_is_not_a_number_is_rejected(keys, schema, value):
    if isinstance(value, list) and dotted(keys) in ("scales", "stop.max_iterations"):
        return  # which accept lists
    message = rejected(with_key(keys, value))
    assert message.startswith(f"{dotted(keys)}: {value!r}: Input should be ") and "a valid " in message


@pytest.mark.parametrize(
    "keys", [keys for keys, schema in NUMBERS if schema["type"] == "integer"], ids=lambda keys: dotted(keys)
)
def test_whole_numbers_may_be_written_as_floats_without_a_fraction(keys):
    ten = 10 if dotted(keys) in ("scales", "output.quality") else 1000
    assert parsed(with_key(keys, float(ten))) == parsed(with_key(keys, ten))
    assert "valid integer" in rejected(with_key(keys, 10.5))


@pytest.mark.parametrize("keys", FREE_TEXTS, ids=dotted)
@pytest.mark.parametrize("value", [3, 1.5, True, {"a": 1}, [[1]], [{"a": 1}]])
def test_a_value_that_is_not_a_string_is_rejected(keys, value):
    assert rejected(with_key(keys, value)).startswith(f"{dotted(keys)}: ")


@pytest.mark.parametrize("keys", FREE_TEXTS, ids=dotted)
@pytest.mark.parametrize("value", ["", "a\0b", "~nobody_of_that_name/a"])
def test_an_invalid_file_name_is_rejected(keys, value):
    assert rejected(with_key(keys, value)).startswith(f"{dotted(keys)}: ")


@pytest.mark.parametrize("value", ["", "a\0b"])
def test_an_invalid_file_name_of_a_style_is_rejected(value):
    message = rejected(with_key(("style", "images"), {value: 1}))
    assert message.startswith("style.images.") and message.endswith(f": {value!r}: Input should be a file name")


@pytest.mark.parametrize(
    ("key", "value", "suggestion"),
    [
        ("model", "vgg91", "vgg19"),
        ("model", "squeezenett", "squeezenet"),
        ("normalization", "mxent", "mxnet"),
        ("pixels", "rgb_255", "rgb255"),
        ("pooling", "avgg", "avg"),
        ("tv.kind", "laplace", "laplacian"),
        ("init.kind", "nois", "noise"),
        ("style.size", "macth", "match"),
        ("optimizer.clip_norm", "element", "elements"),
    ],
)
def test_the_right_name_is_suggested_for_a_misspelt_value(key, value, suggestion):
    message = rejected(with_key(tuple(key.split(".")), value))
    assert message.startswith(f"{key}: {value!r}: Input should be ") and f"{suggestion!r}" in message
    assert message.endswith(f"; did you mean {suggestion!r}?")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scales", [64, 0], "scales.1: 0: Input should be greater than or equal to 1"),
        ("scales", "x", "scales: 'x': Input should be a valid integer, or Input should be a valid list"),
        ("stop.max_iterations", [-1, 5], "stop.max_iterations.0: -1: Input should be greater than or equal to 0"),
        ("style.size", 0, "style.size: 0: Input should be greater than or equal to 1, or Input should be 'match'"),
        ("style.images", {"a\nb": 0}, "style.images.'a\\nb': 0: Input should be greater than 0"),
        ("style.layers.relu1_1", 0, "style.layers.relu1_1: 0: Input should be greater than 0"),
        ("style.images", {"a": 1e-31}, "style.images.a: 1e-31: Input should be greater than or equal to 1e-30"),
        ("style.weight", 1e31, "style.weight: 1e+31: Input should be less than or equal to 1e+30"),
        ("size", 20_001, "size: 20001: Input should be less than or equal to 20000"),
        ("memory", "8G", "memory: '8G': Input should be a number and a unit, such as 8GB "),
    ],
)
def test_messages_are_those_of_pydantic_for_the_likely_alternative(key, value, words):
    assert rejected(with_key(tuple(key.split(".")), value)).startswith(words)


@pytest.mark.parametrize("model", models.names())
@pytest.mark.parametrize("section", ["content", "style"])
def test_the_right_layer_is_suggested_for_a_misspelt_one(model, section):
    layer = models.load(model).SPEC.layer_names[3]
    values = with_key((section, "layers"), {layer + "x": 1}, {**MINIMAL, "model": model})
    assert rejected(values) == f"{section}.layers: {model} has no layer {layer + 'x'!r}; did you mean {layer!r}?"


@pytest.mark.parametrize("section", ["content", "style"])
def test_a_list_of_layers_is_not_empty(section):
    assert f"{section}.layers: {{}}: Dictionary should have at least 1 item" in rejected(
        with_key((section, "layers"), {})
    )


@pytest.mark.parametrize(
    "device", ["gpu", "GPU:0", "gpu:", "gpu:-1", "gpu:100", "cpu:0", "gpu:٣", "", "cpu\n", "cuda", "mps:0"]
)
def test_a_device_is_cpu_or_a_gpu(device):
    expected = "Input should be auto, cpu, gpu:0, gpu:1, ..., cuda:0, ..., or mps"
    assert rejected({**MINIMAL, "device": device}) == f"device: {device!r}: {expected}"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "content.image is missing"),
        ({"content": {"image": "a"}}, "style.images is missing"),
        ({"content": {"image": "a"}, "style": {"images": []}}, "style.images is missing"),
        ({"style": {"images": "a"}, "content": {"weight": 0}}, "content.image is missing: init.kind instant starts"),
        ({**MINIMAL, "content": {"weight": 0}, "style": {"weight": 0}}, "both 0: there is nothing to optimise"),
        ({**MINIMAL, "init": {"kind": "image"}}, "kind: image requires `image`"),
        ({**MINIMAL, "regions": [{"style": "a.jpg"}]}, "style.images and regions both name paintings"),
        (with_regions({"style": "a"}, {"style": "b"}), "regions: more than one has no mask"),
        (with_regions({"style": "a"}, {"styl": "b"}), "unknown key 'regions.1.styl'; did you mean 'style'?"),
        (with_regions({"content": "a"}), "regions.0: style is missing"),
        (with_regions({"style": {"a": {"msk": "b"}}}), "unknown key 'regions.0.style.a.msk'; did you mean 'mask'?"),
        (with_regions({"style": {"a": 0}}), "regions.0.style.a: 0: Input should be greater"),
        (with_regions({"style": {"a": True}}), "regions.0.style.a: True: Input should be"),
        (with_regions({"style": []}), "regions.0.style: {}: Dictionary should have at least 1 item"),
        (with_regions({"style": "a", "weight": -1}), "regions.0.weight: -1: Input should be greater"),
        (with_regions(), "regions: []: List should have at least 1 item"),
        ({**MINIMAL, "init": {"image": "a.png"}}, "`image` requires kind: image"),
        ({**MINIMAL, "init": {"kind": "style"}}, "kind: style requires `name`"),
        ({**MINIMAL, "init": {"name": "night"}}, "`name` requires kind: style"),
        ({**MINIMAL, "init": {"kind": "style", "nme": "night"}}, "unknown key 'init.nme'; did you mean 'name'?"),
        (
            {"style": {"images": "a"}, "content": {"weight": 0}, "init": {"kind": "style", "name": "night"}},
            "content.image is missing: init.kind style starts",
        ),
        ({**MINIMAL, "init": {"low": 3, "high": 2}}, "low (3) must not exceed high (2)"),
    ],
)
def test_inconsistent_values_are_rejected(values, words):
    assert words in rejected(values)


def test_a_group_of_weight_0_needs_no_picture():
    texture = {"content": {"weight": 0}, "style": {"images": "a"}, "init": {"kind": "noise"}}
    assert parsed(texture).content.image is None
    assert parsed({"content": {"image": "a"}, "style": {"weight": 0}}).style.images is None


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)


@given(keys=st.sampled_from([keys for keys, _ in KEYS]), value=YAML_VALUES)
def test_any_value_is_accepted_or_rejected_in_one_line(keys, value):
    values = with_key(keys, value)
    try:
        parsed(values)
    except UserError:
        rejected(values)


# Overrides.


def overridden(*assignments, values=MINIMAL):
    return configs.override(values, assignments)


def test_overrides_are_yaml_and_the_last_one_wins():
    config = parsed(overridden("style.weight=500", "style.weight=1e-3", "style.images={a.jpg: 2}", "weights=null"))
    assert config.style.weight == 1e-3
    assert config.style.images == {"a.jpg": 2.0}
    assert config.weights is None


def test_an_override_creates_missing_sections_and_keeps_other_keys():
    assert overridden("optimizer.schedule.step=5", values={"optimizer": {"momentum": 0.5}, "size": 3}) == {
        "optimizer": {"momentum": 0.5, "schedule": {"step": 5}},
        "size": 3,
    }
    assert overridden("tv.kind=none", values={"tv": None}) == {"tv": {"kind": "none"}}


def test_an_override_sets_an_entry_of_a_list_by_its_number():
    values = {"regions": [{"style": "a"}, {"style": "b", "weight": 2}]}
    assert overridden("regions.1.style=c", "regions.0={style: d}", values=values) == {
        "regions": [{"style": "d"}, {"style": "c", "weight": 2}]
    }
    assert values["regions"][1]["style"] == "b"
    for number in ("2", "-1", "x"):
        with pytest.raises(UserError, match=rf"regions has no entry '{number}'; expected a number from 0 to 1"):
            overridden(f"regions.{number}.style=c", values=values)


def test_overriding_does_not_modify_the_given_values():
    values = {"style": {"weight": 1}}
    overridden("style.weight=2", values=values)
    assert values == {"style": {"weight": 1}}


@pytest.mark.parametrize(
    "number", ["1e3", "1E+3", "1.e3", "1000", "01000", "+01000", "1.0e3", "+1e3", "01e3", "0o1750", "0x3E8"]
)
def test_all_notations_of_numbers_are_read(number):
    assert overridden(f"size={number}", values={}) == {"size": 1000}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0200", 200), ("-0200", -200), ("08", 8), ("00", 0), ("0o10", 8), ("0x1f", 31), ("1e1", 10.0)),
        *((".5", 0.5), ("5.", 5.0), ("-.5e-3", -0.0005), ("007.5", 7.5), (".inf", math.inf), ("-.INF", -math.inf)),
        *(("true", True), ("False", False), ("null", None), ("~", None), ("", None)),
    ],
)
def test_numbers_and_words_mean_what_yaml_1_2_says(text, value):
    for read in (configs.read_yaml(text, "here"), configs.read_yaml(f"a: [{text}]", "here")["a"]):
        assert read in (value, [value] if text else []) and type(read) in (type(value), list)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "Yes", "OFF", "y", "n", "1:30", "1:30:00", "190:20:30.15", "2020-01-01", "0b101"),
        *(
            "2001-12-14t21:59:43.10-05:00",
            "1_000",
            "0x_",
            "0o8",
            "+0x10",
            "1.5.0",
            "nan",
            "inf",
            "=",
            "<<",
            "2099-99-99",
        ),
    ],
)
def test_what_yaml_1_1_would_turn_into_something_else_is_text(text):
    assert configs.read_yaml(text, "here") == text
    assert configs.read_yaml(f"{text}: [{text}]", "here") == {text: [text]}


@pytest.mark.parametrize("read", [lambda text: configs.read_yaml(text, "here"), yaml.safe_load], ids=["1.2", "1.1"])
@given(
    st.from_regex(r"[-+.0-9:_xoeEfn]{1,6}", fullmatch=True) | st.sampled_from(["08", "0o10", "no", "1e3", "=", "<<"])
)
def test_text_is_written_so_that_every_reader_reads_text(read, text):
    assert read(configs.dump(parsed(with_key(("weights",), text)), {}))["weights"] == text


def test_switches_may_be_words():
    for word, value in (("yes", True), ("on", True), ("true", True), ("no", False), ("off", False), ("false", False)):
        assert parsed(overridden(f"output.keep_metadata={word}")).output.keep_metadata is value
    assert parsed(overridden("tile=off")).tile == "off"


@pytest.mark.parametrize("text", ["#1.jpg", "photo #1.jpg", "a # b", " #"])
def test_an_override_is_not_cut_by_a_comment(text):
    with pytest.raises(UserError, match="# starts a comment in YAML; put the value in quotes"):
        overridden(f"content.image={text}")
    assert overridden(f"content.image='{text}'", values={}) == {"content": {"image": text}}
    assert overridden("content.image=a#1.jpg", values={}) == {"content": {"image": "a#1.jpg"}}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("style.weight", "expected KEY=VALUE"),
        ("", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("style.weight: 3", "expected KEY=VALUE"),
        ("style=[1", "not valid YAML"),
        ("style={a: 1, a: 2}", "duplicate key 'a'"),
        ("style=*x", "aliases"),
        ("size=!!python/object/apply:os.system [false]", "python/object/apply"),
        ("content.image.x=3", "image is not a section"),
        ("size=" + "9" * 5000, "not valid YAML"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_a_malformed_override_is_rejected(assignment, words):
    with pytest.raises(UserError, match=r"^--set ") as caught:
        overridden(assignment)
    assert words in str(caught.value) and str(caught.value).startswith(f"--set {assignment}")


@pytest.mark.parametrize("assignment", ["a.=3", ".a=3", "style..weight=3", "a b=3", "<<=1"])
def test_an_override_without_a_valid_key_is_an_unknown_key(assignment):
    assert rejected(overridden(assignment)).startswith("unknown key ")


# Files.


def file_of(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def unreadable(path):
    """The error message for a config file."""
    with pytest.raises(UserError) as caught:
        configs.read_file(path)
    message = str(caught.value)
    assert message.startswith(f"config {path}") and len(message.splitlines()) == 1
    return message


def test_a_file_is_read(tmp_path):
    text = "\ufeffsize: 300  # pixels\r\nstyle:\r\n  weight: 1e-3\r\n  images: [\u30d5, 'b c.jpg']\r\n"
    assert configs.read_file(file_of(tmp_path, text)) == {
        "size": 300,
        "style": {"weight": 1e-3, "images": ["\u30d5", "b c.jpg"]},
    }


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in itertools.pairwise("abcdefghijklmnop"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("size: 1\ntv:\n  weight: 1\nsize: 2\n", " line 4: not valid YAML: duplicate key 'size'"),
        ("style: {weight: 1, weight: 1}", " line 1: not valid YAML: duplicate key 'weight'"),
        (BOMB, " line 2: not valid YAML: aliases"),
        ("model: !!python/object/apply:os.system ['touch pwned']", "python/object/apply:os.system"),
        ("model: !!python/name:os.system", "python/name"),
        ("size: !!int 0200", " line 1: not valid YAML: tags (!!int) are not allowed"),
        ("tv: {<<: {weight: 1}, <<: {kind: none}}", " line 1: not valid YAML: duplicate key '<<'"),
        ("on: 1\n'on': 2\n", " line 2: not valid YAML: duplicate key 'on'"),
        ("1: 2", "the key 1 is not a string"),
        ("style: {true: 1}", "the key True is not a string"),
        ("? [a]\n: 2", "the key ['a'] is not a string"),
        ("a: 1\n--- \nb: 2", "not valid YAML"),
        ("a: {", "not valid YAML"),
        ("[" * 1_000, "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("\tsize: 3", "not valid YAML"),
        ("size: Größe".encode("latin-1"), "not a UTF-8 text file, nor a PNG with a config in it"),
        ("size: 3".encode("utf-16"), "not a UTF-8 text file, nor a PNG with a config in it"),
        ("- size: 3", "expected keys and values, found list"),
        ("size", "expected keys and values, found str"),
        ("", "expected keys and values, found NoneType"),
        ("# nothing\n", "expected keys and values, found NoneType"),
        (b"size: 3\n" + b"#" * 200_000, "larger than"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_an_invalid_config_file_is_rejected(tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    assert words in unreadable(file_of(tmp_path, content))
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_a_missing_file_and_a_folder_are_rejected(tmp_path):
    assert "No such file" in unreadable(tmp_path / "none.yaml")
    assert "Is a directory" in unreadable(tmp_path)
    assert "Not a directory" in unreadable(file_of(tmp_path, "size: 3") / "x.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_rejected(tmp_path):
    path = file_of(tmp_path, "size: 3")
    path.chmod(0)
    assert "Permission denied" in unreadable(path)


@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
    | st.text(alphabet="{}[]:,-&*!?|>'\"%@` \n\tab1.", max_size=40)
)
def test_any_text_is_read_as_yaml_or_rejected(text):
    try:
        configs.read_yaml(text, "here")
    except UserError as error:
        assert str(error).startswith("here") and len(str(error).splitlines()) == 1


def test_a_file_is_also_looked_up_in_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configs.find_input("scripts/nstyle.py") == PROJECT / "scripts" / "nstyle.py"
    assert str(configs.find_input("nowhere.jpg")) == "nowhere.jpg"
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "nstyle.py").touch()
    assert str(configs.find_input("scripts/nstyle.py")) == "scripts/nstyle.py"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert configs.find_input("~/a.jpg") == tmp_path / "a.jpg"
    assert str(configs.find_input("~nobody-known/a.jpg")) == "~nobody-known/a.jpg"


# Writing and reading back.

# File names may contain nearly anything; PyYAML itself loses U+0085, an old line break.
FILE_NAMES = st.text(min_size=1, max_size=100).filter(
    lambda name: name[0] != "~" and not {"\0", "\x85"} & set(name) and not os.path.isdir(name)  # noqa: PTH112
)
AWKWARD_NAMES = st.sampled_from(
    ["1e3", "1e-3", ".5", "yes", "null", "~", "0x10", "1:30", "2020-01-01", "a: b", "#a", " a ", "a  b", "*a", "="]
)


def values_of(schema):
    """All valid values of a key with this schema."""
    if "anyOf" in schema:
        return st.one_of(map(values_of, schema["anyOf"]))
    schema = resolved(schema)
    kind = schema.get("type")
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if kind == "null":
        return st.none()
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        highest = schema.get("maximum", schema.get("exclusiveMaximum", 0) - 1)
        return st.integers(schema["minimum"], highest)
    if kind == "number":
        return st.floats(
            schema.get("minimum", schema.get("exclusiveMinimum")),
            schema.get("maximum", schema.get("exclusiveMaximum")),
            exclude_min="exclusiveMinimum" in schema,
            exclude_max="exclusiveMaximum" in schema,
        )
    if kind == "string":
        return FILE_NAMES | AWKWARD_NAMES
    if kind == "array":
        fixed = st.tuples(*map(values_of, schema.get("prefixItems", []))).map(list)
        return st.lists(values_of(schema["items"]), min_size=1, max_size=3) if "items" in schema else fixed
    if "properties" in schema:
        keys = {key: values_of(value) for key, value in schema["properties"].items()}
        required = {key: keys.pop(key) for key in schema.get("required", [])}
        return st.fixed_dictionaries(required, optional=keys)
    table = values_of(schema["additionalProperties"])
    return st.dictionaries(FILE_NAMES | AWKWARD_NAMES, table, min_size=1, max_size=3)


LAYERS = st.dictionaries(st.sampled_from(["relu1_1", "relu3_1", "pool2"]), st.floats(0.01, 100), min_size=1)


@st.composite
def valid_configs(draw):
    sections = {
        key: value
        for key, value in SCHEMA["properties"].items()
        if key not in ("provenance", "model", "device", "scales")
    }
    values = draw(values_of({"properties": sections}))
    values["model"] = draw(st.sampled_from(["vgg16", "vgg19", "vgg_slim"]))
    values["device"] = draw(st.sampled_from(["auto", "cpu", "gpu:0", "gpu:17", "cuda:3", "mps"]))
    for section in ("content", "style"):
        values[section] = {"weight": draw(st.floats(0, 1e30)), **values.get(section, {}), "layers": draw(LAYERS)}
    values["content"]["image"] = draw(FILE_NAMES | AWKWARD_NAMES)
    values["style"]["weight"] = draw(st.floats(0.1, 9))
    if values.get("regions"):
        values["style"]["images"] = None
        for region in values["regions"][1:]:
            region["content"] = draw(FILE_NAMES | AWKWARD_NAMES)
    else:
        pictures = FILE_NAMES | AWKWARD_NAMES.filter(lambda name: name != "~")  # which is a folder
        values["style"]["images"] = draw(st.dictionaries(pictures, st.floats(0.1, 9), min_size=1))
    values["memory"] = draw(st.sampled_from([None, "8GB", "500 MB", "1.5TiB"]))
    values["scales"] = draw(st.integers(1, 3))
    steps = st.integers(0, 10_000)
    by_scale = st.lists(steps, min_size=values["scales"], max_size=values["scales"])
    values.setdefault("stop", {})["max_iterations"] = draw(steps | by_scale)
    init = values.setdefault("init", {})
    init["low"], init["high"] = sorted([init.get("low", -20.0), init.get("high", 20.0)])
    init["image"] = draw(FILE_NAMES | AWKWARD_NAMES) if init.get("kind") == "image" else None
    init["name"] = draw(FILE_NAMES | AWKWARD_NAMES) if init.get("kind") == "style" else None
    if values.get("optimizer", {}).get("name") not in ("sgd", "adam"):
        values.get("optimizer", {}).pop("average", None)
    output = values.setdefault("output", {})
    if output.get("format") in ("tiff", "webp"):
        output["keep_metadata"] = False
        values["size"], values["shape"] = 512, None
    return values


@given(valid_configs(), st.dictionaries(FILE_NAMES, FILE_NAMES | st.integers(), max_size=3))
def test_a_dumped_config_reads_back_unchanged(values, provenance):
    config = parsed(values)
    text = configs.dump(config, provenance)
    read = configs.read_yaml(text, "dumped")
    again = configs.parse(read, "dumped")
    assert again.model_dump(exclude={"provenance"}) == config.model_dump(exclude={"provenance"})
    assert again.provenance == provenance
    assert configs.dump(again, provenance) == text


def test_a_dumped_config_has_every_key_and_no_aliases():
    text = configs.dump(parsed(), {"weights": {"file": "a"}})
    assert yaml.safe_load(text).keys() == SCHEMA["properties"].keys()
    assert yaml.safe_load(text)["provenance"] == {"weights": {"file": "a"}}
    assert "&" not in text and "*" not in text


# Of the output.


def test_a_format_holds_the_size(tmp_path):
    assert parsed(with_key(("output", "format"), "webp", {**MINIMAL, "size": 16_383}))
    said = rejected(with_key(("output", "format"), "webp", {**MINIMAL, "size": 16_384}))
    assert said == "output.format: webp holds at most 16383 pixels a side, not 16384"


def test_tiff_has_no_metadata():
    said = rejected({**MINIMAL, "output": {"format": "tiff", "keep_metadata": True}})
    assert said == "output: keep_metadata goes with png, jpg and webp, not with tiff"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", "jpeg", "did you mean 'jpg'?"),
        ("formt", "jpg", "unknown key 'output.formt'; did you mean 'format'?"),
        ("quality", 0, "output.quality: 0: "),
        ("quality", 101, "output.quality: 101: "),
        ("keep_metadata", 1, "output.keep_metadata: 1: Input should be a valid boolean"),
        ("keep_metadata", "maybe", "output.keep_metadata: 'maybe': Input should be a valid boolean"),
    ],
)
def test_mistakes_in_the_output_are_refused(key, value, words):
    assert words in rejected(with_key(("output", key), value))


# Configs in pictures.


def picture_with(path, text):
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    if text is not None:
        texts.add_itxt(configs.PNG_KEY, text)
    Image.new("RGB", (300, 200)).save(path, pnginfo=texts)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.yaml"])
def test_a_picture_is_the_config_in_it(tmp_path, name):
    config = configs.parse({**MINIMAL, "size": 99, "output": {"folder": "there", "denoise": 0.1}, "memory": "8GB"}, "x")
    picture_with(tmp_path / "a.png", configs.dump_for_picture(config, {"numpy": "1"})).rename(tmp_path / name)
    values = configs.read_file(tmp_path / name)
    assert values["provenance"] == {"numpy": "1"}
    again = configs.parse(values, "x")
    assert configs.settings_of_picture(again) == configs.settings_of_picture(config)
    assert again.output.denoise == 0.1 and again.output.folder == "output/mine" and again.memory is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "a PNG without a config in it; expected one that this program has written"),
        ("size: [", "not valid YAML"),
        ("no keys", "expected keys and values, found str"),
        ("size: 3\n" + "#" * 100_000, "larger than 100000 bytes"),
        ("#" * 3_000_000, "config"),
    ],
    ids=["none", "broken", "no keys", "long", "hostile"],
)
def test_a_picture_without_a_config_is_refused(tmp_path, text, words):
    assert words in unreadable(picture_with(tmp_path / "a.png", text))


def test_a_damaged_picture_is_refused_as_a_config(tmp_path):
    content = picture_with(tmp_path / "a.png", "size: 3").read_bytes()
    for length in range(8, 300, 7):
        path = file_of(tmp_path, content[:length])
        try:
            assert configs.read_file(path) == {"size": 3}
        except UserError as error:
            assert len(str(error).splitlines()) == 1


def test_configs_are_checked_without_mxnet():
    assert (
        output_of(
            "import sys; from styletransfer import config;"
            "c = config.parse({'content': {'image': 'a'}, 'style': {'images': 'b'}}, 'x'); c.spec; config.dump(c, {});"
            "print('mxnet' in sys.modules, 'skimage' in sys.modules, 'PIL' in sys.modules)"
        )
        == "False False False"
    )
