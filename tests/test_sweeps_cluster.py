"""The cluster options: the keys, their valid values, and error messages."""

from __future__ import annotations

import re

import pytest
from processes import PROJECT
from sweeping import studio, sweep_of  # noqa: F401

from styletransfer.cli.submit import parser
from styletransfer.support.errors import UserError
from styletransfer.sweeps import sweep_file
from styletransfer.sweeps.cluster import Cluster, seconds_of

pytestmark = pytest.mark.usefixtures("studio")


def test_the_command_line_overrides_the_keys_of_a_sweep_file():
    sweep = sweep_of(
        vary={"seed": [1, 2]},
        cluster={"partition": "gpu", "gpus": 2, "memory": "8gb", "setup": "module load cuda/11.2", "time": "1-12"},
    )
    assert (sweep.cluster.gpus, sweep.cluster.memory, sweep.cluster.setup) == ("2", "8gb", ("module load cuda/11.2",))
    changed = sweep.cluster.changed({"partition": "cpu", "gpus": "0", "time": None, "setup": ["source a", "b"]})
    assert (changed.partition, changed.gpus, changed.time, changed.setup) == ("cpu", "0", "1-12", ("source a", "b"))
    assert sweep_of(jobs=[{}]).cluster == Cluster()


def test_every_key_has_an_option():
    options = vars(parser().parse_args(["sweep.yaml"]))
    assert set(Cluster.model_fields) - set(options) == {"parallel"} and "jobs" in options


def test_the_page_about_clusters_has_every_key_and_option():
    table = [line for line in (PROJECT / "docs" / "cluster.md").read_text().splitlines() if line.startswith("| `")]
    for key in Cluster.model_fields:
        assert any(f"`{key}`" in line for line in table), key
    for option in re.findall(r"--[a-z-]+", parser().format_help().partition("asks of the cluster")[2]):
        assert option in (PROJECT / "docs" / "cluster.md").read_text(), option


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400), ("1:30", 90), ("0:90", 90), ("1:30:00", 5400), ("2-0", 172800), ("1-2:03", 93780),
        ("1-02:03:04", 93784), ("", None), ("1h", None), ("1:2:3:4", None), ("-1", None), ("१", None),
    ],
)  # fmt: skip
def test_times_are_those_of_slurm(time, seconds):
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"partiton": "gpu"}, "unknown key 'cluster.partiton'; did you mean 'partition'?"),
        ({"zebra": 1}, "unknown key 'cluster.zebra'; expected one of: partition, account"),
        ({"partition": "a b"}, "cluster.partition: 'a b': Input should be a name without spaces"),
        ({"account": "x\n#SBATCH --wrap=y"}, "cluster.account: "),
        ({"gpus": "two"}, "cluster.gpus: 'two': Input should be a number such as 1"),
        ({"gpus": True}, "cluster.gpus: True: Input should be a number"),
        ({"gpus": -1}, "cluster.gpus: -1: Input should be a number"),
        ({"gpus": "-h100:1"}, "cluster.gpus: '-h100:1': Input should be a number"),
        ({"cpus": 0}, "cluster.cpus: 0: Input should be greater than or equal to 1"),
        ({"cpus": "4"}, "cluster.cpus: '4': Input should be a valid integer"),
        ({"memory": 8000}, "cluster.memory: 8000: Input should be a number and a unit, such as 8GB"),
        ({"memory": "much"}, "cluster.memory: 'much': Input should be a number and a unit"),
        ({"time": 5400}, "cluster.time: 5400: Input should be hours:minutes:seconds, such as 4:00:00"),
        ({"time": "soon"}, "cluster.time: 'soon': Input should be hours"),
        ({"time": "0:00"}, "cluster.time: '0:00': Input should be hours"),
        ({"time": "2"}, "cluster: time 2 must be longer than the warning before its end, 120 s"),
        ({"setup": ["a\nb"]}, "cluster.setup.0: 'a\\nb': Input should be one line"),
        ({"setup": 3}, "cluster.setup: 3: Input should be a valid tuple"),
        ({"options": "constraint=a"}, "cluster.options: 'constraint=a': Input should be an sbatch option"),
        ({"options": ["--time=3"]}, "'--time=3': Input should not be an option that has a key of its own, time"),
        ({"options": ["-pgpu"]}, "'-pgpu': Input should not be an option that has a key of its own, partition"),
        ({"options": ["--chdir=/"]}, "'--chdir=/': Input should not be an option that the job file"),
        ({"collect": "maybe"}, "cluster.collect: 'maybe': Input should be a valid boolean"),
        ({"python": "~nobody-here/python"}, "cluster.python: '~nobody-here/python': Input should not name the home"),
        ({"python": "a\nb"}, "cluster.python: 'a\\nb': Input should be one line"),
        ({"restarts": -1}, "cluster.restarts: -1: Input should be greater than or equal to 0"),
        (3, "cluster: 3: Input should be a section of keys and values"),
    ],
)
def test_an_error_is_one_line(keys, words):
    with pytest.raises(UserError) as caught:
        sweep_of(vary={"seed": [1]}, cluster=keys)
    assert str(caught.value).startswith("sweep trial.yaml: ") and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_mean_what_a_person_reads(studio):  # noqa: F811
    (studio / "trial.yaml").write_text(
        "base: {content: {image: photo.png}, style: {images: painting.png}}\n"
        "vary: {size: [0200, 0o40], tile: [off], output.keep_metadata: [no]}\n"
        "output: 2020-01-01\n"
        "cluster: {time: 1:30:00, cpus: 08, restarts: 1e1, collect: no}\n"
    )
    sweep = sweep_file.read_sweep("trial.yaml")
    assert [(job.config.size, job.config.tile) for job in sweep.jobs] == [(200, "off"), (32, "off")]
    assert str(sweep.folder) == "2020-01-01" and not sweep.jobs[0].config.output.keep_metadata
    cluster = sweep.cluster
    assert (cluster.time, cluster.cpus, cluster.restarts, cluster.collect) == ("1:30:00", 8, 10, False)


def test_an_error_on_the_command_line_is_one_line():
    with pytest.raises(UserError, match=r"^cluster\.memory: 'x': Input should be a number and a unit"):
        Cluster().changed({"memory": "x"})
    with pytest.raises(UserError, match=r"^cluster: time 1 must be longer than"):
        Cluster().changed({"time": "1"})
