"""The plan of a run: its scales, tiles and description, and that the run follows it."""

from __future__ import annotations

import re
import types

import pytest
from helpers import ENGINE, STABLE_POOLING
from processes import NSTYLE, python
from shrunk import shrunk

from styletransfer.engines import Choice, choose
from styletransfer.pictures import images
from styletransfer.session import forecast, inputs, memory
from styletransfer.session import resolve as resolving
from styletransfer.session.picture_sizes import read_sizes
from styletransfer.session.pyramid import Pyramid
from styletransfer.session.resolve import peak_memory, resolve
from styletransfer.session.resume_state import ResumeState
from styletransfer.support.durations import format_duration
from styletransfer.support.errors import UserError


def scales_of(*changes):
    return resolve(shrunk("slim", changes)).scales


def test_every_scale_has_its_size_and_its_steps():
    found = scales_of("scales=[40, 80]", "size=80", "stop.max_iterations=[9, 3]")
    assert [(scale.width, scale.height, scale.steps) for scale in found] == [(40, 26, 9), (80, 53, 3)]
    assert all(scale.tile is None and scale.segments[0].whole for scale in found)
    assert found[0].memory < found[1].memory


def test_tiles_are_chosen_if_the_image_does_not_fit():
    whole = scales_of("size=900", "optimizer={name: sgd}")[0]
    limit = whole.memory - 50_000_000
    (tiled,) = scales_of("size=900", "optimizer={name: sgd}", f"memory={limit // 10**6}MB")
    assert tiled.tile is not None and len(tiled.segments[0].tiling) > 1 and tiled.memory <= limit
    assert tiled.line().startswith("900 x 600 pixels: 6 steps at most, ") and " tiles of " in tiled.line()


def test_off_means_no_tiles_and_a_number_means_tiles():
    (off,) = scales_of("size=900", "tile=off")
    assert off.tile is None
    (asked,) = scales_of("size=900", "tile=300")
    assert asked.tile == 300 and max(asked.segments[0].tiling.height, asked.segments[0].tiling.width) <= 300


def test_a_tile_too_small_for_the_network_is_rejected():
    with pytest.raises(UserError, match=r"tile: 30 pixels are too few for vgg_slim: expected at least \d+"):
        scales_of("size=900", "tile=30")


def test_a_run_that_cannot_fit_is_rejected_with_a_size_that_does():
    limit = choose(precision="float32").memory_factors.fixed // 10**6 + 112
    words = rf"need at least .* MB of memory, and {limit} MB may be used; expected size: \d+"
    with pytest.raises(UserError, match=words):
        scales_of("size=3000", f"memory={limit}MB")


def test_the_rejected_scale_is_that_of_the_result():
    with pytest.raises(UserError, match=r"^3000 x 2000 pixels"):
        scales_of("size=3000", "scales=2", "memory=400MB")


@pytest.mark.parametrize("tile", ["off", 600])
def test_a_configured_tile_is_rejected_if_the_limit_is_configured(tile, caplog):
    changes = "size=900", "optimizer={name: sgd}"
    needed = scales_of(*changes, f"tile={tile}")[0].memory
    scales_of(*changes, f"tile={tile}", f"memory={needed // 10**6 + 1}MB")
    limit = needed // 10**6 - 10
    what = rf"tile: {tile}: 900 x 600 pixels with vgg_slim and sgd need {needed // 10**6 + 1:,} MB of memory, "
    with pytest.raises(UserError, match=rf"^{what}and {limit:,} MB may be used; expected tile: auto, a smaller size"):
        scales_of(*changes, f"tile={tile}", f"memory={limit}MB")
    assert scales_of(*changes, f"memory={limit}MB")[0].memory <= limit * 10**6
    with pytest.raises(UserError, match=r"^900 x 600 .* need at least \d+ MB of memory, and 290 MB may be used; "):
        scales_of(*changes, f"tile={tile}", "memory=290MB")
    assert not caplog.records


def test_a_configured_tile_gives_a_warning_if_the_limit_is_the_free_memory(monkeypatch, caplog):
    monkeypatch.setattr(memory, "limit", lambda asked: 300_000_000)
    first, second = scales_of("size=900", "scales=2", "optimizer={name: sgd}", "tile=off")
    assert first.tile is second.tile is None
    (warning,) = caplog.messages
    assert warning.startswith("tile: off: 900 x 600 pixels with vgg_slim and sgd need ")
    assert warning.endswith(" MB of memory, and 300 MB are free; tile: auto, or a smaller size, would need less")


def test_on_a_gpu_the_free_memory_of_the_device_decides(monkeypatch):
    class OnGPU(Choice):
        free = None

        def load(self):
            return types.SimpleNamespace(free_memory=lambda: self.free)

    monkeypatch.setattr(resolving, "choose", lambda engine, device, precision: OnGPU("torch", device, precision, ""))
    (found,) = scales_of("size=900", "device=gpu:0", "memory=300MB")  # the limit is that of the processor's
    assert found.tile is None and found.memory is None and "memory" not in found.line()
    monkeypatch.setattr(OnGPU, "free", 500 * 10**6)
    (found,) = scales_of("size=900", "device=gpu:0")
    assert found.tile is not None and found.memory <= OnGPU.free


def test_the_estimate_is_that_of_the_memory_module():
    settings = shrunk("slim", ["size=80", "content.weight=0", "tv.weight=0", "style.size=60"])
    (sizes,) = read_sizes(settings)
    (scale,) = resolve(settings, [sizes]).scales
    run = memory.Workload(
        spec=settings.spec,
        style_layers=tuple(settings.style.layers),
        content_layers=(),
        height=53,
        width=80,
        styles=sizes.styles,
        optimizer=settings.optimizer,
        tv="none",
        factors=resolve(settings, [sizes]).choice.memory_factors,
    )
    assert scale.memory == memory.predict(run)


def test_the_description_has_sizes_steps_memory_and_time():
    settings = shrunk("slim", ["scales=[40, 80]", "size=80", "stop.max_iterations=[9, 3]"])
    plan = resolve(settings)
    text = list(forecast.lines(plan, inputs.load_parameters(plan)))
    assert text[0] == "VGG-slim, float32, lbfgs, into output/slim"
    assert text[1].startswith("40 x 26 pixels: 9 steps at most") and text[2].startswith("80 x 53 pixels: 3 steps")
    assert re.fullmatch(r"memory: [\d.]+ GB at most, of [\d.e+]+ GB that may be used", text[3])
    assert re.fullmatch(r"time: about \d+ seconds?, estimated from a small trial", text[4])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("slim", ["scales=[40, 80]", "size=80"]),
        ("slim", ["scales=3", "size=200", "style.size=100"]),
        ("starry_mxnet", ["style.size=match", "init={kind: image, image: input/night.jpg}"]),
        ("coursera_vgg19", ["scales=[45, 90]", "shape=[60, 90]"]),
        ("texture", []),
    ],
)
def test_pictures_have_the_planned_sizes(name, changes):
    settings = shrunk(name, changes)
    plan = resolve(settings)
    scales = inputs.read_pictures(plan)
    assert len(plan.scales) == len(scales)
    for told, pictures in zip(plan.scales, scales):
        inside = (told.height, told.width)
        assert all(each is None or each.shape == (*inside, 3) for each in (pictures.content, pictures.start))
        assert tuple(style.shape[:2] for _, style in pictures.styles) == told.styles


def test_the_trial_is_small_for_every_run(monkeypatch):
    made, resize = [], images.resize
    monkeypatch.setattr(images, "resize", lambda picture, *size: made.append(size) or resize(picture, *size))
    settings = shrunk("slim", ["shape=[64, 3000]", "size=3000", "style.size=3000"])
    plan = resolve(settings)
    *_, last = forecast.lines(plan, inputs.load_parameters(plan))
    assert last.startswith("time: about ") and set(made) == {(192, 192)}


@pytest.mark.parametrize(("seconds", "said"), [(3, "3 seconds"), (100, "1.7 minutes"), (9000, "2.5 hours")])
def test_durations_have_a_suitable_unit(seconds, said):
    assert format_duration(seconds, 1) == said


SGD = "optimizer={name: sgd, clip_norm: 2000}"


def test_a_tiled_run_equals_an_untiled_one():
    curves = []
    for tile in (None, 200):
        settings = shrunk(
            "slim", ["size=260", "stop.max_iterations=3", "init.kind=content", f"pooling={STABLE_POOLING}", SGD]
        )
        plan = resolve(settings, begun=ResumeState(ENGINE.name, "float32", (tile,)))
        pyramid = Pyramid(plan, inputs.read_pictures(plan), inputs.load_parameters(plan))
        curves.append([record.losses.total for record in pyramid.records()])
        assert int(pyramid.state().tiles[0] or 0) == (tile or 0)
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def test_a_state_keeps_the_tiles_of_its_run():
    settings = shrunk("slim", ["size=260", "stop.max_iterations=2"])
    plan = resolve(settings, begun=ResumeState(ENGINE.name, "float32", (200,)))
    pictures, parameters = inputs.read_pictures(plan), inputs.load_parameters(plan)
    first = Pyramid(plan, pictures, parameters)
    next(first.records())
    state = first.state()
    again = Pyramid(resolve(settings, begun=state), pictures, parameters, state)
    assert int(again.state().tiles[0]) == 200


def test_the_tiles_of_a_resumed_run_are_kept_even_if_they_do_not_fit(monkeypatch, caplog):
    settings = shrunk("slim", ["size=900", "optimizer={name: sgd}", "scales=2"])

    def begun_with(tiles, settings=settings):
        return resolve(settings, begun=ResumeState(ENGINE.name, "float32", tiles)).scales

    found = begun_with((None, 300))
    assert [scale.tile for scale in found] == [None, 300]
    assert [scale.tile for scale in begun_with((None, None))] == [None, None]
    needed = max(scale.memory for scale in found) // 10**6
    limit = needed - 10
    began = r"--resume: tile: (300|off), as when it was started: \d+ x \d+ pixels with vgg_slim and sgd need "
    began += f"{needed + 1:,} MB of memory, and {limit:,} MB"
    with pytest.raises(UserError, match=f"^{began} may be used; expected more memory than {limit}MB, or --force"):
        begun_with((None, 300), settings.model_copy(update={"memory": f"{limit}MB"}))
    monkeypatch.setattr(memory, "limit", lambda asked: limit * 10**6)
    begun_with((None, 300))
    (warning,) = caplog.messages
    assert re.fullmatch(f"{began} are free", warning)


def test_a_dry_run_writes_nothing(tmp_path):
    settings = ["--set", "size=64", "--set", "scales=1", "--output", str(tmp_path / "run")]
    done = python(NSTYLE, "--config", "configs/slim.yaml", *settings, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "time: about" in done.stdout
    assert not (tmp_path / "run").exists()


def test_the_memory_of_a_run_on_any_machine_does_not_depend_on_this_one(monkeypatch):
    settings = shrunk("slim", ["size=900", "optimizer={name: sgd}"])
    expected = scales_of("size=900", "optimizer={name: sgd}", "tile=off")[0].memory
    monkeypatch.setattr(memory, "limit", lambda asked: 0 if asked is None else 10**9)
    assert peak_memory(settings) == expected
    assert peak_memory(settings.model_copy(update={"memory": "1GB"})) <= 10**9
    assert peak_memory(settings.model_copy(update={"device": "gpu:0"})) is None
    absent = settings.content.model_copy(update={"image": "absent.jpg"})
    assert peak_memory(settings.model_copy(update={"content": absent})) is None
