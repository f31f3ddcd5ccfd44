"""Helpers for the tests of sweeps: a folder with pictures, a sweep in it, and the files of a finished job."""

from __future__ import annotations

import os
import shlex

import pytest
import yaml
from helpers import random_picture

from styletransfer import config as configs
from styletransfer.pictures import images
from styletransfer.session import curves
from styletransfer.session.picture import PictureTask
from styletransfer.sweeps import sweep_file

BASE = {"content": {"image": "photo.png"}, "style": {"images": "painting.png"}, "size": 40}
_COLUMNS = ("step", "total", "content", "style", "tv", "seconds")


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """The working folder of a test, with two pictures."""
    monkeypatch.chdir(tmp_path)
    images.write("photo.png", random_picture(30, 40, seed=1))
    images.write("painting.png", random_picture(44, 30, seed=2))
    return tmp_path


def sweep_of(assignments=(), **keys):
    """The sweep of a file with these keys."""
    with open("trial.yaml", "w") as stream:
        yaml.safe_dump({"base": BASE, **keys}, stream, sort_keys=False)
    return sweep_file.read_sweep("trial.yaml", assignments)


def finish(job, status=0, said="", total=0.5):
    """Write the output files of a run, and the status of its process."""
    job.folder.mkdir(parents=True, exist_ok=True)
    if status in (0, 3):
        images.write(job.folder / "image.png", random_picture(30, 40, seed=3))
        checksums = {"inputs": PictureTask(job.config).checksums()}
        (job.folder / "config.yaml").write_text(configs.dump(job.config, checksums))
        (job.folder / "run.status").write_text("diverged\n" if status == 3 else "done\n")
        row = {"step": 2, "total": total, "content": 0.1, "style": 0.3, "tv": 0.1, "seconds": 1.5}
        curves.write(job.folder / "curve.csv", _COLUMNS, [row])
    (job.folder / "job.log").write_text(f"VGG-slim, 40 x 30 pixels\n{said}\n")
    (job.folder / "job.status").write_text(f"{status}\n")


class FakeSlurm:
    """Shell scripts on the PATH in place of Slurm's commands: they record their calls and give configured answers."""

    def __init__(self, folder):
        self.folder = folder
        self._command("sbatch", "cat refuse >&2 2> /dev/null && exit 1\necho $((100 + $(wc -l < sbatch.calls)))")
        self._command("squeue", "cat silent >&2 2> /dev/null && exit 1\ncat queue 2> /dev/null\ntrue")
        # Slurm terminates the shell of a job that it has requeued.
        self._command("scontrol", 'cat refuse >&2 2> /dev/null && exit 1\nkill -TERM "$PPID"')

    def _command(self, name, text):
        path = self.folder / name
        quoted = shlex.quote(str(self.folder))
        path.write_text(f'#!/bin/bash\nwhere=$PWD\ncd {quoted} || exit 9\necho "$where|$*" >> {name}.calls\n{text}\n')
        path.chmod(0o755)

    def calls(self, name):
        """The folder and the arguments of every call of a command."""
        path = self.folder / f"{name}.calls"
        return [tuple(line.split("|", 1)) for line in path.read_text().splitlines()] if path.exists() else []

    def queue(self, *lines):
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in lines))

    def refuse(self, said):
        (self.folder / "refuse").write_text(said)


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    folder = tmp_path / "fake slurm"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return FakeSlurm(folder)
