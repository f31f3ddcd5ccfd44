"""The library as it is called from Python: it makes what the command makes, whole or by steps, and ends cleanly."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from processes import output_of

import styletransfer
from scripts.nstyle import main
from styletransfer import Diverged, Result, Step, Stopped, UserError, steps, transfer
from styletransfer.pictures import images
from styletransfer.session import binding, picture_sizes, recorders
from styletransfer.session.session import Session
from styletransfer.support import commands

STEPS = 6
TINY = {
    "size": 48,
    "scales": 1,
    "model": "vgg_slim",
    "weights": "random.params",
    "optimizer": {"name": "sgd", "learning_rate": 1},
    "style.weight": 60,
    "stop.max_iterations": STEPS,
}


@pytest.fixture(autouse=True)
def nothing_is_left(studio, in_the_studio):
    """Check that no file is left in the studio."""
    before = sorted(studio.rglob("*"))
    yield
    assert sorted(studio.rglob("*")) == before


def make(*arguments, **keys):
    """A tiny run of `transfer`, of the photograph and the painting if not of others."""
    return transfer(*(arguments or ("photo.png", "painting.png")), **{**TINY, **keys})


def begin(**keys):
    """The same run by `steps`."""
    return steps("photo.png", "painting.png", **{**TINY, **keys})


def run_command(folder, **keys):
    """The output folder of the command with the same arguments."""
    arguments = ["--content", "photo.png", "--output", str(folder)]
    if not any(key.startswith("style.images") for key in keys):
        arguments += ["--style", "painting.png"]
    for key, value in {**TINY, **keys}.items():
        arguments += ["--set", f"{key.replace('__', '.')}={yaml.safe_dump(value, default_flow_style=True).strip()}"]
    arguments = [argument.removesuffix("\n...") for argument in arguments]
    assert main(arguments) == 0
    return folder


def pixels(image):
    return np.asarray(image if isinstance(image, Image.Image) else Image.open(image))


def losses_of(folder):
    """The columns of its curve, all but the seconds."""
    with open(folder / "curve.csv", encoding="utf-8") as stream:
        header, *rows = (line.strip().split(",") for line in stream)
    return {name: [float(row[number]) for row in rows] for number, name in enumerate(header) if name != "seconds"}


def assert_same(result, other):
    """Check that a result and another, or an output folder, have the same picture and losses, to the last bit."""
    picture, losses = (
        (other.image, other.losses) if isinstance(other, Result) else (other / "image.png", losses_of(other))
    )
    np.testing.assert_array_equal(pixels(result.image), pixels(picture))
    assert list(result.losses) == [*losses, "seconds"] or list(result.losses) == list(losses)
    for name in set(losses) - {"seconds"}:
        np.testing.assert_array_equal(result.losses[name], losses[name])


# The same as the command.


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"scales": 2, "size": 70, "stop.max_iterations": [3, 2]},
        {"optimizer": {"name": "lbfgs"}},
        {"optimizer": {"name": "lbfgsb", "evaluations": 4}},
        {"optimizer": {"name": "adam", "learning_rate": 2}, "init": {"kind": "noise"}, "seed": 7},
        {"output.denoise": 0.1},
        {"tile": 44},
        {"color": "keep", "optimizer": {"name": "adam", "average": 0.9}},
    ],
    ids=["sgd", "scales", "lbfgs", "lbfgsb", "adam", "denoise", "tiles", "colours"],
)
def test_the_result_is_that_of_the_command(tmp_path, keys):
    assert_same(make(**keys), run_command(tmp_path / "run", **keys))


def test_a_config_of_the_project_gives_the_picture_of_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"size": 60, "stop.max_iterations": 3}
    arguments = [f"--set={key}={value}" for key, value in small.items()]
    assert main(["--config", "configs/starry.yaml", "--output", "run", *arguments]) == 0
    found = transfer(config="configs/starry.yaml", **small)
    assert_same(found, tmp_path / "run")
    assert found.config.style.weight == 10 and not (tmp_path / "output").exists()


def test_the_output_folder_is_that_of_the_command(tmp_path):
    keys = {"output__save_every": 2, "output__checkpoint_every": 4}
    expected = run_command(tmp_path / "command", **keys)
    found = make(output=tmp_path / "call", **keys)
    assert found.folder == tmp_path / "call"
    assert_same(found, expected)
    names = [sorted(str(path.relative_to(each)) for path in each.rglob("*")) for each in (expected, found.folder)]
    assert names[0] == names[1] and "image.png" in names[0] and "steps/000002.jpg" in names[0]
    for name in ("image.png", "steps/000002.jpg"):
        assert (expected / name).read_bytes() == (found.folder / name).read_bytes()
    saved = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in (expected, found.folder)]
    assert saved[0].pop("output") != saved[1].pop("output")
    assert saved[0] == saved[1]
    assert repr(losses_of(expected)) == repr(losses_of(found.folder))


def test_two_runs_one_after_the_other_are_the_same():
    assert_same(make(), make())


def test_a_run_in_a_thread_is_the_same():
    found = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: found.append(make()))
    thread.start()
    thread.join(60)
    assert_same(found[0], make())
    assert signal.getsignal(signal.SIGINT) is before


# Pictures.


def forms(name):
    """A picture in all forms that say the same."""
    image = Image.open(name)
    array = np.asarray(image)
    return {"path": Path(name), "image": image, "bytes": array, "floats": array / np.float32(255)}


@pytest.mark.parametrize("form", ["path", "image", "bytes", "floats"])
def test_a_picture_in_memory_is_as_good_as_its_file(form):
    expected = make()
    assert_same(make(forms("photo.png")[form], forms("painting.png")[form]), expected)


def test_several_styles(tmp_path):
    equal = make("photo.png", ["painting.png", "other.png"])
    assert_same(make("photo.png", [Image.open("painting.png"), pixels("other.png")]), equal)
    expected = run_command(tmp_path / "run", **{"style.images": {"painting.png": 2.0, "other.png": 0.5}})
    painting, other = Image.open("painting.png"), Image.open("other.png")
    for style in (
        {"painting.png": 2, Path("other.png"): np.float64(0.5)},
        [("painting.png", 2), (np.asarray(other), np.float32(0.5))],
        ((painting, 2), ("other.png", 0.5)),
    ):
        assert_same(make("photo.png", style), expected)


def test_styles_of_which_some_have_a_weight():
    assert_same(
        make("photo.png", ["painting.png", ("other.png", 3)]), make("photo.png", {"painting.png": 1, "other.png": 3})
    )


def test_one_picture_may_be_both():
    photo = Image.open("photo.png")
    found = make(photo, photo)
    assert_same(found, make("photo.png", "photo.png"))
    assert found.config.content.image == "<content.image>" and list(found.config.style.images) == ["<content.image>"]


def test_a_picture_to_start_from_may_be_in_memory():
    start = {"init__kind": "image", "init__image": pixels("other.png")}
    found = make(**start)
    assert_same(found, make(init={"kind": "image", "image": "other.png"}))
    assert found.config.init.image == "<init.image>"
    nested = make(config={"init": {"kind": "image", "image": Image.open("other.png")}})
    assert_same(nested, found)


def test_grey_and_transparent_pictures():
    grey = Image.open("photo.png").convert("L")
    assert_same(
        make(grey, np.asarray(Image.open("painting.png").convert("RGBA"))), make(np.asarray(grey), "painting.png")
    )


# Keys.


@pytest.mark.parametrize(
    "keys",
    [
        {"style__size": 40, "optimizer__name": "adam"},
        {"style.size": 40, "optimizer.name": "adam"},
        {"config": {"style": {"size": 40}, "optimizer": {"name": "adam"}}},
        {"config": {"style.size": 40, "optimizer.name": "adam"}},
        {"config": {"style": {"size": 4}, "optimizer.name": "sgd"}, "style__size": 40, "optimizer": {"name": "adam"}},
        {"config": {"style": {"size": np.int64(40)}}, "optimizer": {"name": "adam", "learning_rate": np.float32(1)}},
    ],
)
def test_ways_to_give_a_key(keys):
    tiny = {key: value for key, value in TINY.items() if key != "optimizer"}
    found = transfer("photo.png", "painting.png", **{**tiny, "stop.max_iterations": 0, **keys}).config
    assert (found.style.size, found.optimizer.name, found.style.weight) == (40, "adam", 60.0)


def test_a_config_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("content: {image: photo.png}\nstyle: {images: nowhere.png, weight: 3}\noutput: {folder: mine}\n")
    for config in (path, str(path)):
        found = make(None, "painting.png", config=config)
        assert found.config.content.image == "photo.png" and list(found.config.style.images) == ["painting.png"]
        assert found.folder is None  # written is only what is asked for in the call


def test_the_config_of_a_result_makes_it_again():
    first = make(seed=3, init__kind="noise")
    assert_same(transfer(config=first.config), first)
    photo, painting = Image.open("photo.png"), Image.open("painting.png")
    second = make(photo, painting, seed=3, init__kind="noise")
    assert_same(transfer(photo, painting, config=second.config), first)
    with pytest.raises(
        UserError,
        match=r"^picture <content\.image>: it was in the memory of another program; name a file in its place$",
    ):
        transfer(None, painting, config=second.config)


def test_a_texture_needs_no_photograph():
    found = make(None, Image.open("painting.png"), content__weight=0, init__kind="noise")
    assert found.config.content.image is None and found.image.size == (42, 48)


# What comes back.


def test_a_result():
    found = make()
    assert found.image.mode == "RGB" and found.image.size == (48, 34) and found.folder is None
    assert found.losses["step"] == list(range(STEPS + 1))
    assert found.losses["total"][-1] < found.losses["total"][0]
    assert found.losses["content.proj4_1"][1] == found.losses["content"][1]
    assert found.config.optimizer.momentum == 0.9
    assert repr(found) == f"<Result: 48 x 34 pixels after {STEPS} steps>"
    np.testing.assert_array_equal(pixels(io.BytesIO(found._repr_png_())), pixels(found.image))


def test_steps_are_the_records_with_their_images():
    found = list(begin(scales=2, size=70, **{"stop.max_iterations": [2, 3]}))
    expected = make(scales=2, size=70, **{"stop.max_iterations": [2, 3]})
    assert [step.step for step in found] == [0, 1, 2, 3, 4, 5] and {step.max_step for step in found} == {5}
    assert [(step.scale, step.image.size) for step in found] == [(0, (35, 25))] * 3 + [(1, (70, 50))] * 3
    assert [step.losses.total for step in found] == expected.losses["total"]
    assert [step.gradient_norm for step in found] == expected.losses["gradient_norm"]
    assert [step.seconds for step in found] == sorted(step.seconds for step in found)
    assert len({pixels(step.image).tobytes() for step in found}) == len(found)
    np.testing.assert_array_equal(pixels(found[-1].image), pixels(expected.image))
    np.testing.assert_array_equal(pixels(io.BytesIO(found[-1]._repr_png_())), pixels(expected.image))
    assert found[0].image is found[0].image
    assert repr(found[0]).startswith("Step(step=0, max_step=5, scale=0, losses=") and "array" not in repr(found[0])


def test_the_first_step_is_the_start():
    first = next(begin(**{"init.kind": "content"}))
    expected = images.to_bytes(images.resize(images.read("photo.png"), 34, 48))
    np.testing.assert_allclose(pixels(first.image).astype(int), expected.astype(int), atol=1)


def test_steps_return_the_result():
    def delegating():
        return (yield from begin(optimizer={"name": "lbfgsb", "evaluations": 4}))

    found = delegating()
    with pytest.raises(StopIteration) as stopped:
        while True:
            next(found)
    assert_same(stopped.value.value, make(optimizer={"name": "lbfgsb", "evaluations": 4}))


def test_an_image_is_converted_when_it_is_looked_at(monkeypatch):
    from styletransfer.session.display import Display

    picture, seen = Display.picture, []
    monkeypatch.setattr(Display, "picture", lambda self, image: seen.append(1) or picture(self, image))
    found = list(begin())
    assert len(seen) == 1  # the result
    assert found[3].image and found[3].image and len(seen) == 2


def test_progress_is_told_every_step():
    found = []
    assert_same(make(progress=found.append), make())
    assert [step.step for step in found] == list(range(STEPS + 1)) and all(isinstance(step, Step) for step in found)


def test_a_bar_appears_only_where_somebody_looks(capfd, monkeypatch):
    make()
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(recorders, "_in_a_notebook", lambda: True)
    make()
    output, said = capfd.readouterr()
    assert output == "" and f"{STEPS}/{STEPS}" in said and "loss" in said
    for progress in (False, lambda step: None):
        make(progress=progress)
        assert capfd.readouterr() == ("", "")


# The output folder.


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_finished_folder_is_overwritten_only_by_force(tmp_path):
    folder = make(output={"folder": tmp_path / "run", "save_every": 0}).folder
    before = contents(folder)
    with pytest.raises(UserError, match=r"contains a finished picture; name another output.folder or add force=True$"):
        make(output=folder)
    assert contents(folder) == before
    assert make(output=folder, force=True, **{"stop.max_iterations": 2}).losses["step"] == [0, 1, 2]


@pytest.mark.parametrize("way", ["break", "close", "exception"])
@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs", "lbfgsb"])
def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_been(tmp_path, way, optimizer):
    keys = {"optimizer": {"name": optimizer, **({"evaluations": 4} if optimizer == "lbfgsb" else {})}}
    keys |= {"output": tmp_path / "run"}
    running = begin(**keys)
    with contextlib.suppress(ZeroDivisionError):
        for step in running:
            if step.step == 3:
                if way == "break":
                    break
                running.close() if way == "close" else 1 / 0
    del running
    gc.collect()
    assert not (tmp_path / "run" / "image.png").exists()
    assert losses_of(tmp_path / "run")["step"] == [0, 1, 2, 3]
    with pytest.raises(UserError, match=r"contains an unfinished run; add resume=True to continue it, or force=True"):
        make(**keys)
    seen = []
    found = make(**keys, resume=True, progress=seen.append)
    assert [step.step for step in seen] == [4, 5, 6]
    assert_same(found, make(**{**keys, "output": tmp_path / "whole"}))


def test_pictures_in_memory_are_known_again(tmp_path):
    photo, painting = pixels("photo.png"), Image.open("painting.png")
    make(photo, painting, output=tmp_path / "run", output__checkpoint_every=3, **{"stop.max_iterations": 4})
    (tmp_path / "run" / "image.png").unlink()
    with pytest.raises(UserError, match=r"^resume=True: content\.image: the file has changed since the run in "):
        make(255 - photo, painting, output=tmp_path / "run", resume=True)
    with pytest.raises(UserError, match=r"^resume=True: content\.image differs from the run in "):
        make("photo.png", painting, output=tmp_path / "run", resume=True)
    found = make(photo.copy(), painting.copy(), output=tmp_path / "run", resume=True)
    assert_same(found, make())
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert saved["content"]["image"] == "<content.image>" and saved["style"]["images"] == {"<style.images 1>": 1.0}


def test_force_and_resume_need_a_folder():
    for word in ("force", "resume"):
        with pytest.raises(UserError, match=rf"^{word}=True: name the folder too: output=\.\.\.$"):
            make(**{word: True})


# Stopping.


@pytest.fixture
def alive(monkeypatch):
    """Says how many of the scales that were bound are still in memory."""
    bind, bound = binding.bind, []

    def remembered(*arguments):
        made = bind(*arguments)
        bound.extend(map(weakref.ref, (made, made.objective, made.optimizer)))
        return made

    monkeypatch.setattr(binding, "bind", remembered)

    def count():
        gc.collect()
        assert bound
        return sum(each() is not None for each in bound)

    return count


def test_the_memory_of_a_run_is_free_when_it_is_done(alive):
    found = make()
    assert found and alive() == 0
    last = list(begin())[-1]
    assert alive() == 0 and last.image


def test_a_loop_that_is_left_ends_the_run(alive):
    for step in begin():
        if step.step == 2:
            assert alive() == 3
            break
    assert alive() == 0 and step.step == 2 and step.image.size == (48, 34)


def test_a_run_that_is_closed_or_never_begun_ends(alive):
    running = begin()
    next(running)
    running.close()
    assert alive() == 0
    unused = begin(output="nowhere")
    unused.close()
    assert not Path("nowhere").exists()


def test_an_exception_in_the_loop_ends_the_run_though_it_is_kept(alive):
    kept = []

    def leave():
        for _ in begin():
            raise ZeroDivisionError

    for stop in (leave, lambda: make(progress=lambda step: 1 / 0)):
        try:
            stop()
        except ZeroDivisionError as error:
            kept.append(error)
        assert alive() == 0
    assert len(kept) == 2


def press(step):
    """Press Ctrl-C behind the second step."""
    if step.step == 2:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def pressed_within_a_step(monkeypatch):
    """Ctrl-C is pressed while step 2 of the first run is recorded, which is in the midst of its work."""
    record, pressed = recorders.LossRecorder.record, []

    def pressing(self, of):
        if not pressed:
            press(of)
        pressed.extend([of.step] if of.step == 2 else [])
        record(self, of)

    monkeypatch.setattr(recorders.LossRecorder, "record", pressing)


def test_an_interrupt_ends_the_run_behind_its_step(pressed_within_a_step, alive):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as stopped:
        make()
    assert alive() == 0 and signal.getsignal(signal.SIGINT) is before
    assert isinstance(stopped.value, Stopped) and str(stopped.value) == "interrupted at step 2"
    assert_same(stopped.value.result, make(**{"stop.max_iterations": 2}))


def test_an_interrupt_ends_the_steps(pressed_within_a_step, alive):
    seen = []
    with pytest.raises(Stopped) as stopped:
        seen.extend(step.step for step in begin())
    assert alive() == 0 and stopped.value.result.losses["step"] == [0, 1, 2]


def test_an_interrupt_in_code_of_the_user_acts_at_once(alive):
    seen = []
    with pytest.raises(KeyboardInterrupt) as stopped:
        make(progress=lambda step: seen.append(step.step) or press(step))
    assert type(stopped.value) is KeyboardInterrupt and seen == [0, 1, 2] and alive() == 0


def test_a_second_interrupt_acts_at_once(monkeypatch, alive):
    monkeypatch.setattr(
        recorders.LossRecorder, "record", lambda self, of: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]
    )
    try:
        make()
    except KeyboardInterrupt as stop:
        assert type(stop) is KeyboardInterrupt
    else:
        raise AssertionError("it was not interrupted")
    assert alive() == 0


def test_an_interrupt_with_a_folder_saves_the_state(pressed_within_a_step, tmp_path):
    with pytest.raises(Stopped, match=r"^interrupted at step 2, state saved: run again with resume=True$"):
        make(output=tmp_path / "run")
    assert losses_of(tmp_path / "run")["step"] == [0, 1, 2]
    assert_same(make(output=tmp_path / "run", resume=True), make(progress=False, **{"seed": 0}))


def test_an_interrupt_is_left_to_a_program_that_handles_it_itself(monkeypatch):
    received = []
    before = signal.signal(signal.SIGINT, lambda *_: received.append(1))
    try:
        assert make(progress=press).losses["step"] == list(range(STEPS + 1))
        assert received == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_divergence_comes_with_the_best_result(alive):
    keys = {"optimizer": {"name": "sgd", "learning_rate": 1e9, "bounds": "none"}, "stop.max_iterations": 30}
    with pytest.raises(Diverged, match=r"^step \d+: .*; try a smaller optimizer\.learning_rate$") as diverged:
        make(**keys)
    assert isinstance(diverged.value, styletransfer.StyleTransferError) and alive() == 0
    start = make(**{"stop.max_iterations": 0})  # nothing better was found
    np.testing.assert_array_equal(pixels(diverged.value.result.image), pixels(start.image))
    seen = []
    with pytest.raises(Diverged):
        seen.extend(begin(**keys))
    assert [step.diverged for step in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].step == diverged.value.result.losses["step"][-1]


# Mistakes.

MISTAKES = {
    "unknown key": ({"stlye": 3}, "unknown key 'stlye'; did you mean 'style'?"),
    "unknown key in a section": ({"style__wieght": 3}, "unknown key 'style.wieght'; did you mean 'weight'?"),
    "one underscore": ({"style_weight": 3}, "unknown key 'style_weight'; did you mean 'style__weight'?"),
    "unknown section": ({"stlye__weight": 3}, "unknown key 'stlye__weight'; did you mean 'style__weight'?"),
    "unknown key in a dict": ({"config": {"siez": 3}}, "unknown key 'siez'; did you mean 'size'?"),
    "value": ({"size": "large"}, "size: 'large': Input should be a valid integer"),
    "choice": ({"optimizer__name": "adma"}, "did you mean 'adam'?"),
    "layer": ({"style__layers": {"relu1_9": 1}}, "style.layers: vgg_slim has no layer 'relu1_9'"),
    "no section": ({"size__edge": 3}, "size__edge: size is not a section"),
    "missing file": ({"content": "nowhere.png"}, "picture nowhere.png: no such file"),
    "no photograph": ({"content": None}, "content.image is missing: name a photograph"),
    "no painting": ({"style": None}, "style.images is missing: name at least one picture"),
    "content": ({"content": 3}, "content.image: expected a path, a PIL image or an array (height, width, 3), not int"),
    "style": ({"style": {"painting.png"}}, "style.images 1: expected a path, a PIL image or an array"),
    "twice": ({"style": ["painting.png"] * 2}, "style: painting.png is given twice; give it a weight"),
    "weight": ({"style": {"painting.png": 0}}, "style.images.painting.png: 0: Input should be greater than"),
    "shape": ({"content": np.zeros((3, 40, 50))}, "picture <content.image>: an array of shape (3, 40, 50): expected"),
    "row": ({"content": np.zeros(40)}, "picture <content.image>: an array of shape (40,): expected (height, width, 3)"),
    "range": ({"style": np.full((40, 50, 3), 9.0)}, "<style.images 1>: an array of floats from 9 to 9: expected"),
    "too small": ({"style": np.zeros((40, 9, 3))}, "style picture <style.images 1> gives 10 x 48 pixels, too small"),
    "config": ({"config": 3}, "config: expected a file, a dict or a Config, not int"),
    "config file": ({"config": "nowhere.yaml"}, "config nowhere.yaml: No such file or directory"),
    "output": ({"output": 3}, "output: expected a folder or a section, not int"),
    "output key": ({"output": {"fodler": "a"}}, "unknown key 'output.fodler'; did you mean 'folder'?"),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(keys, words):
    arguments = {"content": "photo.png", "style": "painting.png", **TINY, **keys}
    with pytest.raises(UserError) as mistake:
        transfer(**arguments)
    assert words in str(mistake.value) and "\n" not in str(mistake.value)


def test_a_mistake_in_the_arguments_of_steps_is_raised_at_once():
    with pytest.raises(UserError, match=r"^steps\(\): unknown key 'siez'; did you mean 'size'\?$"):
        begin(siez=3)


def test_a_mistake_on_top_of_a_file_names_both(tmp_path):
    (tmp_path / "mine.yaml").write_text("size: 20\n")
    with pytest.raises(UserError, match=rf"^{tmp_path}/mine\.yaml with transfer\(\): unknown key 'siez'"):
        make(config=tmp_path / "mine.yaml", siez=3)


def test_the_line_is_that_of_the_command(capsys):
    keys = {"style.size": 15}
    assert (
        main(
            [
                "--content",
                "photo.png",
                "--style",
                "painting.png",
                "--set",
                "style.size=15",
                "--set",
                "size=48",
                "--set",
                "model=vgg_slim",
            ]
        )
        == 2
    )
    with pytest.raises(UserError) as mistake:
        make(**keys)
    assert capsys.readouterr().err == f"error: {mistake.value}\n"


def test_advice_is_that_for_the_installed_command(monkeypatch, tmp_path):
    monkeypatch.setattr(commands, "IS_INSTALLED", True)
    monkeypatch.setattr(
        picture_sizes, "read_sizes", lambda *_: (_ for _ in ()).throw(UserError("run `python scripts/fetch.py x`\n"))
    )
    with pytest.raises(UserError, match=r"^run `nstyle fetch x`$"):
        make()


def test_a_lack_of_memory_is_one_line(monkeypatch, alive):
    def fail(self):
        raise MemoryError

    monkeypatch.setattr(Session, "picture", fail)
    with pytest.raises(UserError, match=r"^out of memory; use a smaller size") as lack:
        make()
    assert lack and alive() == 0


# The import.


def test_nothing_heavy_is_imported_with_the_library():
    code = "import sys, styletransfer\nheavy = {'mxnet', 'numpy', 'PIL', 'pydantic', 'scipy', 'skimage'}\n"
    assert output_of(code + "print(heavy & set(sys.modules))") == "set()"
    code += "from styletransfer import transfer, steps, UserError, Result\n"
    assert output_of(code + "print('mxnet' in sys.modules, 'tqdm' in sys.modules)") == "False False"


def test_the_names_of_the_library():
    assert set(styletransfer.__all__) <= set(dir(styletransfer))
    assert all(getattr(styletransfer, name).__name__ == name for name in styletransfer.__all__)
    with pytest.raises(AttributeError, match=r"^module 'styletransfer' has no attribute 'transform'$"):
        styletransfer.transform  # noqa: B018
    assert "styletransfer.api" in sys.modules
