"""Runs that are killed, interrupted, damaged or disturbed: resumed, they end like undisturbed ones."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from helpers import ENGINE, random_parameters, random_picture
from processes import NSTYLE, PROJECT, output_of

from scripts.nstyle import main
from styletransfer import weights
from styletransfer.config import OptimizerSettings
from styletransfer.engines import Choice, choice
from styletransfer.pictures import images
from styletransfer.session import checkpoints, curves, memory, output_folder, resolve
from styletransfer.support.errors import UserError

STEPS = 26
SHALLOW = ["style.layers={relu1_1: 1, relu2_1: 1}", "content.layers={relu2_1: 1}"]
# Every optimiser; scales and tiles both with an optimiser that has a large state and one that has a small state.
KINDS = {
    "sgd in a pyramid, keeping colours": [
        "optimizer.name=sgd", "scales=[28, 48]", "color=keep", f"stop.max_iterations=[{STEPS // 2}, {STEPS // 2}]",
    ],
    "adam in tiles, averaged": [
        "optimizer.name=adam", "optimizer.learning_rate=3", "optimizer.average=0.9", "tile=32", *SHALLOW,
    ],
    "lbfgs in tiles in a pyramid": [
        "optimizer.name=lbfgs", "optimizer.history=4", "scales=[28, 48]", "tile=32", *SHALLOW,
        f"stop.max_iterations=[{STEPS // 2}, {STEPS // 2}]",
    ],
    "lbfgsb in a pyramid": [
        "optimizer.name=lbfgsb", "optimizer.evaluations=5", "scales=[28, 48]",
        f"stop.max_iterations=[{STEPS // 2}, {STEPS // 2}]",
    ],
    "accept_reject": ["optimizer.name=accept_reject", "optimizer.learning_rate=9"],
}  # fmt: skip


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with pictures and the weights of a random network."""
    folder = tmp_path_factory.mktemp("studio")
    weights.save(folder / "random.params", random_parameters("vgg_slim"))
    for seed, name in enumerate(("photo.png", "painting.png", "start.png")):
        images.write(folder / name, random_picture(40, 56, seed))
    return folder


@pytest.fixture(autouse=True)
def in_the_studio(studio, monkeypatch):
    """Work in the studio, without curve.png in this process, which would take most of the time."""
    monkeypatch.chdir(studio)
    monkeypatch.setattr(curves, "plot", lambda *arguments: None)


def command(folder, *changes):
    """The arguments of a tiny run; `changes` are ``key=value`` or options."""
    arguments = ["--content", "photo.png", "--style", "painting.png", "--output", str(folder)]
    tiny = ("size=48", "scales=1", f"stop.max_iterations={STEPS}", "init.kind=noise", "optimizer.name=sgd")
    for change in (*tiny, "output.save_every=0", "output.checkpoint_every=2", *changes):
        arguments += [change] if change.startswith("--") else ["--set", change]
    return arguments


@contextlib.contextmanager
def started(folder, *changes, **options):
    """Start such a run in a separate process, which is killed at the end of the block."""
    arguments = [sys.executable, str(NSTYLE), *command(folder, *changes)]
    with subprocess.Popen(arguments, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def saved_step(folder):
    """The last step of the curve in a folder, which is written just before a checkpoint; -1 if there is none."""
    try:
        return int((folder / "curve.csv").read_text().splitlines()[-1].partition(",")[0])
    except FileNotFoundError:
        return -1


def wait_until(condition, process):
    """Wait until a condition holds or the process has ended."""
    end = time.monotonic() + 60
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.002)


def said(capsys):
    """The one line that a command in this process has printed."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def whole(studio, tmp_path_factory):
    """The output folder of an undisturbed run with some changes; each is made once."""
    made = {}

    def folder_of(*changes):
        if changes not in made:
            made[changes] = tmp_path_factory.mktemp("whole") / "run"
            assert main(command(made[changes], *changes)) == 0
        return made[changes]

    return folder_of


def assert_same_run(folder, reference):
    """Check that a run has the same numbers, except for seconds, the same picture, and no other files."""
    found, expected = (curves.read(place / "curve.csv") for place in (folder, reference))
    assert curves.first_difference(found, expected, relative=0.0) is None
    assert len(found.rows) == len(expected.rows)
    assert (folder / "image.png").read_bytes() == (reference / "image.png").read_bytes()
    assert not list(folder.rglob(".*"))
    seconds = found.column("seconds")
    assert seconds == sorted(seconds)


# Killed.


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_at_random_resumes_exactly(whole, tmp_path, kind, seed):
    chance, folder, statuses, option = random.Random(f"{kind} {seed}"), tmp_path / "run", [], "--force"
    for _ in range(2):
        with started(folder, *KINDS[kind], option, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            least = saved_step(folder) + chance.randrange(1, STEPS // 3)
            wait_until(lambda: saved_step(folder) >= least, process)  # noqa: B023
            time.sleep(chance.uniform(0, 0.05))
        statuses.append(process.returncode)
        option = "--resume"
    assert -signal.SIGKILL in statuses
    assert main(command(folder, *KINDS[kind], "--resume", *(["--force"] if 0 in statuses else []))) == 0
    assert_same_run(folder, whole(*KINDS[kind]))


# Kills its own process just before, or just after, a file is renamed for the n-th time.
KILLS_ITSELF = """
import os, signal, sys
name, count, after = {name!r}, {count}, {after}
def replace(source, target, *, real=os.replace):
    global count
    count -= os.path.basename(target) == name
    if after:
        real(source, target)
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if not after:
        real(source, target)
os.replace = replace
sys.path.insert(0, {project!r})
from scripts.nstyle import main
main({arguments!r})
"""


def killed_at(folder, name, count, after, *changes):
    code = KILLS_ITSELF.format(
        name=name, count=count, after=after, project=str(PROJECT), arguments=command(folder, *changes)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(
    ("name", "count", "after"),
    [
        ("curve.csv", 2, True),  # the curve is ahead of the checkpoint
        ("checkpoint.npz", 3, False),
        ("image.png", 1, False),  # all steps are done
    ],
)
def test_a_run_killed_while_a_file_is_renamed_resumes_exactly(whole, tmp_path, name, count, after):
    folder = tmp_path / "run"
    killed_at(folder, name, count, after)
    assert main(command(folder, "--resume")) == 0
    assert_same_run(folder, whole())


@pytest.mark.parametrize("name", get_args(OptimizerSettings.model_fields["name"].annotation))
@pytest.mark.parametrize("kind", ["scales=1", "scales=[28, 48]"])
def test_a_run_killed_after_its_last_step_makes_the_same_picture(whole, tmp_path, kind, name):
    """With L-BFGS-B, the last evaluation is a trial of its line search, not the final image."""
    short = ("stop.max_iterations=1", "output.checkpoint_every=1")
    changes = (kind, f"optimizer.name={name}", "optimizer.first_step=200", *short)
    folder = shutil.copytree(whole(*changes), tmp_path / "run")
    (folder / "image.png").unlink()
    assert main(command(folder, *changes, "--resume")) == 0
    assert_same_run(folder, whole(*changes))


@pytest.mark.parametrize("name", get_args(OptimizerSettings.model_fields["name"].annotation))
def test_a_run_killed_at_the_last_step_of_a_scale_resumes_exactly(whole, tmp_path, name):
    changes = ("scales=[28, 48]", f"optimizer.name={name}", "optimizer.first_step=200", "output.checkpoint_every=1")
    folder = shutil.copytree(whole(*changes, "stop.max_iterations=[1, 0]"), tmp_path / "run")
    (folder / "image.png").unlink()
    assert main(command(folder, *changes, "stop.max_iterations=[1, 4]", "--resume")) == 0
    assert_same_run(folder, whole(*changes, "stop.max_iterations=[1, 4]"))


def test_a_run_killed_before_its_first_checkpoint_starts_over(whole, tmp_path, capsys):
    folder = tmp_path / "run"
    killed_at(folder, "checkpoint.npz", 1, False)
    assert list(folder.glob(".*.unfinished"))
    assert main(command(folder, "--resume")) == 2
    assert said(capsys) == f"error: --resume: there is no checkpoint in {folder}"
    assert main(command(folder)) == 0
    assert_same_run(folder, whole())


# Saves a checkpoint over others in a child process that is killed at the n-th line of the writing modules, for every n.
KILLED_AT_EVERY_LINE = """
import os, pathlib, signal, sys, tempfile
import numpy as np
from styletransfer.session import checkpoints
from styletransfer.support import files

def state(step):
    others = {name: np.array(0) for name in ("engine", "precision", "guard.tries", "optimizer.shortening")}
    return {"step": np.array(step), "image": np.full((1, 3, 4, 4), step), "generator": np.array("{}"), **others}

def killed_at(number):
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename not in (checkpoints.__file__, files.__file__):
            return None
        count += event == "line"
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

for damaged in (False, True):
    found, number = set(), 0
    while True:
        number += 1
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place)
            for step in (1, 2):
                checkpoints.save(folder, state(step), {}, {})
            if damaged:
                (folder / checkpoints.NAME).write_bytes(b"PK")
            child = os.fork()
            if not child:
                sys.settrace(killed_at(number))
                checkpoints.save(folder, state(3), {}, {})
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            saved = checkpoints.read(folder, {}, {})
            assert (saved["image"] == saved["step"]).all()
            found.add(int(saved["step"]))
            if status == 0:
                break
    print(number > 15, *sorted(found))
"""


def test_wherever_saving_is_killed_a_readable_checkpoint_remains():
    assert output_of(KILLED_AT_EVERY_LINE).splitlines() == ["True 2 3", "True 1 3"]


def test_an_extended_run_that_is_killed_does_not_look_finished(whole, tmp_path):
    folder = shutil.copytree(whole(), tmp_path / "run")
    (folder / "curve.png").touch()
    (folder / "run.status").unlink()  # as in folders of earlier versions
    longer = f"stop.max_iterations={STEPS + 5}"
    killed_at(folder, "checkpoint.npz", 1, False, longer, "--resume", "--force")
    assert not (folder / "image.png").exists() and not (folder / "curve.png").exists()
    assert (folder / "run.status").read_text() == "unfinished\n"
    assert main(command(folder, longer, "--resume")) == 0
    assert output_folder.is_done(folder)
    assert_same_run(folder, whole(longer))


def test_wherever_removing_a_run_is_killed_the_rest_can_be_resumed(whole, tmp_path, monkeypatch):
    unlink = Path.unlink
    for count in itertools.count():
        folder, left = shutil.copytree(whole("output.save_every=9"), tmp_path / f"{count}"), iter(range(count))

        def killed(path, *arguments, left=left, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            unlink(path, *arguments, **options)

        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(Path, "unlink", killed)
            output_folder.clear(folder, keep=False)
            break
        assert (folder / "image.png").exists() == (count == 0)
        if checkpoints.exists(folder):
            assert main(command(folder, "--resume", *["--force"] * (count == 0))) == 0
            assert_same_run(folder, whole())
    assert count > 5 and not [path for path in folder.rglob("*") if path.is_file()]


# Interrupted.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_an_interrupted_run_ends_like_an_undisturbed_one(whole, tmp_path, number):
    folder, kind = tmp_path / "run", KINDS["lbfgs in tiles in a pyramid"]
    with started(folder, *kind, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_until(lambda: saved_step(folder) >= 4, process)
        process.send_signal(number)
        output, error = process.communicate(timeout=60)
    assert process.returncode == 75, error
    assert output == "" and "Traceback" not in error
    last = error.splitlines()[-1]
    assert last == (f"interrupted at step {saved_step(folder)}, state saved: run again with --resume")
    assert main(command(folder, *kind, "--resume")) == 0
    assert_same_run(folder, whole(*kind))


# Damaged, changed, replaced.


@pytest.fixture(scope="module")
def halfway(studio, tmp_path_factory):
    """A function that copies the folder of a run that stopped halfway, with two checkpoints, as if power had failed."""
    original = tmp_path_factory.mktemp("halfway") / "run"

    def copied(folder):
        if not original.exists():
            stop = ("stop.max_iterations=16", "output.checkpoint_every=6")
            assert main(command(original, *stop, *OWN_FILES)) == 0
            (original / "image.png").unlink()
        return shutil.copytree(original, folder)

    return copied


OWN_FILES = ("model=vgg_slim", "weights=random.params", "init={kind: image, image: start.png}")


def cut(content):
    return content[: len(content) // 3]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "cut": cut,
    "one bit flipped": flipped,
    "empty": lambda content: b"",
    "garbage": lambda content: random.Random(0).randbytes(len(content)),
    "garbage after an intact header": lambda content: content[:200] + random.Random(0).randbytes(len(content)),
    "end missing": lambda content: content[:-10],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_if_the_newest_checkpoint_is_damaged_the_previous_one_is_used(
    whole, halfway, tmp_path, monkeypatch, caplog, damage
):
    folder = halfway(tmp_path / "run")
    path = folder / "checkpoint.npz"
    path.write_bytes(damage(path.read_bytes()))
    caplog.set_level("INFO")
    assert main(command(folder, "--resume", "output.checkpoint_every=6", *OWN_FILES)) == 0
    assert "resuming after step 12" in caplog.text and f"cannot read {path}" in caplog.text
    assert_same_run(folder, whole(*OWN_FILES))


def state(step):
    """The smallest state that a checkpoint may have."""
    others = dict.fromkeys(
        ("image", "generator", "engine", "precision", "guard.tries", "optimizer.shortening"), np.array(0)
    )
    return {"step": np.array(step), **others}


def test_a_damaged_checkpoint_does_not_replace_the_good_previous_one(tmp_path):
    def damage():
        path = tmp_path / checkpoints.NAME
        path.write_bytes(cut(path.read_bytes()))

    for step in (1, 2):
        checkpoints.save(tmp_path, state(step), {}, {})
    damage()
    assert checkpoints.read(tmp_path, {}, {})["step"] == 1
    checkpoints.save(tmp_path, state(3), {}, {})
    damage()
    assert checkpoints.read(tmp_path, {}, {})["step"] == 1


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_if_both_checkpoints_are_damaged_nothing_is_changed(halfway, tmp_path, capsys, damage):
    folder = halfway(tmp_path / "run")
    for path in (folder / "checkpoint.npz", folder / "checkpoint.previous.npz"):
        path.write_bytes(damage(path.read_bytes()))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert main(command(folder, "--resume", *OWN_FILES)) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --resume: cannot read ")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        "content.weight=2", "style.weight=2", "tv.weight=0.1", "tv.kind=squared", "size=50", "shape=[40, 48]",
        "seed=3", "normalization=gatys", "pixels=bgr255", "pooling=avg", "precision=float32", "tile=off",
        "optimizer.name=adam", "optimizer.momentum=0.5", "optimizer.learning_rate=0.5",
        "optimizer.clip_norm=3", "scales=2", "content.layers.proj4_1=2",
    ],
)  # fmt: skip
def test_a_changed_key_is_rejected_by_name(halfway, tmp_path_factory, capsys, change):
    folder = tmp_path_factory.getbasetemp() / "changed"
    if not folder.exists():
        halfway(folder)
    assert main(command(folder, "--resume", *OWN_FILES, change)) == 2
    assert said(capsys).startswith(f"error: --resume: {change.partition('=')[0]} differs from the run in {folder}")


def test_a_run_of_an_earlier_version_is_rejected_with_the_changed_keys(tmp_path):
    checkpoints.save(tmp_path, state(1), {"convention": "mxnet", "size": 3}, {})
    with pytest.raises(UserError) as caught:
        checkpoints.read(tmp_path, {"normalization": "mxnet", "size": 3}, {})
    assert str(caught.value) == (
        f"--resume: the run in {tmp_path} was started by a version with other config keys (convention, normalization); "
        "start over with --force"
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("photo.png", "content.image"),
        ("painting.png", "style.images painting.png"),
        ("start.png", "init.image"),
        ("random.params", "weights"),
    ],
)
def test_a_replaced_input_is_rejected_by_name(studio, halfway, tmp_path, monkeypatch, capsys, name, key):
    folder = halfway(tmp_path / "run")
    other = shutil.copytree(studio, tmp_path / "other")
    monkeypatch.chdir(other)
    if name.endswith(".png"):
        images.write(other / name, random_picture(40, 56, seed=9))
    else:
        parameters = {name: values.copy() for name, values in random_parameters("vgg_slim").items()}
        next(iter(parameters.values()))[:] += 1
        weights.save(other / name, parameters)
    assert main(command(folder, "--resume", *OWN_FILES)) == 2
    assert said(capsys).startswith(f"error: --resume: {key}: the file has changed since")


# On another machine.


def test_a_resumed_run_keeps_its_engine_and_precision(whole, halfway, tmp_path, monkeypatch):
    folder, expected = halfway(tmp_path / "run"), whole(*OWN_FILES)
    otherwise = not choice.is_fast_in_bfloat16()
    monkeypatch.setattr(choice, "is_fast_in_bfloat16", lambda: otherwise)
    (other,) = {*choice.NAMES} - {ENGINE.name}
    monkeypatch.setenv(choice.VARIABLE, other)
    assert main(command(folder, "--resume", *OWN_FILES)) == 0
    assert_same_run(folder, expected)


def test_an_engine_or_precision_that_is_not_available_here_is_rejected(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:  # as if it were available
        patch.setattr(resolve, "choose", lambda *asked: Choice(ENGINE.name, "cpu", "bfloat16", "as asked"))
        assert main(command(folder, "stop.max_iterations=2")) == 0
    monkeypatch.setattr(type(ENGINE), "precisions", lambda engine: ("float32",))
    began = f"error: --resume: the run was started with {ENGINE.name} in bfloat16, which is not available here "
    end = "; resume it where it was started, or start over with --force"
    capsys.readouterr()
    assert main(command(folder, "--resume", "--force")) == 2
    assert said(capsys) == (
        f"{began}(precision: bfloat16 is not available with engine: {ENGINE.name} on cpu; expected auto or "
        f"float32){end}"
    )
    monkeypatch.setattr(choice, "installed", lambda name: False)
    assert main(command(folder, "--resume", "--force")) == 2
    line = said(capsys)
    assert line.startswith(f"{began}(engine: {ENGINE.name} is not installed; ") and line.endswith(end)
    assert (folder / "image.png").exists()


def test_a_resumed_run_keeps_its_tiles(tmp_path, monkeypatch, caplog):
    folder, small = tmp_path / "run", [*SHALLOW, "output.checkpoint_every=2"]
    with monkeypatch.context() as patch:
        patch.setattr(memory, "largest_tile", lambda run, limit: 32)
        assert main(command(folder, *small, "stop.max_iterations=3")) == 0
    caplog.clear()
    caplog.set_level("INFO")
    assert main(command(folder, *small, "stop.max_iterations=4", "--resume", "--force")) == 0
    (line,) = (line for line in caplog.messages if line.startswith("48 x 34 pixels"))
    assert "steps at most, 4 tiles of " in line


# Disturbed.


def test_a_second_run_in_the_same_folder_is_rejected_and_the_first_continues(whole, tmp_path, capsys):
    folder = tmp_path / "run"
    with started(folder, "stop.max_iterations=3000", stderr=subprocess.PIPE) as process:
        wait_until(lambda: saved_step(folder) >= 2, process)
        for option in ("--force", "--resume"):
            assert main(command(folder, option)) == 2
            assert said(capsys) == (f"error: output.folder: another run is using {folder}; wait for it or name another")
        step = saved_step(folder)
        wait_until(lambda: saved_step(folder) > step + 2, process)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 75
    end = f"stop.max_iterations={saved_step(folder) + 3}"
    assert main(command(folder, "--resume", end)) == 0
    assert_same_run(folder, whole(end))


def test_the_lock_of_another_run_is_left_alone(tmp_path):
    """The folder is removed during a run, and used by another run."""
    folder = tmp_path / "run"
    with output_folder.locked(folder, False, False):
        shutil.rmtree(folder)
        other = contextlib.ExitStack()
        other.enter_context(output_folder.locked(folder, False, False))
    with other:
        assert (folder / ".lock").exists()
        with pytest.raises(UserError, match="another run is using"), output_folder.locked(folder, True, False):
            pass
    assert not (folder / ".lock").exists()


@pytest.mark.parametrize("option", ["--resume", "--force"])
def test_unfinished_files_of_a_killed_process_are_removed(whole, halfway, tmp_path, option):
    folder = halfway(tmp_path / "run")
    (folder / "steps").mkdir()
    left = [".checkpoint.npz.a1b2c3.unfinished", "steps/.000050.jpg.a1b2c3.unfinished", ".lock"]
    kept = ["notes.txt", "mine.unfinished"]
    for name in left + kept:
        (folder / name).write_text("" if name == ".lock" else "half")
    assert main(command(folder, option, *OWN_FILES)) == 0
    assert [name for name in left + kept if (folder / name).exists()] == kept
    assert_same_run(folder, whole(*OWN_FILES))
