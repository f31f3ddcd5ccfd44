"""The benchmarks run, and both stacks agree. No times are asserted."""

from __future__ import annotations

import csv
import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
from feedforward_helpers import random_style
from helpers import relative_error
from numpy.typing import NDArray
from processes import PROJECT, python
from true_vgg19 import true_vgg19

import models
from models import runtime
from styletransfer import config as configs
from styletransfer import weights
from styletransfer.feedforward import style_file
from styletransfer.pictures import images
from styletransfer.session import inputs
from styletransfer.session.memory import for_pictures
from styletransfer.session.resolve import resolve
from styletransfer.studies.benchmarks import (
    feedforward,
    fresh_process,
    large,
    machine,
    peer,
    pytorch,
    quality,
    report,
    sizes,
    stacks,
    start,
    steps,
)
from styletransfer.support.errors import StyleTransferError, UserError

BENCH = PROJECT / "scripts" / "bench.py"
PICTURES = ("input/coffee.jpg", "input/night.jpg")
PAGE = "".join(f"# {name}\n\n<!-- {name}: begin -->\nold\n<!-- {name}: end -->\n\n" for name in report.BENCHMARKS)

needs_pytorch = pytest.mark.skipif(not machine.has_pytorch(), reason="PyTorch is not installed")
needs_bfloat16 = pytest.mark.skipif(not runtime.has_bfloat16(), reason="MXNet cannot compute in bfloat16 here")


def points(*losses: float) -> tuple[quality.Point, ...]:
    return tuple(quality.Point(number, float(number), loss) for number, loss in enumerate(losses, start=1))


def race_of(ours: tuple[quality.Point, ...], theirs: tuple[quality.Point, ...]) -> quality.Result:
    threshold = quality.best(theirs).loss if theirs else None
    return quality.Result("vgg_slim", 64, True, threshold, ours, theirs)


# The machine and its processes


def test_the_machine_is_described_in_one_line() -> None:
    line = machine.describe()
    assert "MXNet 1.9.1" in line and f"{runtime.threads()} threads" in line and "\n" not in line


def test_bfloat16_is_measured_if_faster_or_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster, able, forced, expected in (
        (True, True, False, True),
        (False, True, False, False),
        (False, True, True, True),
        (False, False, True, False),
    ):
        monkeypatch.setattr(runtime, "is_faster_in_bfloat16", lambda faster=faster: faster)
        monkeypatch.setattr(runtime, "has_bfloat16", lambda able=able: able)
        assert machine.measures_bfloat16(forced) == expected
        if not expected:
            assert machine.why_no_bfloat16(forced).startswith("(bfloat16 is skipped")


def test_a_fresh_process_has_its_own_peak_memory() -> None:
    here = np.ones(50_000_000)  # 400 MB
    assert 1 < fresh_process.call(machine.peak_megabytes) < 300 < machine.peak_megabytes()
    assert here.all()


def test_errors_in_a_fresh_process_are_reported() -> None:
    with pytest.raises(UserError, match="vgg99"):
        fresh_process.call(pytorch.blocks_of, "vgg99")
    with pytest.raises(StyleTransferError, match=r"machine.why_no_bfloat16 failed: TypeError"):
        fresh_process.call(machine.why_no_bfloat16)
    with pytest.raises(fresh_process.Killed, match="SIGABRT"):
        fresh_process.call(os.abort)


# Steps


def gradient_of(name: str) -> NDArray:
    gradient = stacks.step_of(name, "vgg_slim", 40)()
    return gradient.numpy() if name.startswith("torch") else gradient.asnumpy() / gradient.size


@needs_pytorch
@pytest.mark.parametrize("name", ["torch", "torch-last"])
def test_the_steps_compared_have_the_same_gradient(name: str) -> None:
    assert np.isfinite(gradient_of(name)).all()
    assert relative_error(gradient_of("ours"), gradient_of(name)) < 1e-3


@needs_bfloat16
@pytest.mark.parametrize("name", ["ours-bfloat16", pytest.param("torch-bfloat16", marks=needs_pytorch)])
def test_in_bfloat16_the_gradient_is_nearly_the_same(name: str) -> None:
    assert relative_error(gradient_of(name), gradient_of("ours")) < 0.3


def test_a_tiled_step_has_the_gradient_of_the_whole() -> None:
    whole, tiled = (stacks.mxnet_step("vgg_slim", 256, tile=tile)().asnumpy() for tile in (None, 224))
    assert relative_error(tiled, whole) < 1e-3


@needs_pytorch
def test_the_table_of_steps() -> None:
    results = list(steps.measure("vgg_slim", 48, repeats=1, times=1, bfloat16=False))
    assert [result.stack for result in results] == ["ours", "torch", "torch-last"]
    for result in results:
        assert result.seconds > 0 and result.megabytes > 50
        assert result.time_ratio is not None and result.time_ratio > 0 and result.time_ratio_bfloat16 is None
        assert len(steps.cells(result)) == len(steps.HEADINGS)
    assert results[1].time_ratio == results[1].memory_ratio == 1


def test_the_table_of_steps_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_pytorch", lambda: False)
    (result,) = steps.measure("vgg_slim", 32, repeats=1, times=1, bfloat16=False)
    assert result.stack == "ours" and result.time_ratio is None
    assert steps.cells(result)[3:6] == ["-", "-", "-"]


# Time to quality


@needs_pytorch
@pytest.mark.parametrize(
    "assignments",
    [
        [],
        ["tv.weight=0", "pooling=max", "pixels=torchvision"],
        ["tv.weight=50", "style.size=48", "content.layers={relu2_1: 1, relu3_1: 3}", "style.layers={relu2_2: 2}"],
        ["style.images={input/night.jpg: 2, input/wave.jpg: 1}", "model=vgg19", "style.weight=500"],
        ["content.weight=0"],
    ],
)
def test_both_stacks_have_the_same_objective(assignments: list[str]) -> None:
    config = quality.config_for("vgg_slim", 72, *PICTURES, assignments)
    totals = quality.totals_at_starts(config.model_dump(mode="json", exclude={"provenance"}), 20.0, True)
    for image in ("noise", "content"):
        assert totals["PyTorch"][image] == pytest.approx(totals["ours"][image], rel=1e-4)
    assert totals["ours"]["noise"] > 0


@needs_pytorch
def test_the_comparison_rejects_unsupported_configs() -> None:
    for assignments, message in (
        (["normalization=gatys"], "normalization: balanced"),
        (["tv.kind=power"], "laplacian"),
        (["style.layers={pool2: 1}"], "does not support poolings"),
    ):
        config = quality.config_for("vgg_slim", 48, *PICTURES, assignments)
        with pytest.raises(UserError, match=message):
            plan = resolve(config)
            pytorch.objective_of(plan, inputs.read_pictures(plan)[-1], weights.random(plan.spec, 0))
    with pytest.raises(UserError, match=r"not a network of the VGG family; .* vgg16, vgg19, vgg19_16x, vgg_slim"):
        pytorch.blocks_of("squeezenet")


@needs_pytorch
def test_a_race() -> None:
    config = quality.config_for(
        "vgg_slim", 64, *PICTURES, ["scales=2", "stop.max_iterations=[6, 60]", "precision=float32"]
    )
    result = quality.race(config, evaluations=20, noise=20.0, every=3)
    assert [point.evaluation for point in result.theirs] == list(range(1, 21))
    assert result.threshold == min(point.loss for point in result.theirs)
    assert [point.evaluation for point in result.ours][:4] == [0, 3, 6, 7]  # every third at the first scale, then all
    assert result.ours[-1].loss <= result.threshold < min(point.loss for point in result.ours[:-1])
    for curve in (result.ours, result.theirs):
        assert all(earlier.seconds < later.seconds for earlier, later in itertools.pairwise(curve))
    network, edge, ratio, *_ = quality.cells(result)
    assert (network, edge) == ("vgg_slim", "64") and float(ratio) > 0
    assert quality.notes([result]) == []


def test_a_race_against_a_stored_curve(tmp_path: Path) -> None:
    config = quality.config_for("vgg_slim", 48, *PICTURES, ["scales=1", "stop.max_iterations=3", "precision=float32"])
    values = config.model_dump(mode="json", exclude={"provenance"})
    start = quality.totals_at_starts(values, 0.001, False)["ours"]["noise"]
    before = race_of(points(1.0), points(start, start / 1e6))
    quality.write_curves(tmp_path / "curve.csv", [quality.Result(**{**vars(before), "edge": 48})])
    theirs = quality.read_pytorch_curve(tmp_path / "curve.csv", "vgg_slim", 48)
    assert theirs == before.theirs
    result = quality.race(config, 300, 0.001, 5, theirs)
    assert result.theirs == theirs and len(result.ours) == 4
    assert quality.cells(result)[2:4] == ["-", "not reached"]
    assert "did not reach the loss" in quality.notes([result])[0]
    with pytest.raises(StyleTransferError, match=r"objectives differ.*as measured before"):
        quality.race(config, 300, 0.001, 5, points(start * 1.001, 1.0))


@needs_bfloat16
def test_in_bfloat16_the_loss_is_evaluated_separately_in_float32() -> None:
    common = ["scales=1", "stop.max_iterations=4", "optimizer.name=sgd", "optimizer.learning_rate=1"]
    first = {}
    for precision in ("float32", "bfloat16"):
        config = quality.config_for("vgg_slim", 48, *PICTURES, [*common, f"precision={precision}"])
        curve = quality.our_curve(config.model_dump(mode="json", exclude={"provenance"}), None, 2)
        first[precision] = {step: loss for step, _, loss in curve}
    assert list(first["float32"]) == [0, 1, 2, 3, 4] and list(first["bfloat16"]) == [0, 2, 4]
    assert first["bfloat16"][0] == pytest.approx(first["float32"][0], rel=1e-6)


def test_without_pytorch_ours_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_pytorch", lambda: False)
    config = quality.config_for("vgg_slim", 32, *PICTURES, ["scales=1", "stop.max_iterations=2", "precision=float32"])
    result = quality.race(config, 300, 0.001, 5)
    assert result.threshold is None and result.theirs == () and len(result.ours) == 3
    assert quality.cells(result)[2] == "-"
    assert "ours only" in quality.notes([result])[0]


def test_the_threshold_is_the_lowest_finite_loss() -> None:
    curve = points(9.0, math.nan, 4.0, math.inf, 5.0, 4.0)
    assert quality.best(curve) == curve[2]
    assert quality.first_below(curve, 8.0) == curve[2] and quality.first_below(curve, 3.0) is None
    assert quality.lowest_so_far(points(9.0, 11.0, 4.0, 5.0)) == [9.0, 9.0, 4.0, 4.0]
    with pytest.raises(StyleTransferError, match="finite"):
        quality.best(points(math.nan))


def test_the_ratio_is_theirs_over_ours() -> None:
    result = race_of(points(8.0, 2.0), points(9.0, 8.0, 7.0, 3.0, 6.0))
    assert quality.cells(result) == ["vgg_slim", "64", "2.00", "2.0", "2", "4.0", "4", "3"]


def test_an_invalid_curve_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "curve.csv"
    with pytest.raises(UserError, match="--reuse"):
        quality.read_pytorch_curve(file, "vgg_slim", 64)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a CSV file written by --curve"):
        quality.read_pytorch_curve(file, "vgg_slim", 64)
    quality.write_curves(file, [race_of(points(1.0), points(2.0))])
    with pytest.raises(UserError, match="no curve of PyTorch for vgg_slim at a long edge of 65"):
        quality.read_pytorch_curve(file, "vgg_slim", 65)


# What a trained style saves


def test_a_start_from_a_style_next_to_one_from_the_photograph(tmp_path: Path) -> None:
    style_file.write(tmp_path / "random.npz", random_style())
    config = quality.config_for("vgg_slim", 48, *PICTURES, ["stop.max_iterations=3", "precision=float32"])
    single, double = start.measure(config, str(tmp_path / "random.npz"), every=2)
    assert [point.evaluation for point in single.from_photograph] == [0, 1, 2, 3]
    assert [point.evaluation for point in double.from_photograph] == [0, 2, 3, 4, 5, 6]
    for result in (single, double):
        totals = [point.loss for point in result.from_photograph]
        reached = [point.loss <= min(totals) for point in result.from_style]
        assert reached.index(True) == len(reached) - 1 if any(reached) else len(reached) == len(totals)
        assert result.from_style[0].loss != totals[0]
        assert len(start.cells(result)) == len(start.HEADINGS)


def test_the_steps_that_a_style_saves() -> None:
    slow, fast = points(9.0, 5.0, 4.0, 3.0), points(4.5, 3.5, 2.0)
    cells = start.cells(start.Result("vgg_slim", 64, 1, slow, fast))
    first, last = slow[0].evaluation, slow[-1].evaluation
    assert cells[3] == str(last) and cells[5] == "3"
    assert cells[6:] == [str(first + 2), f"{fast[2].seconds:.1f}", "2", str(first + 2)]
    cells = start.cells(start.Result("vgg_slim", 64, 1, slow, fast[:2]))
    assert cells[6:9] == [f"not in {fast[1].evaluation}", "-", "3.5"]


# Sizes


def test_the_table_of_sizes() -> None:
    results = list(sizes.measure("vgg_slim", [256, 48], [300, 224], largest=100, times=1))
    assert [(result.size, result.tile) for result in results] == [(48, None), (256, None), (256, 224)]
    for result in results:
        assert len(sizes.cells(result)) == len(sizes.HEADINGS)
        if (result.size, result.tile) == (256, None):
            assert result.seconds is None and "above 100" in sizes.cells(result)[3]
        else:
            assert result.seconds is not None and result.megabytes is not None
            assert result.per_megapixel == pytest.approx(result.seconds / result.size**2 * 1e6)


def test_sizes_are_relative_to_one_and_stop_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(function: object, model: str, size: int, tile: int | None, times: int) -> tuple[float, float]:
        if tile is None and size > 600:
            raise fresh_process.Killed("no memory")
        return size**2 / 1e5 * (1 if tile is None else 2), size

    monkeypatch.setattr(fresh_process, "call", measured)
    rows = {
        (result.size, result.tile): sizes.cells(result)[3:]
        for result in sizes.measure("vgg_slim", [256, 512, 1024, 2048], [400], 4096, 1)
    }
    assert rows[256, None][:3] == ["1.00", "0.50", "10.000"]
    assert rows[512, 400][:3] == ["2.00", "1.00", "20.000"]
    assert rows[1024, None][0] == "killed by the system" and rows[2048, None][0] == "not tried: above 1024"
    assert rows[2048, 400][:2] == ["2.00", "4.00"]


def test_tiles_too_small_are_rejected() -> None:
    with pytest.raises(UserError, match=r"--tiles: 30 pixels are too few for vgg_slim; expected at least \d+"):
        list(sizes.measure("vgg_slim", [256], [30], 512, 1))


# Feed-forward networks


@needs_pytorch
@pytest.mark.parametrize("network", models.transformer_names())
@pytest.mark.parametrize("name", ["torch", "torch-last"])
def test_the_passes_compared_give_the_same_image(name: str, network: str) -> None:
    ours, theirs = (feedforward.pass_of(stack, network, 46)() for stack in ("ours", name))
    assert ours.shape == theirs.shape == (1, 3, 46, 46) and ours.dtype == theirs.dtype == np.float32
    assert ours.std() > 1 and relative_error(ours, theirs) < 1e-4


@needs_bfloat16
@pytest.mark.parametrize("network", models.transformer_names())
@pytest.mark.parametrize("name", ["ours-bfloat16", pytest.param("torch-bfloat16", marks=needs_pytorch)])
def test_in_bfloat16_the_image_is_nearly_the_same(name: str, network: str) -> None:
    found, expected = (feedforward.pass_of(stack, network, 46)() for stack in (name, "ours"))
    assert 0 < relative_error(found, expected) < 0.1


@needs_pytorch
def test_the_table_of_feed_forward_networks() -> None:
    results = list(feedforward.measure("small", 32, repeats=1, times=1, bfloat16=False))
    assert [result.stack for result in results] == ["ours", "torch", "torch-last"]
    for result in results:
        cells = feedforward.cells(result)
        assert len(cells) == len(feedforward.HEADINGS) and cells[:2] == ["small", "32 x 32"]
        assert float(cells[6]) == pytest.approx(result.seconds * 1000, abs=0.06)
    assert results[1].time_ratio == results[1].memory_ratio == 1


def test_the_table_of_large_pictures() -> None:
    whole, limited = large.measure([600], 10**9, times=1)
    assert (whole.size, whole.limit, limited.size, limited.limit) == (512, None, 600, 10**9)
    assert large.cells(whole)[2:5] == ["none", "whole", "1.00"] and large.cells(limited)[2:4] == ["1.0GB", "whole"]
    assert whole.megabytes > 50 and limited.megabytes > 50
    assert len(large.cells(limited)) == len(large.HEADINGS)
    assert large.Result.from_values(vars(limited)) == limited
    with pytest.raises(UserError, match="picture of 600 x 600 pixels needs"):
        list(large.measure([600], 10**6, times=1))


def test_a_large_picture_that_fits_as_a_whole_is_also_made_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def measured(function: object, photograph: str, limit: int | None, times: int) -> tuple[float, float]:
        given.append((images.size(photograph), limit))
        return 2.0, 300.0

    monkeypatch.setattr(fresh_process, "call", measured)
    monkeypatch.setattr("styletransfer.feedforward.stylize.whole_memory", lambda *_: 3 * 10**9)
    monkeypatch.setattr("styletransfer.feedforward.stylize.least_memory", lambda *_: 2 * 10**9)
    limits = {limit: list(large.measure([1024], limit, 1)) for limit in (4 * 10**9, 2_500_000_000)}
    rows = [large.cells(result)[1:5] for result in limits[4 * 10**9]]
    assert rows[1:] == [["1024 x 1024", "4.0GB", "whole", "0.25"], ["1024 x 1024", "2.288GB", "in strips", "0.25"]]
    assert [large.cells(result)[2:4] for result in limits[2_500_000_000]][1:] == [["2.5GB", "in strips"]]
    assert given[:3] == [((512, 512), None), ((1024, 1024), for_pictures(4 * 10**9)), ((1024, 1024), 2 * 10**9)]


# The page


def test_a_table_replaces_only_its_predecessor(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(PAGE)
    race = race_of(points(8.0, 2.0), points(9.0, 3.0))
    size = sizes.Result("vgg_slim", 512, None, 2.0, 900.0, (2.0, 900.0))
    report.write(page, "quality", [race], "python scripts/bench.py quality", ["(a note)"])
    report.write(page, "sizes", [size], "python scripts/bench.py sizes", [])
    report.write(page, "sizes", [size, size], "python scripts/bench.py sizes", [])
    text = page.read_text()
    assert text.count("old") == len(report.BENCHMARKS) - 2 and "<!-- steps: begin -->\nold" in text
    assert "| vgg_slim | 64 | 1.00 | 2.0 | 2 | 2.0 | 2 | 3 |\n\n(a note)\n<!-- quality: end -->" in text
    assert text.count("| vgg_slim | 512 x 512 | whole | 1.00 | 1.00 | 7.629 | 2.000 | 900 |") == 2
    assert machine.describe() in text
    assert (tmp_path / "performance.png").read_bytes().startswith(b"\x89PNG")
    kept = report._data(page)
    assert [quality.Result.from_values(values) for values in kept["quality"]] == [race]
    assert [sizes.Result.from_values(values) for values in kept["sizes"]] == [size, size]


def test_a_page_without_markers_is_rejected(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    with pytest.raises(UserError, match="--write"):
        report.check(page, ["steps"])
    page.write_text("<!-- steps: begin -->\n<!-- steps: end -->\n")
    report.check(page, ["steps"])
    with pytest.raises(UserError, match="expected the lines <!-- sizes: begin -->"):
        report.check(page, ["steps", "sizes"])


def test_the_page_of_the_project_has_a_place_for_every_table() -> None:
    report.check(PROJECT / "docs" / "performance.md", list(report.BENCHMARKS))


# The command


@needs_pytorch
def test_the_command_measures_prints_and_writes_all_tables(tmp_path: Path) -> None:
    page, curve = tmp_path / "performance.md", tmp_path / "curve.csv"
    page.write_text(PAGE)
    done = python(
        *(BENCH, "--models", "vgg_slim", "--write", page, "--curve", curve),
        *("--sizes", 32, "--repeats", 1, "--steps", 1),
        *("--size", 32, "--evaluations", 3, "--set", "stop.max_iterations=3", "--set", "precision=float32"),
        *("--edges", 32, "--tiles"),
        *("--networks", "small", "--feedforward-sizes", 64, "--passes", 1, "--large-sizes", 48, "--limit", "1GB"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(machine.describe())
    for benchmark in report.BENCHMARKS.values():
        assert report.Layout.of(benchmark).row(benchmark.HEADINGS) in done.stdout
    assert "old" not in page.read_text()
    rows = list(csv.DictReader(curve.open()))
    assert {row["stack"] for row in rows} == {"ours", "PyTorch"}
    assert all(float(row["seconds"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["steps", "--models", "squeezenet"], "squeezenet is not a network of the VGG family"),
        (["steps", "--models", "vgg91"], "did you mean 'vgg19'"),
        (["steps", "--repeats", "0"], "--repeats: 0 is too small; expected 1 or more"),
        (["sizes", "--edges", "8"], "--edges: 8 is too small; expected 16 or more"),
        (["feedforward", "--networks", "smal"], "smal is not a feed-forward network; did you mean 'small'?"),
        (["feedforward", "--feedforward-sizes", "32"], "--feedforward-sizes: 32 is too small; expected 64 or more"),
        (["feedforward", "--passes", "0"], "--passes: 0 is too small; expected 1 or more"),
        (["large", "--limit", "4"], "--limit: '4': Input should be a number and a unit"),
        (["large", "--large-sizes", "64", "--limit", "1MB"], "may be used; expected a smaller --size"),
        (["quality", "--set", "size=nine"], "size: 'nine': Input should be"),
        (["quality", "--reuse", "absent.csv"], "--reuse absent.csv: No such file"),
        (["quality", "--models", "vgg_slim", "--content", "absent.jpg"], "absent.jpg"),
        (["steps", "--write", "absent.md"], "--write absent.md: No such file"),
        (["start"], "start: name a bundled style or a style file with --start-from"),
        (["start", "--start-from", "absent.npz"], "style absent.npz: no such file"),
        (["start", "--start-from", "absent.npz", "--write", "absent.md"], "--write: start has no table on the page"),
    ],
)
def test_invalid_options_are_reported_in_one_line(arguments: list[str], message: str) -> None:
    done = python(BENCH, *arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1


def test_picture_names_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.jpg").write_bytes((PROJECT / "input" / "coffee.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    config = quality.config_for("vgg_slim", 32, "mine.jpg", "input/night.jpg", [])
    values = config.model_dump(mode="json", exclude={"provenance"})
    assert fresh_process.call(quality.totals_at_starts, values, 0.001, False)["ours"]["noise"] > 0
    assert configs.find_input("mine.jpg") == Path("mine.jpg")


# The peer


@needs_pytorch
def test_the_peer_and_ours_minimise_the_same_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both run in this process, and pastiche gets its weights from us, which is faster."""
    import torch
    from pastiche.vgg19 import VGG19

    arrays = {name: torch.from_numpy(values.copy()) for name, values in true_vgg19().items()}
    arrays["conv1_1_weight"] = arrays["conv1_1_weight"].flip(1)
    layers = [name.removesuffix("_weight") for name in arrays if name.endswith("_weight")]
    network = VGG19(VGG19.Weights(*((arrays[f"{layer}_weight"], arrays[f"{layer}_bias"]) for layer in layers)))
    monkeypatch.setattr(VGG19, "from_quantized_bin", lambda *_, **__: network)
    monkeypatch.setattr(fresh_process, "call", lambda function, *arguments: function(*arguments))
    result = peer.measure(48, *PICTURES, 4, [], tmp_path)
    assert [point.evaluation for point in result.theirs] == [0, 1, 2, 3]
    assert result.ours[0].loss == pytest.approx(result.theirs[0].loss, rel=1e-5)
    assert result.theirs[-1].loss < result.theirs[0].loss and result.ours[-1].loss < result.ours[0].loss
    for name in ("ours", "pastiche"):
        assert images.read(tmp_path / f"{name}.png").shape == (32, 48, 3)


def test_another_loss_than_the_peers_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {peer.their_curve: [(0, 0.0, 5.0), (1, 1.0, 4.0)], quality.our_curve: [(0, 0.0, 5.05), (1, 1.0, 4.0)]}
    monkeypatch.setattr(fresh_process, "call", lambda function, *_: curves[function])
    with pytest.raises(StyleTransferError, match=r"the losses of the start differ: 5.05 in ours, 5.0 in pastiche"):
        peer.measure(48, *PICTURES, 2, [])


def test_the_row_of_the_peer() -> None:
    ours, theirs = points(9, 5, 2), points(9, 8, 7, 6, 5)
    assert peer.cells(peer.Result(512, ours, theirs)) == ["512", "2.50", "2.0", "2", "5.0", "5", "5"]
    assert peer.cells(peer.Result(512, points(9, 6), theirs))[1:4] == ["-", "not reached", "2"]
