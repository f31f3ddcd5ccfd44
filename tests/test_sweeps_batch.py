"""The job file of a sweep: its contents, and its behaviour when run by bash in place of Slurm."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeping import fake_slurm, finish, studio, sweep_of  # noqa: F401

from styletransfer.session import output_folder
from styletransfer.session.resolve import peak_memory
from styletransfer.support.byte_sizes import parse_size
from styletransfer.support.errors import UserError
from styletransfer.sweeps import batch
from styletransfer.sweeps.cluster import Cluster
from styletransfer.sweeps.command import command_of, write_config
from styletransfer.sweeps.states import state_of

pytestmark = pytest.mark.usefixtures("studio")

ALL = {
    "partition": "gpu", "account": "art", "qos": "long", "gpus": "a100:2", "cpus": 4, "memory": "8GiB",
    "time": "4:00:00", "parallel": 3, "warning": 90, "restarts": 7,
    "setup": ["module load cuda/11.2", "source 'my venv/bin/activate'"],
    "python": "python3.11", "options": ["--exclude=node3"],
}  # fmt: skip


def written(sweep, file="array-1.sbatch", **keys):
    return batch.array(sweep, Cluster(**keys), sweep.jobs, file)


# Its contents.


def test_all_options():
    text = written(sweep_of(vary={"seed": [1, 2, 3, 4]}), **ALL)
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert options == [
        "--job-name=trial", "--array=0-3%3", "--partition=gpu", "--account=art", "--qos=long", "--gres=gpu:a100:2",
        "--cpus-per-task=4", "--mem=8192M", "--time=4:00:00", "--signal=B:USR1@90", "--requeue", "--open-mode=append",
        "--output=%A_%a.out", "--exclude=node3",
    ]  # fmt: skip
    before = text[: text.index("--exclude")].splitlines()
    assert all(line.startswith("#") or not line for line in before)  # Slurm reads no option after a command
    lines = text.splitlines()
    assert "restarts=7" in text and "python=python3.11\n" in text and "{{" not in text
    assert lines.index("module load cuda/11.2 || stop 'the setup failed: module load cuda/11.2'") > 0


def test_unset_options_are_left_to_the_cluster(monkeypatch):
    monkeypatch.setattr(batch, "memory_of", lambda job: None)
    text = written(sweep_of(jobs=[{}]))
    for option in ("--partition", "--gres", "--mem", "--time", "--cpus", "%3"):
        assert f"#SBATCH {option}" not in text
    assert "#SBATCH --array=0-0\n" in text and f"python={sys.executable}\n" in text


def test_the_list_of_jobs_can_be_read_back():
    sweep = sweep_of(
        jobs=[{"content.image": name} for name in ("a b.jpg", "绘画.jpg", "it's.jpg", "#1.jpg", "50%.jpg")]
    )
    assert batch.jobs_in(written(sweep)) == [job.name for job in sweep.jobs]
    assert batch.jobs_in("#!/bin/bash\n") == batch.jobs_in("jobs=(\n 'a\n)\n") == []


def test_a_gpu_is_requested_if_a_config_needs_one():
    sweep = sweep_of(vary={"device": ["cpu", "gpu:0"]})
    assert "#SBATCH --gres=gpu:1\n" in written(sweep)
    assert "#SBATCH --gres=gpu:2\n" in written(sweep, gpus="2")
    assert "#SBATCH --gres=gpu:1g.10gb:1\n" in written(sweep, gpus="1g.10gb:1")
    assert "--gres" not in written(sweep, gpus="0", options=["--gpus-per-node=1"])


@pytest.mark.parametrize(
    ("device", "gpus", "words"),
    [
        ("gpu:1", None, "job gpu:1: device gpu:1, but a job gets 1 GPUs; the first is gpu:0"),
        ("gpu:2", "a100:2", "a job gets 2 GPUs"),
        ("gpu:0", "0", "a job gets 0 GPUs; set cluster.gpus, or device: cpu"),
    ],
)
def test_a_gpu_beyond_those_requested_is_rejected(device, gpus, words):
    with pytest.raises(UserError, match=words.replace("job gpu:1", "job gpu-1")):
        written(sweep_of(vary={"device": [device]}), gpus=gpus)


@pytest.mark.parametrize("name", ["50%", "a\\b", "a\nb", "a\x7f"])
def test_a_folder_that_slurm_does_not_support_is_rejected(name):
    sweep = sweep_of(jobs=[{}], output=name)
    for write in (lambda: written(sweep), lambda: batch.collection(sweep, Cluster(), [])):
        with pytest.raises(UserError, match=r"(?s)^(output|folder) .*: Slurm does not support "):
            write()


@pytest.mark.parametrize("line", ["if true; then", "echo 'a", "a;", "a &", ")"])
def test_a_setup_line_that_is_not_valid_bash_is_rejected(line):
    with pytest.raises(UserError, match=r"^cluster.setup: .* is not a complete line of bash$"):
        written(sweep_of(jobs=[{}]), setup=[line])


def test_a_job_requests_its_estimated_memory_plus_a_quarter():
    (job,) = sweep_of(jobs=[{"size": 64}]).jobs
    assert batch.memory_of(job) == pytest.approx(1.25 * peak_memory(job.config), abs=1)


LARGE = {"size": 4200, "model": "vgg19", "optimizer.name": "adam"}


def test_a_job_that_fits_with_tiles_requests_at_most_16_gb_and_is_limited_to_it():
    own = [{"memory": "40GB"}, {"tile": "off"}, {"tile": 1000}]
    small, large, huge, *others = sweep_of(
        jobs=[{}, LARGE, {**LARGE, "size": 20000}, *({**LARGE, **keys} for keys in own)]
    ).jobs
    assert peak_memory(large.config) > 4e10 and peak_memory(huge.config) > 4e11
    assert batch.memory_of(large) == pytest.approx(16e9, rel=0.01)
    assert 16e9 < batch.memory_of(huge) < 4e11  # what its smallest tile needs
    told = [batch.with_its_limit(job, Cluster()) for job in (large, huge)]
    assert told[0].config.memory == "12.8GB"
    for job, told_job in zip((large, huge), told):
        assert batch.memory_of(told_job) == pytest.approx(batch.memory_of(job), rel=0.2)
        assert peak_memory(told_job.config) <= parse_size(told_job.config.memory) <= 0.81 * batch.memory_of(job)
    for job in others:
        assert batch.memory_of(job) == pytest.approx(1.25 * peak_memory(job.config), abs=1)
    assert all(batch.with_its_limit(job, Cluster()) is job for job in (small, *others))
    assert batch.with_its_limit(large, Cluster(memory="8GB")) is large


def test_a_job_that_may_use_more_memory_than_it_gets_is_rejected():
    sweep = sweep_of(jobs=[{}, {"memory": "8.5GB", "size": 50}, {"memory": "9GB", "device": "gpu:0"}])
    written(sweep, memory="8GiB")  # 8.59 GB
    with pytest.raises(UserError, match=r"^job 8.5GB,size=50: memory: 8.5GB, but a job gets 8GB \("):
        written(sweep, memory="8GB")


def test_the_memory_of_the_largest_job_is_requested_if_known(monkeypatch):
    sweep = sweep_of(vary={"size": [64, 512]})
    monkeypatch.setattr(batch, "memory_of", lambda job: job.config.size * 10**6)
    assert "#SBATCH --mem=489M\n" in written(sweep) and "#SBATCH --mem=1908M\n" in written(sweep, memory="2GB")
    monkeypatch.setattr(batch, "memory_of", lambda job: 10**9 if job.config.size == 64 else None)
    assert "--mem" not in written(sweep)


@pytest.mark.parametrize("output", ["out", 'it\'s a "sweep" of $HOME `x` é绘 ; #', "-x"])
def test_the_job_file_is_valid_bash(output):
    sweep = sweep_of(vary={"seed": [1, 2]}, output=output)
    for text in (
        written(sweep, **ALL),
        written(sweep),
        batch.collection(sweep, Cluster(**ALL), ["a\nb", "--set=x='y"]),
    ):
        checked = subprocess.run(["bash", "-n"], input=text.encode(), capture_output=True, check=False)
        assert checked.returncode == 0 and checked.stderr == b""


# Its behaviour in bash.

PROGRAM = f"""#!/bin/bash
# In place of Python: its arguments, some variables, and then the test's commands. The watchdog is real.
if [[ $1 = *watchdog.py ]]; then exec {sys.executable} "$@"; fi
printf '%s\\n' "${{@:2}}" > arguments
echo "threads $OMP_NUM_THREADS, ${{WORD:-no word}}" > variables
source behaviour
"""
WAITS = "trap 'echo saved >&2; exit 75' TERM\ntouch waits\nfor n in $(seq 600); do sleep 0.05; done\n"


class Task:
    """One job of a sweep, and its job file as Slurm would run it."""

    def __init__(self, folder, output="out", **keys):
        program = folder / "my python"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.folder = folder
        self.sweep = sweep_of(jobs=[{"seed": 1}, {"seed": 2}], output=output)
        self.job = self.sweep.jobs[1]
        self.text = written(self.sweep, python=str(program), **keys).replace("patience=30", "patience=0")
        write_config(self.job)

    def start(self, behaviour, number="1", **variables):
        (self.folder / "behaviour").write_text(behaviour)
        (self.folder / "job.sbatch").write_text(self.text)
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        environment |= {"SLURM_ARRAY_JOB_ID": "12", "SLURM_JOB_ID": "12", "SLURMD_NODENAME": "node1", **variables}
        if number:
            environment["SLURM_ARRAY_TASK_ID"] = number
        command = ["bash", str(self.folder / "job.sbatch")]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd="/", env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def run(self, behaviour, **options):
        """Run it to completion; returns its exit status and Slurm's log."""
        process = self.start(behaviour, **options)
        said, complained = process.communicate(timeout=30)
        return process.returncode, said + complained

    def wait_for(self, name):
        deadline = time.monotonic() + 20
        while not (self.folder / name).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def status(self):
        return (self.job.folder / "job.status").read_text()

    def log(self):
        return (self.job.folder / "job.log").read_text()

    def arguments(self):
        return (self.folder / "arguments").read_text().splitlines()


@pytest.mark.parametrize("output", ["out", 'it\'s a "sweep" of $HOME `x` é绘 ; #', "-x"])
def test_a_job_is_run_as_on_this_machine(tmp_path, output):
    task = Task(tmp_path, output)
    assert task.run("echo a word >&2; echo nothing") == (0, "")
    assert task.arguments() == ["--config", str(task.job.folder.resolve() / "job.yaml")]
    assert task.status() == "0\n" and not (task.job.folder / "job.begun").exists()
    first, *rest = task.log().splitlines()
    assert first.endswith("Slurm job 12_1 on node1, restart 0") and rest == ["a word"]
    assert not task.sweep.jobs[0].folder.exists()


@pytest.mark.parametrize(
    "left",
    [
        (),
        ("checkpoint.npz",),
        ("checkpoint.previous.npz",),
        ("checkpoint.npz", "image.png"),
        ("checkpoint.npz", "image.tiff"),
    ],
)
def test_its_options_are_those_of_a_job_on_this_machine(tmp_path, left):
    task = Task(tmp_path)
    for name in left:
        (task.job.folder / name).touch()
    expected = command_of(task.job)[4:]
    assert task.run("")[0] == 0 and task.arguments()[2:] == expected


@pytest.mark.parametrize(
    ("behaviour", "code", "status", "state"),
    [
        ("echo error: a reason >&2; exit 2", 2, "2", "failed: a reason"),
        ("echo error: no finite number >&2; exit 3", 3, "3", "failed: no finite number"),
        ("exit 7", 7, "7", "failed: exit status 7: "),
        ("kill -KILL $$", 137, "-9", "failed: killed by SIGKILL; log: out/seed=2/job.log; last output: "),
        ("kill -SEGV $$", 139, "-11", "failed: killed by SIGSEGV; log: out/seed=2/job.log; last output: "),
        ("kill -ABRT $$", 134, "-6", "failed: killed by SIGABRT; log: out/seed=2/job.log; last output: "),
        ("kill -TERM $$", 143, "-15", "left: "),
    ],
)
def test_the_exit_status_is_written_as_on_this_machine(tmp_path, behaviour, code, status, state):
    task = Task(tmp_path)
    assert task.run(behaviour) == (code, "") and task.status() == f"{status}\n"
    found = state_of(task.job, {})
    assert f"{found.name}: {found.reason}".startswith(state) and "line" not in found.reason


@pytest.mark.parametrize("ended", [0, 3])
@pytest.mark.parametrize("status", [None, 0, 75, -15, 2, 3, -9])
@pytest.mark.parametrize("end", ["whole", "emptied", "unfinished", "absent"])
def test_finished_jobs_are_skipped(tmp_path, ended, status, end):
    task = Task(tmp_path)
    finish(task.job, ended)
    (task.job.folder / "job.status").write_text("" if status is None else f"{status}\n")
    if end == "absent":
        (task.job.folder / "run.status").unlink()
    elif end != "whole":
        (task.job.folder / "run.status").write_text("" if end == "emptied" else f"{end}\n")
    if state_of(task.job).name == "done":
        assert task.run("") == (0, "seed=2: already done\n") and not (tmp_path / "arguments").exists()
        assert (ended, end) == (0, "whole")
    else:  # a run that diverged leaves a picture too
        assert task.run("") == (0, "") and task.arguments()[2:] == ["--force"]
        assert (ended, end) != (0, "whole")


def test_a_job_that_runs_elsewhere_is_left_alone(tmp_path):
    task = Task(tmp_path)
    with open(task.job.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert task.run("") == (0, "seed=2: running elsewhere\n")
    assert not (tmp_path / "arguments").exists() and not (task.job.folder / "job.status").exists()


def start_of_flock(process):
    """Wait until the job file waits for the lock."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 20
    while not any(Path(f"/proc/{child}/comm").read_text() == "flock\n" for child in children.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_warning_while_another_process_has_the_job(tmp_path, fake_slurm):  # noqa: F811
    task = Task(tmp_path)
    task.text = task.text.replace("patience=0", "patience=20")
    with open(task.job.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_SH)  # like a process that checks
        process = task.start("")
        start_of_flock(process)
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.1)
    assert process.wait(20) == 75 and task.status() == "75\n" and not (tmp_path / "arguments").exists()
    process.communicate()
    assert len(fake_slurm.calls("scontrol")) == 1


def test_termination_while_another_process_has_the_job_leaves_it_alone(tmp_path, fake_slurm):  # noqa: F811
    task = Task(tmp_path)
    task.text = task.text.replace("patience=0", "patience=20")
    with open(task.job.folder / "job.log", "a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        process = task.start("")
        start_of_flock(process)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(20) == 75
    process.communicate()
    assert not (tmp_path / "arguments").exists() and not (task.job.folder / "job.status").exists()


@pytest.mark.parametrize(("number", "words"), [("2", "no job 2"), ("", "no job without a number"), ("99", "no job 99")])
def test_an_invalid_task_number(tmp_path, number, words):
    code, said = Task(tmp_path).run("", number=number)
    assert code == 2 and words in said and "--array=0-1" in said


def test_setup_and_threads(tmp_path):
    task = Task(tmp_path, setup=["export WORD='a word'  # for the test", "cd /"])
    task.run("", SLURM_CPUS_PER_TASK="3", SLURM_CPUS_ON_NODE="5")
    assert (tmp_path / "variables").read_text() == "threads 3, a word\n"
    task.run("", SLURM_CPUS_ON_NODE="5")
    assert (tmp_path / "variables").read_text() == "threads 5, a word\n"
    task.run("", SLURM_CPUS_ON_NODE="5", OMP_NUM_THREADS="2")
    assert (tmp_path / "variables").read_text() == "threads 2, a word\n"


def test_a_failing_setup_is_a_failure_with_a_reason(tmp_path):
    task = Task(tmp_path, setup=["source nowhere/bin/activate", "touch never"])
    assert task.run("") == (1, "") and task.status() == "1\n"
    said = "exit status 1: the setup failed: source nowhere/bin/activate; log: out/seed=2/job.log"
    assert state_of(task.job, {}).reason == said
    assert "nowhere/bin/activate: No such file" in task.log() and not (tmp_path / "never").exists()


def test_a_warning_saves_the_state_and_requeues_the_job(tmp_path, fake_slurm):  # noqa: F811
    task = Task(tmp_path)
    process = task.start(WAITS)
    task.wait_for("waits")
    assert state_of(task.job).name == "running" and (task.job.folder / "job.begun").exists()
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(20) == 75 and process.stdout.read() == process.stderr.read() == ""
    # The whole array would have been queued again under the number of this job, 12.
    assert [arguments for _, arguments in fake_slurm.calls("scontrol")] == ["requeue 12_1"]
    assert task.status() == "75\n" and task.log().splitlines()[-2:] == ["saved", "state saved; requeueing"]
    (task.job.folder / "checkpoint.npz").touch()
    assert task.run("echo done > out/seed=2/run.status; touch out/seed=2/image.png", SLURM_RESTART_COUNT="1") == (0, "")
    assert task.arguments()[2:] == ["--resume"] and "restart 1" in task.log() and state_of(task.job, {}).name == "done"


@pytest.mark.parametrize("behaviour", ["exit 75", "touch waits; sleep 20 & wait"])
def test_status_75_and_an_early_signal_requeue_the_job(tmp_path, fake_slurm, behaviour):  # noqa: F811
    task = Task(tmp_path)
    process = task.start(behaviour)
    if "waits" in behaviour:
        task.wait_for("waits")
        process.send_signal(signal.SIGUSR1)
    assert process.wait(20) == 75
    process.communicate()
    assert len(fake_slurm.calls("scontrol")) == 1 and task.status() in ("75\n", "-15\n")


def test_a_warning_during_the_setup_does_not_start_the_program(tmp_path, fake_slurm):  # noqa: F811
    task = Task(tmp_path, setup=["touch waits", "sleep 0.5"])
    process = task.start("")
    task.wait_for("waits")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(20) == 75 and not (tmp_path / "arguments").exists()
    process.communicate()
    assert len(fake_slurm.calls("scontrol")) == 1 and task.status() == "75\n"


def test_the_number_of_restarts_is_limited(tmp_path, fake_slurm):  # noqa: F811
    task = Task(tmp_path, restarts=2)
    assert task.run("exit 75", SLURM_RESTART_COUNT="2") == (75, "")
    assert not fake_slurm.calls("scontrol") and "requeued 2 times" in task.log()
    assert task.run("exit 75", SLURM_RESTART_COUNT="1")[0] == 75
    assert len(fake_slurm.calls("scontrol")) == 1


def test_a_job_that_slurm_terminates_is_not_requeued(tmp_path, fake_slurm):  # noqa: F811
    task = Task(tmp_path)
    process = task.start(WAITS)
    task.wait_for("waits")
    os.killpg(process.pid, signal.SIGTERM)  # like Slurm: to all processes
    assert process.wait(20) == 75 and task.status() == "75\n"
    process.communicate()
    assert not fake_slurm.calls("scontrol")


def test_if_slurm_does_not_requeue_the_state_is_kept(tmp_path, fake_slurm):  # noqa: F811
    fake_slurm.refuse("Requested operation is presently disabled\n")
    task = Task(tmp_path)
    task.text = task.text.replace("    sleep 5\n", "    sleep 0.01\n")
    assert task.run("exit 75") == (75, "")
    assert len(fake_slurm.calls("scontrol")) == 3 and "presently disabled" in task.log() and task.status() == "75\n"


def test_an_exit_without_a_message_is_a_failure(tmp_path):
    task = Task(tmp_path)
    process = task.start(WAITS)
    task.wait_for("waits")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 20
    while (found := state_of(task.job, {})).name == "running" and time.monotonic() < deadline:
        time.sleep(0.05)  # the system takes a moment to end all holders of the lock
    assert found.name == "failed" and found.reason.startswith("Slurm job 12_1 on node1 exited without a message")


IMPATIENT = f"""
import pathlib, sys
sys.path.insert(0, {str(batch.PROJECT_FOLDER)!r})
from styletransfer.sweeps import watchdog
watchdog.TICK, watchdog._PATIENCE = 0.02, (0.5, 3)
pathlib.Path({{folder!r}}, "watching").touch()
watchdog.main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
"""
HANGS = """
trap '' TERM
step() { sleep 0.05; touch out/seed=2/run.status; }
until [ -e watching ]; do step; done
for n in {1..12}; do step; done
exec sleep 60
"""


def test_a_job_whose_steps_have_stopped_is_killed(tmp_path):
    task = Task(tmp_path)
    (tmp_path / "watchdog.py").write_text(IMPATIENT.format(folder=str(tmp_path)))
    task.text = task.text.replace(f"watchdog={batch.watchdog.__file__}", f"watchdog={tmp_path}/watchdog.py")
    output_folder.write_status(task.job.folder, output_folder.UNFINISHED)
    assert task.run(HANGS) == (137, "") and task.status() == "-9\n"
    found = state_of(task.job, {})
    assert found.name == "failed"
    assert found.reason.startswith("killed by SIGKILL; log: out/seed=2/job.log; last output: no step for ")


def test_the_watchdog_ends_with_the_program(tmp_path):
    task = Task(tmp_path)
    task.run("sleep 0.2; ps -eo pid,args > processes")
    watching = [line for line in (tmp_path / "processes").read_text().splitlines() if "watchdog.py" in line]
    number = next(line.split()[0] for line in watching if str(tmp_path) in line)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{number}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_collection_job(tmp_path):
    program = tmp_path / "my python"
    program.write_text('#!/bin/bash\nprintf \'%s\\n\' "$PWD" "${@:2}"\n')
    program.chmod(0o755)
    sweep = sweep_of(jobs=[{}])
    cluster = Cluster(
        python=str(program), partition="gpu", gpus="2", setup=["echo set up", "cd /"], options=["--exclude=node3"]
    )
    text = batch.collection(sweep, cluster, ["a 'b'\nc.yaml", "--set=x=$HOME"])
    assert "#SBATCH --partition=gpu\n" in text and "gres" not in text and "--nice" not in text
    done = subprocess.run(["bash"], input=text, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == f"set up\n{Path.cwd()}\na 'b'\nc.yaml\n--set=x=$HOME\n--collect\n"
    assert batch.SUBMIT.exists()
