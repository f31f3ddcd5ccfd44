"""Sweeps: what a file becomes, what the folders say, the contact sheet and the results. No job runs here."""

from __future__ import annotations

import csv
import fcntl
import json

import pytest
import yaml
from helpers import random_picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from processes import PROJECT

from styletransfer import config as configs
from styletransfer import curves, images, sweeps
from styletransfer.errors import UserError

BASE = {"content": {"image": "photo.png"}, "style": {"images": "painting.png"}, "size": 40}
COLUMNS = ("step", "total", "content", "style", "tv", "seconds")


@pytest.fixture(autouse=True)
def studio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images.write("photo.png", random_picture(30, 40, seed=1))
    images.write("painting.png", random_picture(44, 30, seed=2))


def planned(assignments=(), **keys):
    with open("trial.yaml", "w") as stream:
        yaml.safe_dump({"base": BASE, **keys}, stream, sort_keys=False)
    return sweeps.plan("trial.yaml", assignments)


def names(plan):
    return [job.name for job in plan.jobs]


def finish(job, status=0, said="", total=0.5):
    """What a run leaves."""
    job.folder.mkdir(parents=True, exist_ok=True)
    if status in (0, 3):
        images.write(job.folder / "image.png", random_picture(30, 40, seed=3))
        (job.folder / "config.yaml").write_text(configs.dump(job.config, {}))
        row = {"step": 2, "total": total, "content": 0.1, "style": 0.3, "tv": 0.1, "seconds": 1.5}
        curves.write(job.folder / "curve.csv", COLUMNS, [row])
    (job.folder / "job.log").write_text(f"VGG-slim, 40 x 30 pixels\n{said}\n")
    (job.folder / "job.status").write_text(f"{status}\n")


# Jobs.


def test_every_combination_is_a_job_and_the_last_key_varies_fastest():
    plan = planned(vary={"style.weight": [1, 20.5], "content.layers": [{"relu1_2": 1}, {"relu2_2": 1, "relu3_2": 0.5}]})
    assert names(plan) == [
        "weight=1,relu1_2", "weight=1,relu2_2+relu3_2=0.5", "weight=20.5,relu1_2", "weight=20.5,relu2_2+relu3_2=0.5",
    ]  # fmt: skip
    assert (
        plan.keys == ("style.weight", "content.layers")
        and plan.columns == 2
        and str(plan.folder) == "output/sweeps/trial"
    )
    last = plan.jobs[-1]
    assert last.config.style.weight == 20.5 and last.config.content.layers == {"relu2_2": 1.0, "relu3_2": 0.5}
    assert last.config.size == 40 and last.config.output.folder == f"output/sweeps/trial/{last.name}" == str(
        last.folder
    )


def test_jobs_one_by_one():
    plan = planned(jobs=[{"content.image": "a/one.jpg", "seed": 3}, {"optimizer.name": "adam"}, {}], output="out")
    assert names(plan) == ["one,seed=3", "adam", "base"] and plan.columns is None
    assert plan.keys == ("content.image", "seed", "optimizer.name")
    assert plan.jobs[0].config.seed == 3 and plan.jobs[1].config.content.image == "photo.png"


def test_what_all_jobs_share_and_what_wins():
    plan = planned(["seed=2", "tv.weight=1"], set={"seed": 1, "size": 50}, vary={"size": [60, 70]})
    assert [(job.config.size, job.config.seed, job.config.tv.weight) for job in plan.jobs] == [(60, 2, 1), (70, 2, 1)]


def test_the_base_may_be_a_file_and_its_output_does_not_count():
    plan = planned(base="configs/starry.yaml", vary={"seed": [0, 1]})
    assert plan.jobs[1].config.content.image == "input/coffee.jpg"
    assert str(plan.jobs[1].folder) == plan.jobs[1].config.output.folder == "output/sweeps/trial/seed=1"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("input/night.jpg", "night"), ("night.v2.jpg", "night.v2"), ("gpu:0", "gpu:0"), ("adam", "adam"), (0.1, "0.1"),
        (1e-5, "1e-05"), (123456789.5, "123456789.5"), (True, "true"), (None, "null"), (["a.jpg", "b/c.png"], "a+c"),
        ({"a.jpg": 1, "b.jpg": 2.0}, "a+b=2"), ({"kind": "noise"}, "kind=noise"), ([300, 400], "300+400"), ("/", "/"),
    ],
)  # fmt: skip
def test_labels(value, label):
    assert sweeps.label(value) == label


def test_keys_of_one_name_are_told_apart():
    plan = planned(vary={"style.weight": [1], "content.weight": [2]})
    assert names(plan) == ["style.weight=1,content.weight=2"]


def test_pictures_of_one_name_are_told_apart():
    plan = planned(vary={"content.image": ["a/x.jpg", "b/x.jpg", "b/X.jpg"], "style.images": ["n.jpg"]})
    assert names(plan) == ["x,n", "x-2,n", "X,n-2"]


def test_a_name_stays_when_values_are_added():
    few, many = (planned(vary={"style.images": values, "size": [64]}) for values in (["b.jpg"], ["a.jpg", "b.jpg"]))
    assert set(names(few)) < set(names(many))


@given(st.lists(st.one_of(st.text(), st.text(min_size=100), st.floats(), st.integers(), st.none(), st.booleans())))
def test_names_are_safe_and_unique(values):
    labels = [(sweeps.label(value),) for value in [*values, "contact.png", "CON/..", "..", "é" * 200]]
    found = sweeps._unique(sweeps.safe_name(part) or "base" for (part,) in labels)
    assert len({name.casefold() for name in found}) == len(labels)
    for name in found:
        assert 0 < len(name.encode()) <= 140 and name[0] not in ".-"
        assert not set(name) & set("/\\\0 \n\t'\"$*?<>|:;&`(){}[]!~#%") and name not in ("contact.png", "results.csv")


# Mistakes.


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"vray": {"size": [1]}}, "sweep trial.yaml: unknown key 'vray'; did you mean 'vary'?"),
        ({}, "expected either `vary`"),
        ({"vary": {"size": [9]}, "jobs": [{}]}, "expected either `vary`"),
        ({"vary": {}}, "vary: is empty"),
        ({"vary": {"size": []}}, "vary.size: is empty; expected at least one entry"),
        ({"vary": {"size": 64}}, "vary.size: 64 is not allowed; expected a list"),
        ({"jobs": [3]}, "jobs.0: 3 is not allowed; expected a dictionary"),
        ({"vary": {"size": [1]}, "base": 3}, "base: 3 is not allowed; expected a config file, or keys and values"),
        ({"vary": {"size": [1]}, "base": "~nobody-here/x"}, "names a user who is not known"),
        ({"vary": {"size": [1]}, "base": "nowhere.yaml"}, "config nowhere.yaml: No such file"),
        ({"vary": {"size": list(range(1001))}}, "1,001 jobs are more than"),
        ({"vary": {"output.folder": ["a"]}}, "output.folder: each job has a folder of its own"),
        ({"vary": {"size": [1]}, "set": {"output.folder": "a"}}, "output.folder: each job has a folder of its own"),
        ({"vary": {"size.x": [1]}}, "job x=1: size.x: size is no section"),
        ({"vary": {"size": [64, "big"]}}, "sweep trial.yaml, job big: size: 'big' is not allowed"),
        ({"vary": {"content.imgae": ["a.jpg"]}}, "job a: unknown key 'content.imgae'; did you mean 'image'?"),
        ({"jobs": [{}, {"content.layers": {"relu9_1": 1}}]}, "job relu9_1: content.layers: vgg_slim has no layer"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(keys, words):
    with pytest.raises(UserError) as caught:
        planned(**keys)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("assignment", ["size=3", "init.kind=noise", "output.folder=x"])
def test_an_assignment_without_effect_is_refused(assignment):
    with pytest.raises(UserError, match=f"--set {assignment}: "):
        planned([assignment], vary={"size": [1], "init": [{"kind": "content"}]})


# What has become of a job.


def test_states():
    plan = planned(vary={"seed": list(range(7))})
    done, failed, diverged, killed, unfinished, running, _ = plan.jobs
    finish(done)
    finish(failed, 2, "error: picture x.jpg: no such file")
    finish(diverged, 3, "error: step 3: the loss is no finite number")
    finish(killed, -9, "step 10 of 20")
    finish(unfinished, 75, "error: interrupted at step 3")
    (unfinished.folder / "checkpoint.npz").touch()
    finish(running, 2, "error: of an earlier try")
    with open(running.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        states = [sweeps.state_of(job) for job in plan.jobs]
        assert sweeps.start(running, {}) is None
        assert sweeps.summary(plan) == "1 done, 1 running, 1 unfinished, 3 failed, 1 left"
    assert [state.name for state in states] == ["done", "failed", "failed", "failed", "unfinished", "running", "left"]
    assert states[1].reason == "picture x.jpg: no such file" and "no finite number" in states[2].reason
    assert states[3].reason == "killed by signal 9; the last it said: step 10 of 20"
    options = [sweeps.command_of(job)[4:] for job in plan.jobs]
    assert options == [["--force"], [], ["--force"], [], ["--resume"], [], []]
    assert sweeps.report(plan).splitlines()[1] == "seed=1: failed: picture x.jpg: no such file"


def test_a_picture_made_with_other_settings_is_not_taken_for_done():
    plan = planned(vary={"seed": [0, 1]})
    finish(plan.jobs[1])
    sweeps.check_finished(plan)
    with pytest.raises(
        UserError, match=r"job seed=1: output/sweeps/trial/seed=1 holds a picture made with another tv\.weight"
    ):
        sweeps.check_finished(planned(["tv.weight=7"], vary={"seed": [0, 1]}))


def test_cores_are_divided_unless_the_user_decides(monkeypatch):
    monkeypatch.setattr(sweeps, "usable_cores", lambda: 8)
    assert sweeps.environment(3)["OMP_NUM_THREADS"] == "1"  # as conftest.py has it
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [sweeps.environment(jobs)["OMP_NUM_THREADS"] for jobs in (1, 3, 9)] == ["8", "2", "1"]


# Results.


def test_results_are_a_row_a_job():
    plan = planned(vary={"content.layers": [{"relu1_2": 1}, {"relu2_2": 1}], "content.image": ["photo.png"]})
    finish(plan.jobs[0], total=0.1)
    finish(plan.jobs[1], 2, "error: a reason, with commas")
    with open(sweeps.write_results(plan), newline="") as stream:
        first, second = csv.DictReader(stream)
    assert json.loads(first["content.layers"]) == {"relu1_2": 1} and first["content.image"] == "photo.png"
    assert (first["job"], first["state"], first["steps"], first["total"], first["seconds"]) == (
        "relu1_2,photo", "done", "2", "0.1", "1.5",
    )  # fmt: skip
    assert second["state"] == "failed" and second["total"] == "" and second["reason"] == "a reason, with commas"


@pytest.fixture
def written(monkeypatch):
    """What is written into pictures, with its place."""
    found = {}
    write = ImageDraw.ImageDraw.text

    def spy(draw, corner, text, *arguments, **options):
        found[text] = corner
        write(draw, corner, text, *arguments, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return found


def test_the_contact_sheet_has_rows_and_columns_with_labels_and_pictures(written):
    plan = planned(vary={"style.images": ["painting.png", "absent.png"], "size": [40, 50, 60]})
    for job in plan.jobs[:-1]:
        finish(job)
    finish(plan.jobs[-1], 2, "error: the reason")
    sheet = Image.open(sweeps.write_contact_sheet(plan))
    step = sweeps.CELL + sweeps.GAP
    assert sheet.width == sweeps.GAP + 4 * step
    assert [written[label][0] for label in ("size=40", "size=50", "size=60")] == [
        sweeps.GAP + n * step for n in (1, 2, 3)
    ]
    assert written["painting"][0] == written["absent"][0] == sweeps.GAP
    assert written["failed: the reason"][0] == sweeps.GAP + 3 * step + 6
    assert written["trial: style.images, size"]
    top = written["size=40"][1] + sweeps.TEXT + 8  # where the pictures begin
    assert sheet.height > top + 2 * 192
    painting = sheet.crop((sweeps.GAP, top, sweeps.GAP + 256, top + 256))
    assert painting.getpixel((2, 100)) == (255, 255, 255) and painting.getpixel((128, 100)) != (255, 255, 255)
    label = sheet.crop(
        (sweeps.GAP + step, written["size=40"][1], sweeps.GAP + 2 * step, written["size=40"][1] + sweeps.TEXT)
    )
    assert label.getextrema()[0][0] < 128


def test_one_key_is_one_row_and_photographs_stand_above(written):
    plan = planned(vary={"content.image": ["photo.png", "photo.png"]})
    finish(plan.jobs[0])
    sheet = sweeps.contact_sheet(plan)
    assert sheet.width == sweeps.GAP + 2 * (sweeps.CELL + sweeps.GAP)
    assert written["photo"][1] > 192 and written["left"][1] > written["photo"][1]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (5, 3), (50, 6)])
def test_jobs_one_by_one_are_in_a_simple_grid_with_labels_below(written, count, columns):
    plan = planned(jobs=[{"seed": number} for number in range(count)])
    finish(plan.jobs[0])
    assert sweeps.contact_sheet(plan).width == sweeps.GAP + columns * (sweeps.CELL + sweeps.GAP)
    assert all(written[f"seed={number}"] for number in range(count)) and written["seed=0"][1] > 192


def test_odd_labels_can_be_written():
    plan = planned(jobs=[{"content.image": "绘\u202e画 \U0001f3a8" * 50}, {"style.images": ["a" * 300 + ".jpg"] * 2}])
    assert sweeps.contact_sheet(plan).width > 0


# The project's own.


@pytest.mark.parametrize("path", sorted((PROJECT / "configs" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_of_the_project_is_in_order(path):
    plan = sweeps.plan(path)
    assert plan.folder.name == path.stem and len(plan.jobs) > 1
    assert f"python scripts/submit.py configs/sweeps/{path.name}\n" in path.read_text()
    for job in plan.jobs:
        assert configs.find_input(job.config.content.image).exists()
