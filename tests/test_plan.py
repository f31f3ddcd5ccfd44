"""The plan of a run: its stages, the tiles it chooses, what it says, and that the run then does so."""

from __future__ import annotations

import re

import pytest
from processes import NSTYLE, python
from shrunk import shrunk

from styletransfer import memory, pipeline, plan
from styletransfer.errors import UserError
from styletransfer.pyramid import Pyramid


def stages_of(*changes):
    settings = shrunk("starry", changes)
    return plan.stages(settings, pipeline.read_pictures(settings))


def test_every_scale_is_a_stage_with_its_steps():
    found = stages_of("scales=[40, 80]", "size=80", "stop.max_iterations=[9, 3]")
    assert [(stage.width, stage.height, stage.steps) for stage in found] == [(40, 26, 9), (80, 53, 3)]
    assert all(stage.tile is None and stage.tiling.whole for stage in found)
    assert found[0].memory < found[1].memory


def test_tiles_are_chosen_where_the_whole_does_not_fit():
    whole = stages_of("size=900", "optimizer={name: sgd}")[0]
    limit = whole.memory - 50_000_000
    (tiled,) = stages_of("size=900", "optimizer={name: sgd}", f"memory={limit // 10**6}MB")
    assert tiled.tile is not None and len(tiled.tiling.tiles) > 1 and tiled.memory <= limit
    assert tiled.line().startswith("900 x 600 pixels: 6 steps at most, ") and " tiles of " in tiled.line()


def test_off_is_never_tiled_and_a_number_always():
    (off,) = stages_of("size=900", "tile=off", "memory=300MB")
    assert off.tile is None
    (asked,) = stages_of("size=900", "tile=300", "memory=300MB")
    assert asked.tile == 300 and max(asked.tiling.height, asked.tiling.width) <= 300


def test_a_tile_too_small_for_the_network_is_refused():
    with pytest.raises(UserError, match=r"tile: 100 pixels are too few for relu5_1 of vgg_slim: expected at least \d+"):
        stages_of("size=900", "tile=100")


def test_what_fits_in_no_way_is_refused_with_what_would():
    with pytest.raises(UserError, match=r"need at least .* MB of memory, and 400 MB may be used; expected size: \d+"):
        stages_of("size=3000", "memory=400MB")


def test_on_a_gpu_nothing_is_foretold_and_nothing_chosen():
    (found,) = stages_of("size=900", "device=gpu:0", "memory=300MB")
    assert found.tile is None and found.memory is None and "memory" not in found.line()


def test_the_prediction_is_that_of_the_memory_module():
    settings = shrunk("starry", ["size=80", "content.weight=0", "tv.weight=0", "style.size=60"])
    (pictures,) = pipeline.read_pictures(settings)
    (stage,) = plan.stages(settings, [pictures])
    run = memory.Run(
        settings.spec,
        tuple(settings.style.layers),
        (),
        53,
        80,
        ((pictures.styles[0][1].shape[0], pictures.styles[0][1].shape[1]),),
        settings.optimizer,
        "none",
    )
    assert stage.memory == memory.predict(run)


def test_the_lines_say_sizes_steps_memory_and_time():
    settings = shrunk("starry", ["scales=[40, 80]", "size=80", "stop.max_iterations=[9, 3]"])
    text = list(plan.lines(settings, pipeline.read_pictures(settings), pipeline.load_parameters(settings)))
    assert text[0] == "VGG-slim, float32, lbfgs, into output/starry"
    assert text[1].startswith("40 x 26 pixels: 9 steps at most") and text[2].startswith("80 x 53 pixels: 3 steps")
    assert re.fullmatch(r"memory: [\d.]+ GB at most, of [\d.e+]+ GB that may be used", text[3])
    assert re.fullmatch(r"time: about \d+ seconds, from a small trial", text[4])


@pytest.mark.parametrize(("seconds", "said"), [(3, "3 seconds"), (100, "1.7 minutes"), (9000, "2.5 hours")])
def test_durations_are_said_in_the_unit_that_suits_them(seconds, said):
    assert plan._duration(seconds) == said


def test_a_tiled_run_is_the_untiled_one():
    curves = []
    for tile in (None, 200):
        settings = shrunk("starry", ["size=260", "stop.max_iterations=3", "optimizer={name: sgd, clip_norm: 2000}"])
        levels = pipeline.read_pictures(settings)
        pyramid = Pyramid(settings, levels, pipeline.load_parameters(settings), [tile])
        curves.append([record.losses.total for record in pyramid.records()])
        assert int(pyramid.state()["tiles"][0]) == (tile or 0)
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def test_a_run_goes_on_with_the_tiles_it_began_with():
    settings = shrunk("starry", ["size=260", "stop.max_iterations=2"])
    levels, parameters = pipeline.read_pictures(settings), pipeline.load_parameters(settings)
    first = Pyramid(settings, levels, parameters, [200])
    next(first.records())
    again = Pyramid(settings, levels, parameters, [None], state=first.state())
    assert int(again.state()["tiles"][0]) == 200


@pytest.mark.parametrize("option", ["--dry-run", "--profile"])
def test_the_command_foretells_and_makes_nothing(tmp_path, option):
    settings = ["--set", "size=64", "--set", "scales=1", "--output", str(tmp_path / "run")]
    done = python(NSTYLE, "--config", "configs/starry.yaml", *settings, option)
    assert done.returncode == 0, done.stderr
    assert ("time: about" in done.stdout) == (option == "--dry-run")
    assert ("convolution" in done.stdout) == (option == "--profile")
    assert not (tmp_path / "run").exists()


def test_the_memory_of_a_run_made_elsewhere_does_not_depend_on_this_machine(monkeypatch):
    settings = shrunk("starry", ["size=900", "optimizer={name: sgd}"])
    expected = stages_of("size=900", "optimizer={name: sgd}", "tile=off")[0].memory
    monkeypatch.setattr(memory, "limit", lambda asked: 0 if asked is None else 10**9)
    assert plan.peak_memory(settings) == expected
    assert plan.peak_memory(settings.model_copy(update={"memory": "1GB"})) <= 10**9
    assert plan.peak_memory(settings.model_copy(update={"device": "gpu:0"})) is None
    absent = settings.content.model_copy(update={"image": "absent.jpg"})
    assert plan.peak_memory(settings.model_copy(update={"content": absent})) is None
