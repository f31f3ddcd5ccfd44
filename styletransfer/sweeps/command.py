"""How the program is called for one job of a sweep."""

from __future__ import annotations

import sys

from styletransfer import checkpoints
from styletransfer import config as configs
from styletransfer.files import written_whole
from styletransfer.sweeps.plans import Job

NSTYLE = configs.PROJECT_FOLDER / "scripts" / "nstyle.py"


def write_config(job: Job) -> None:
    """Write ``job.yaml`` into the folder of a job, which is made."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with written_whole(job.folder / "job.yaml") as stream:
        stream.write(configs.dump(job.config, {"job": job.name}).encode())


def command_of(job: Job) -> list[str]:
    """The command that makes the picture of a job, or goes on with it; ``job.yaml`` must have been written."""
    command = [sys.executable, str(NSTYLE), "--config", str(job.folder / "job.yaml")]
    if (job.folder / "image.png").exists():  # the last picture of a run that diverged
        return [*command, "--force"]
    return [*command, "--resume"] if checkpoints.exists(job.folder) else command
