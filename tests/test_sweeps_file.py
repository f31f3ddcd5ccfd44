"""The sweep file: its jobs, and errors in it. No job runs here."""

from __future__ import annotations

import pytest
from helpers import random_picture
from processes import PROJECT
from sweeping import studio, sweep_of  # noqa: F401

from styletransfer import config as configs
from styletransfer.pictures import images
from styletransfer.support.errors import UserError
from styletransfer.sweeps import sweep_file

pytestmark = pytest.mark.usefixtures("studio")


def names(sweep):
    return [job.name for job in sweep.jobs]


def test_every_combination_is_a_job_and_the_last_key_varies_fastest():
    sweep = sweep_of(
        vary={"style.weight": [1, 20.5], "content.layers": [{"relu1_2": 1}, {"relu2_2": 1, "relu3_2": 0.5}]}
    )
    assert names(sweep) == [
        "weight=1,relu1_2", "weight=1,relu2_2+relu3_2=0.5", "weight=20.5,relu1_2", "weight=20.5,relu2_2+relu3_2=0.5",
    ]  # fmt: skip
    assert (
        sweep.keys == ("style.weight", "content.layers")
        and sweep.columns == 2
        and str(sweep.folder) == "output/sweeps/trial"
    )
    last = sweep.jobs[-1]
    assert last.config.style.weight == 20.5 and last.config.content.layers == {"relu2_2": 1.0, "relu3_2": 0.5}
    assert last.config.size == 40 and last.config.output.folder == f"output/sweeps/trial/{last.name}" == str(
        last.folder
    )


def test_photographs_vary_by_folder_and_pattern(studio):  # noqa: F811
    (studio / "photos").mkdir()
    for name in ("b.png", "a.png"):
        images.write(studio / "photos" / name, random_picture(30, 40, seed=1))
    sweep = sweep_of(vary={"seed": [1, 2], "content.image": ["photos", "p[ah]*.png", "photo.png"]})
    assert [job.config.content.image for job in sweep.jobs[:4]] == [
        "photos/a.png", "photos/b.png", "painting.png", "photo.png",
    ]  # fmt: skip
    assert sweep.columns == 4 and len(sweep.jobs) == 8
    assert names(sweep_of(vary={"content.image": "photos"})) == ["a", "b"]
    with pytest.raises(UserError, match=r"^sweep trial\.yaml: content\.image: none/\*: no such files$"):
        sweep_of(vary={"content.image": ["none/*"]})


def test_listed_jobs():
    sweep = sweep_of(jobs=[{"content.image": "a/one.jpg", "seed": 3}, {"optimizer.name": "adam"}, {}], output="out")
    assert names(sweep) == ["one,seed=3", "adam", "base"] and sweep.columns is None
    assert sweep.keys == ("content.image", "seed", "optimizer.name")
    assert sweep.jobs[0].config.seed == 3 and sweep.jobs[1].config.content.image == "photo.png"


def test_shared_settings_and_their_precedence():
    sweep = sweep_of(["seed=2", "tv.weight=1"], set={"seed": 1, "size": 50}, vary={"size": [60, 70]})
    assert [(job.config.size, job.config.seed, job.config.tv.weight) for job in sweep.jobs] == [(60, 2, 1), (70, 2, 1)]


def test_the_base_may_be_a_file_whose_output_is_ignored():
    sweep = sweep_of(base="configs/starry.yaml", vary={"seed": [0, 1]})
    assert sweep.jobs[1].config.content.image == "input/coffee.jpg"
    assert str(sweep.jobs[1].folder) == sweep.jobs[1].config.output.folder == "output/sweeps/trial/seed=1"


def test_values_that_mean_the_same_are_one():
    sweep = sweep_of(
        vary={"content.image": ["photo.png", "a.png", "./photo.png"], "size": [40, 4e1, 50, 40], "seed": [1, 1.0]}
    )
    found = [(job.config.content.image, job.config.size) for job in sweep.jobs]
    assert found == [("photo.png", 40), ("photo.png", 50), ("a.png", 40), ("a.png", 50)] and sweep.columns == 1
    sweep = sweep_of(vary={"size": [40], "style.images": ["a.png", {"a.png": 1}, ["./a.png"], {"./a.png": 1e0}]})
    assert [job.config.style.images for job in sweep.jobs] == [{"a.png": 1.0}, {"a.png": 1.0}, {"./a.png": 1.0}]
    jobs = [{"size": 40}, {"seed": 1}, {"size": 4e1}, {"output.keep_metadata": True}]
    assert len(sweep_of(jobs=jobs).jobs) == 3


# Mistakes.


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"vray": {"size": [1]}}, "sweep trial.yaml: unknown key 'vray'; did you mean 'vary'?"),
        ({}, "expected either `vary`"),
        ({"vary": {"size": [9]}, "jobs": [{}]}, "expected either `vary`"),
        ({"vary": {}}, "vary: {}: Dictionary should have at least 1 item"),
        ({"vary": {"size": []}}, "vary.size: []: List should have at least 1 item"),
        ({"vary": {"size": 64}}, "vary.size: 64: Input should be a valid list"),
        ({"jobs": [3]}, "jobs.0: 3: Input should be a valid dictionary"),
        ({"vary": {"size": [1]}, "base": 3}, "base: 3: Input should be a config file, or keys and values"),
        ({"vary": {"size": [1]}, "base": "~nobody-here/x"}, "home folder of an unknown user"),
        ({"vary": {"size": [1]}, "base": "nowhere.yaml"}, "config nowhere.yaml: No such file"),
        ({"vary": {"size": list(range(1001))}}, "1,001 jobs, but a sweep may have at most"),
        ({"vary": {"output.folder": ["a"]}}, "output.folder: each job has its own folder"),
        ({"vary": {"size": [1]}, "set": {"output.folder": "a"}}, "output.folder: each job has its own folder"),
        ({"vary": {"size": [1]}, "set": {"output": {"folder": "a"}}}, "output: each job has its own folder"),
        (
            {"jobs": [{}, {"style.weight": 7, "style": {"images": "a.jpg"}}]},
            "sweep trial.yaml: style.weight and all of style are set; expected only one of them",
        ),
        ({"vary": {"optimizer": [{}], "optimizer.schedule.step": [1]}}, "optimizer.schedule.step and all of"),
        ({"vary": {"size": [1]}, "set": {"tv.weight": 1, "tv": {}}}, "tv.weight and all of tv are set"),
        ({"jobs": [{"style": {"images": "a.jpg"}}], "set": {"style.weight": 7}}, "style.weight and all of"),
        ({"vary": {"size.x": [1]}}, "job x=1: size.x: size is not a section"),
        ({"vary": {"size": [64, "big"]}}, "sweep trial.yaml, job big: size: 'big': Input should be a valid integer"),
        ({"vary": {"content.imgae": ["a.jpg"]}}, "job a: unknown key 'content.imgae'; did you mean 'image'?"),
        ({"jobs": [{}, {"content.layers": {"relu9_1": 1}}]}, "job relu9_1: content.layers: vgg19_small has no layer"),
    ],
)  # fmt: skip
def test_an_error_is_one_line(keys, words):
    with pytest.raises(UserError) as caught:
        sweep_of(**keys)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_shared_section_may_have_a_varying_key():
    sweep = sweep_of(["output={save_every: 7}"], set={"style": {"images": "a.jpg"}}, vary={"style.weight": [3]})
    (config,) = (job.config for job in sweep.jobs)
    assert (list(config.style.images), config.style.weight, config.output.save_every) == (["a.jpg"], 3, 7)
    assert config.output.folder == "output/sweeps/trial/weight=3"


@pytest.mark.parametrize("assignment", ["size=3", "init.kind=noise", "output.folder=x", "output={folder: /tmp/x}"])
def test_an_assignment_without_effect_is_rejected(assignment):
    with pytest.raises(UserError, match=f"--set {assignment}: "):
        sweep_of([assignment], vary={"size": [1], "init": [{"kind": "content"}]})


# The project's own.


@pytest.mark.parametrize("path", sorted((PROJECT / "configs" / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sweep_of_the_project_is_valid(path):
    sweep = sweep_file.read_sweep(path)
    assert sweep.folder.name == path.stem and len(sweep.jobs) > 1
    assert f"python scripts/submit.py configs/sweeps/{path.name}\n" in path.read_text()
    for job in sweep.jobs:
        assert configs.find_input(job.config.content.image).exists()
