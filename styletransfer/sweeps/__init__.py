"""Sweeps: many pictures from one file that lists what varies, or trainings from their configs.

- ``jobs``: a picture or a training, as all others see it
- ``sweep_file``: the sweep file and its jobs; nothing is written until all of them are valid
- ``photographs``: a sweep of several photographs, and ``trainings``: one of trainings, each without a file
- ``names``: job names; ``cluster``: resources to request from a cluster
- ``states``: the state of a job, from its folder
- ``command``: the command line of a job; ``local``: running jobs on this machine
- ``batch``: the job file of a Slurm array; ``slurm``: submitting it, and querying the queue
- ``reports``, ``contact``: status lines, the table of results and the contact sheet

Nothing here needs MXNet. Besides the output files of every run, a job's folder contains ``job.yaml`` (its config),
``job.log`` (its standard error; locked while it runs), ``job.status`` (its exit status) and, while it runs on a
cluster, ``job.begun`` (where).
"""
