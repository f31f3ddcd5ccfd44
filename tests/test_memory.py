"""The memory limit of a run, its estimated and its measured memory, and the tile that is chosen for it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from peak_memory import Case, measure
from processes import output_of
from test_architecture import WITHOUT_MXNET

import models
from styletransfer.config import OptimizerSettings
from styletransfer.engines import choose
from styletransfer.losses.tiling import smallest_tile
from styletransfer.session import memory
from styletransfer.support.errors import UserError

_KB = 1024
_AVAILABLE = "MemTotal:       4000000 kB\nMemFree:  100 kB\nMemAvailable:   1600000 kB\n"
_STATUS = "Name:\tpython\nVmRSS:\t  300000 kB\nRssAnon:\t  200000 kB\n"


def machine(folder, **files):
    """A folder with files of /proc and /sys, in whose names __ is a slash; by default, those of an ordinary machine."""
    for name, text in {"proc__meminfo": _AVAILABLE, "proc__self__status": _STATUS, **files}.items():
        path = folder.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def group(folder, path, **files):
    """A control group in sys/fs/cgroup; in the names of its files the first _ is a dot."""
    group = folder / "sys/fs/cgroup" / path
    group.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (group / name.replace("memory_", "memory.", 1)).write_text(text)


def with_reserve(free):
    return 200_000 * _KB + free * 15 // 16


def test_a_configured_limit_is_used(tmp_path):
    assert memory.limit("8GB", machine(tmp_path)) == 8_000_000_000


def test_without_control_groups_the_limit_is_that_of_the_machine(tmp_path):
    assert memory.limit(None, machine(tmp_path)) == with_reserve(1_600_000 * _KB)


def test_if_nothing_can_be_read_the_limit_is_half_of_the_machine(tmp_path):
    everything = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert memory.limit(None, tmp_path) == int(everything.split()[1]) * _KB // 2


def test_a_group_without_a_limit_is_ignored(tmp_path):
    machine(tmp_path, proc__self__cgroup="0::/user\n")
    group(tmp_path, "user", memory_max="max\n", memory_high="max\n", memory_current="1000\n", memory_stat="")
    assert memory.limit(None, tmp_path) == with_reserve(1_600_000 * _KB)


def test_version_2_does_not_count_cached_files_that_can_be_dropped(tmp_path):
    machine(tmp_path, proc__self__cgroup="0::/user/job\n")
    statistics = "anon 1\ninactive_file 100000000\nactive_file 7\n"
    group(tmp_path, "user/job", memory_max="900000000\n", memory_current="500000000\n", memory_stat=statistics)
    assert memory.limit(None, tmp_path) == with_reserve(500_000_000)


@pytest.mark.parametrize("limited", ["a", "a/b", "a/b/c"])
def test_the_tightest_group_up_to_the_root_counts(tmp_path, limited):
    machine(tmp_path, proc__self__cgroup="0::/a/b/c\n")
    for path in ("a", "a/b", "a/b/c"):
        group(tmp_path, path, memory_max="1200000000", memory_current="0")
    group(tmp_path, limited, memory_max="400000000", memory_current="100000000")
    assert memory.limit(None, tmp_path) == with_reserve(300_000_000)


def test_the_threshold_for_throttling_is_a_limit(tmp_path):
    machine(tmp_path, proc__self__cgroup="0::/a\n")
    group(tmp_path, "a", memory_max="max", memory_high="300000000", memory_current="0")
    assert memory.limit(None, tmp_path) == with_reserve(300_000_000)


def test_version_1(tmp_path):
    machine(tmp_path, proc__self__cgroup="5:cpu,cpuacct:/a\n4:memory:/slurm/job_7/step_0\n0::/\n")
    for path in ("memory", "memory/slurm", "memory/slurm/job_7/step_0"):
        group(tmp_path, path, memory_limit_in_bytes="9223372036854771712", memory_usage_in_bytes="10")
    used = {"memory_usage_in_bytes": "600000000", "memory_stat": "inactive_file 1\ntotal_inactive_file 200000000\n"}
    group(tmp_path, "memory/slurm/job_7", memory_limit_in_bytes="800000000", **used)
    assert memory.limit(None, tmp_path) == with_reserve(400_000_000)


def test_a_container_that_sees_the_path_of_the_host(tmp_path):
    machine(tmp_path, proc__self__cgroup="4:memory:/docker/0123\n")
    group(tmp_path, "memory", memory_limit_in_bytes="700000000", memory_usage_in_bytes="300000000")
    assert memory.limit(None, tmp_path) == with_reserve(400_000_000)


def test_in_a_group_beyond_its_limit_only_held_memory_may_be_used(tmp_path):
    machine(tmp_path, proc__self__cgroup="0::/a\n")
    group(tmp_path, "a", memory_max="100", memory_current="200")
    assert memory.limit(None, tmp_path) == with_reserve(0)


def test_the_limit_on_this_machine():
    assert 2**28 < memory.limit(None) < 2**50


def test_it_works_without_mxnet():
    code = "from styletransfer.session import memory\nmemory.limit(None)\nprint('mxnet' in sys.modules)"
    assert output_of(WITHOUT_MXNET + code) == "False"


FACTORS = choose(precision="float32").memory_factors


def run_of(model="vgg_slim", height=1000, width=1400, **changes):
    """A run with the model's own layers."""
    spec = models.load(model).SPEC
    values = {
        "style_layers": tuple(spec.style_layers),
        "content_layers": tuple(spec.content_layers),
        "styles": ((500, 600),),
        "optimizer": OptimizerSettings(name="sgd"),
        "tv": "laplacian",
        "factors": FACTORS,
        **changes,
    }
    return memory.Workload(spec=spec, height=height, width=width, **values)


def named(optimizer, **keys):
    return OptimizerSettings(name=optimizer, **keys)


@st.composite
def runs(draw):
    """Any run without tiles whose image is large enough for all its layers."""
    spec = models.load(draw(st.sampled_from(models.names()))).SPEC
    layers = st.lists(st.sampled_from(spec.layer_names), max_size=4, unique=True)
    style_layers, content_layers = tuple(draw(layers)), tuple(draw(layers))
    assume(style_layers or content_layers)
    sides = st.integers(spec.smallest_side(spec.deepest(style_layers + content_layers)), 4000)
    optimizer = named(draw(st.sampled_from(["sgd", "adam", "lbfgs", "lbfgsb", "accept_reject"])))
    styles = tuple((draw(sides), draw(sides)) for _ in range(draw(st.integers(1, 2))))
    tv = draw(st.sampled_from(["none", "laplacian", "squared", "power"]))
    return memory.Workload(
        spec=spec,
        style_layers=style_layers,
        content_layers=content_layers,
        height=draw(sides),
        width=draw(sides),
        styles=styles,
        optimizer=optimizer,
        tv=tv,
        factors=FACTORS,
    )


@given(runs(), st.integers(0, 600), st.integers(0, 600))
@settings(max_examples=200)
def test_more_pixels_do_not_need_less_memory(run, rows, columns):
    larger = dataclasses.replace(run, height=run.height + rows, width=run.width + columns)
    larger_style = dataclasses.replace(run, styles=tuple((h + rows, w + columns) for h, w in run.styles))
    assert memory.predict(run) <= min(memory.predict(larger), memory.predict(larger_style))


@given(runs(), st.data())
@settings(max_examples=200)
def test_more_layers_do_not_need_less_memory(run, data):
    names = st.sampled_from(run.spec.layer_names)
    for group in ("style_layers", "content_layers"):
        layers = tuple(dict.fromkeys([*getattr(run, group), data.draw(names)]))
        least = run.spec.smallest_side(run.spec.deepest(layers))
        assume(min(run.height, run.width, *(side for style in run.styles for side in style)) >= least)
        assert memory.predict(run) <= memory.predict(dataclasses.replace(run, **{group: layers}))


@given(runs(), st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=200)
def test_larger_tiles_do_not_need_less_memory(run, first, more):
    """If both are smaller than the pictures: a single tile needs no memory for owned parts."""
    tile = smallest_tile(run.spec, run.layers) + first
    assume(tile + more < min(run.height, run.width, *(side for style in run.styles for side in style)))
    smaller, larger = (dataclasses.replace(run, tile=side) for side in (tile, tile + more))
    assert memory.predict(smaller) <= memory.predict(larger)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "vgg19"},
        {"optimizer": named("adam")},
        {"optimizer": named("lbfgs")},
        {"tv": "power"},
        {"styles": ((500, 600), (500, 600))},
        {"regions": 2},
    ],
    ids=str,
)
def test_changes_that_need_more_memory(changes):
    assert memory.predict(run_of(**changes)) > memory.predict(run_of())


def test_every_optimizer_and_tv_declares_its_memory():
    """A new kind of total variation or a new optimiser must be measured."""
    for tv in ("none", "laplacian", "squared", "power"):
        memory.predict(run_of(tv=tv))
    for optimizer in ("sgd", "adam", "lbfgs", "lbfgsb", "accept_reject"):
        memory.predict(run_of(optimizer=named(optimizer)))


@pytest.mark.parametrize("optimizer", ["lbfgs", "lbfgsb"])
def test_the_history_of_lbfgs_needs_memory(optimizer):
    """A point and a gradient per step: in double precision, or in single precision and copied for the checkpoint."""
    short, long = (memory.predict(run_of(optimizer=named(optimizer, history=history))) for history in (2, 20))
    assert long - short >= 18 * 2 * 8 * (3 * 1000 * 1400)


def test_a_short_round_of_lbfgsb_has_a_short_history():
    short, short_rounds = (
        memory.predict(run_of(optimizer=named("lbfgsb", **keys)))
        for keys in ({"history": 2}, {"history": 20, "evaluations": 2})
    )
    assert short == short_rounds


def test_a_run_that_fits_is_not_tiled():
    run = run_of()
    assert memory.largest_tile(run, memory.predict(run)) is None
    assert memory.largest_tile(run, memory.predict(run) - 1) is not None


@given(runs(), st.floats(0, 1))
@settings(max_examples=150)
def test_the_tile_chosen_fits_and_the_next_does_not(run, share):
    smallest = smallest_tile(run.spec, run.layers)
    least, most = memory.predict(dataclasses.replace(run, tile=smallest)), memory.predict(run)
    assume(least < most)
    limit = int(least + share * (most - least))
    tile = memory.largest_tile(run, limit)
    if tile is None:
        assert most <= limit
        return
    assert tile >= smallest
    assert memory.predict(dataclasses.replace(run, tile=tile)) <= limit < most
    assert memory.predict(dataclasses.replace(run, tile=tile + 16)) > limit


def size_in(message):
    found = re.search(r"expected size: (\d+) or less", message)
    return found and int(found[1])


@given(runs(), st.floats(0.5, 1))
@settings(max_examples=100)
def test_a_run_that_does_not_fit_is_rejected_with_a_size_that_does(run, share):
    smallest = dataclasses.replace(run, tile=smallest_tile(run.spec, run.layers))
    limit = int(share * min(memory.predict(smallest), memory.predict(run))) - 1
    with pytest.raises(UserError) as caught:
        memory.largest_tile(run, limit)
    message = str(caught.value)
    assert "\n" not in message and f"{run.width} x {run.height}" in message
    size = size_in(message)
    assert (size is None) == ("no smaller picture" in message)
    if size is not None:
        memory.largest_tile(run.resized(size), limit)
        assert size < max(run.height, run.width)


def test_the_message():
    run = run_of("vgg19", 8000, 12000, optimizer=named("lbfgs"))
    with pytest.raises(
        UserError, match=r"^12000 x 8000 pixels with vgg19 and lbfgs need at least [\d,]+ MB of memory, "
    ) as caught:
        memory.largest_tile(run, 8 * 10**9)
    assert "and 8,000 MB may be used; expected size: " in str(caught.value)
    size = size_in(str(caught.value))
    assert size is not None
    memory.largest_tile(run.resized(size), 8 * 10**9)
    with pytest.raises(UserError):
        memory.largest_tile(run.resized(size + 1), 8 * 10**9)


def test_a_limit_below_the_smallest_picture():
    with pytest.raises(UserError, match="100 MB may be used; no smaller picture fits"):
        memory.largest_tile(run_of(), 10**8)


def test_style_pictures_as_large_as_the_image_are_resized_with_it():
    run = run_of(styles=((1400, 700), (300, 200))).resized(700)
    assert (run.height, run.width, run.styles) == (500, 700, ((700, 350), (300, 200)))


@pytest.mark.parametrize(
    "case",
    [
        Case("vgg_slim", 256, 256),
        Case("vgg_slim", 512, 512),
        Case("vgg_slim", 192, 256, ((768, 768),)),
        Case(
            "vgg_slim",
            512,
            512,
            tile=288,
            settings=("optimizer={name: lbfgs}", "stop.max_iterations=12", "output.checkpoint_every=12"),
        ),
        Case("squeezenet", 384, 512, settings=("optimizer.name=adam",)),
        Case("vgg19_small", 384, 512),
        Case("vgg_slim", 512, 512, regions=2),
    ],
    ids=lambda case: " ".join([case.model, f"{case.width}x{case.height}", *case.settings]),
)
def test_the_estimate_is_within_a_quarter_of_the_measured_peak(case):
    assert memory.predict(case.run()) == pytest.approx(measure(case), rel=0.25)
