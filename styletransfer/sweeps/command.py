"""The command line of one job of a sweep."""

from __future__ import annotations

import sys

from styletransfer import config as configs
from styletransfer.session import checkpoints
from styletransfer.session.output_folder import finished_picture
from styletransfer.support.files import atomic_write
from styletransfer.sweeps.jobs import Job


def write_config(job: Job) -> None:
    """Create the folder of a job and write ``job.yaml`` into it."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(job.folder / "job.yaml") as stream:
        stream.write(configs.dump(job.config, {"job": job.name}).encode())


def resumes(job: Job) -> bool:
    """Return whether a job resumes from a checkpoint when started; it does not after a run that diverged."""
    return checkpoints.exists(job.folder) and not finished_picture(job.folder)


def command_of(job: Job) -> list[str]:
    """The command that starts or resumes a job; ``job.yaml`` must have been written."""
    command = [sys.executable, str(job.program), "--config", str(job.folder / "job.yaml")]
    if resumes(job):
        return [*command, "--resume"]
    return [*command, "--force"] if finished_picture(job.folder) else command
