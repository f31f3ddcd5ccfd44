"""How the program is called for one job of a sweep."""

from __future__ import annotations

import sys

from styletransfer import config as configs
from styletransfer.run import checkpoints
from styletransfer.run.output_folder import PICTURE
from styletransfer.support.files import written_whole
from styletransfer.support.project import PROJECT_FOLDER
from styletransfer.sweeps.plans import Job

NSTYLE = PROJECT_FOLDER / "scripts" / "nstyle.py"


def write_config(job: Job) -> None:
    """Write ``job.yaml`` into the folder of a job, which is made."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with written_whole(job.folder / "job.yaml") as stream:
        stream.write(configs.dump(job.config, {"job": job.name}).encode())


def goes_on(job: Job) -> bool:
    """Whether a job, when it is started, goes on from a state; not beside the last picture of a run that diverged."""
    return checkpoints.exists(job.folder) and not (job.folder / PICTURE).exists()


def command_of(job: Job) -> list[str]:
    """The command that makes the picture of a job, or goes on with it; ``job.yaml`` must have been written."""
    command = [sys.executable, str(NSTYLE), "--config", str(job.folder / "job.yaml")]
    if goes_on(job):
        return [*command, "--resume"]
    return [*command, "--force"] if (job.folder / PICTURE).exists() else command
