"""The profile of a step. No times are asserted, only that the categories sum to the total."""

from __future__ import annotations

import pytest

from models import runtime
from styletransfer import config as configs
from styletransfer.config import Config
from styletransfer.studies import profiling
from styletransfer.support.errors import UserError

_CONVOLUTION = (
    "dnnl_verbose,exec,cpu,convolution,jit:avx512_common,{direction},src_f32::blocked:aBcd16b:f0 "
    "wei_f32::blocked:ABcd16b16a:f0 bia_{bias}::f0 dst_f32::blocked:aBcd16b:f0,,alg:convolution_direct,{problem},{ms}"
)
_THREE = "mb1_ic64oc64_ih8oh8kh3sh1dh0ph1_iw8ow8kw3sw1dw0pw1"
_ONE = "mb1_ic16oc64_ih8oh8kh1sh1dh0ph0_iw8ow8kw1sw1dw0pw0"
_OF_GRAM = "mb1_ic64oc64_ih8oh8kh1sh1dh0ph0_iw8ow8kw1sw1dw0pw0"
_BLUR = "g3mb1_ic3oc3_ih8oh8kh5sh1dh0ph2_iw8ow8kw1sw1dw0pw0"


def convolution(direction: str, bias: str, problem: str, ms: float = 1.0) -> str:
    return _CONVOLUTION.format(direction=direction, bias=bias, problem=problem, ms=ms)


def other(primitive: str, ms: float = 1.0) -> str:
    return f"dnnl_verbose,exec,cpu,{primitive},any,undef,src_f32 dst_f32,,,1x3x8x8,{ms}"


def small(*assignments: str) -> Config:
    values = {"content": {"image": "input/coffee.jpg"}, "style": {"images": "input/night.jpg"}, "size": 48}
    return configs.parse(configs.override(values, assignments), "the test")


@pytest.mark.parametrize(
    ("line", "category"),
    [
        (convolution("forward_training", "f32::blocked:a", _THREE), profiling.CONVOLUTION),
        (convolution("forward_training", "f32::blocked:a", _ONE), profiling.CONVOLUTION),
        (convolution("backward_data", "undef::undef", _THREE), profiling.CONVOLUTION),
        (convolution("backward_data", "undef::undef", _ONE), profiling.CONVOLUTION),
        (convolution("forward_training", "f32::blocked:a", _OF_GRAM), profiling.GRAM),
        (convolution("backward_data", "undef::undef", _OF_GRAM), profiling.GRAM),
        (other("inner_product"), profiling.GRAM),
        (convolution("forward_inference", "undef::undef", "g3" + _THREE), profiling.TV),
        (convolution("forward_inference", "undef::undef", _BLUR), None),
        (other("pooling_v2"), profiling.POOLING),
        (other("eltwise"), profiling.RELU),
        (other("reorder"), profiling.REORDER),
        (other("sum"), None),
    ],
)
def test_a_primitive_belongs_to_a_category(line: str, category: str | None) -> None:
    assert profiling.category_of(line) == category


def test_only_primitives_between_the_marks_are_counted() -> None:
    lines = [
        other("reorder", 100),
        profiling._BEGIN,
        "dnnl_verbose,info,cpu,runtime:OpenMP",
        other("reorder", 1.5),
        other("eltwise", 2),
        other("reorder", 0.25),
        other("sum", 7),
        profiling._END,
        other("eltwise", 100),
    ]
    assert profiling.milliseconds_of(lines) == {profiling.REORDER: 1.75, profiling.RELU: 2.0}


@pytest.mark.parametrize(
    "assignments",
    [
        [],
        ["optimizer.name=adam", "scales=2"],
        pytest.param(
            ["optimizer.name=sgd", "precision=bfloat16"],
            marks=pytest.mark.skipif(not runtime.has_bfloat16(), reason="MXNet cannot compute in bfloat16 here"),
        ),
    ],
)
def test_a_profile_adds_up(assignments: list[str]) -> None:
    found = profiling.profile(small(*assignments), steps=2)
    assert found.steps == 2 and found.milliseconds > 0
    assert sum(category.milliseconds for category in found.categories) == pytest.approx(found.milliseconds)
    assert sum(category.percent for category in found.categories) == pytest.approx(100)
    categories = {category.name: category.milliseconds for category in found.categories}
    for name in (profiling.CONVOLUTION, profiling.POOLING, profiling.RELU, profiling.GRAM, profiling.REORDER):
        assert categories[name] > 0, name
    assert len(found.lines()) == len(found.categories) + 2


def test_unsupported_profiles_are_rejected() -> None:
    with pytest.raises(UserError, match="device: cpu"):
        profiling.profile(small("device=gpu:0"))
    with pytest.raises(UserError, match=r"absent\.jpg"):
        profiling.profile(small("content.image=absent.jpg"))
