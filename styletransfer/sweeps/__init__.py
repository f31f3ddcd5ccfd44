"""Sweeps: many pictures from one file that says what varies.

- ``plans``: the sweep file, and the jobs it stands for; nothing is written before all of them are in order
- ``names``: what jobs are called; ``cluster``: what they ask of a cluster
- ``states``: what has become of a job, from its folder
- ``command``: how the program is called for a job; ``local``: running jobs on this machine
- ``batch``: the jobs written down as a Slurm array; ``slurm``: sending it, and asking what is queued
- ``reports``, ``contact``: what is said and left at the end

Nothing here needs MXNet. Besides what every run leaves, a job's folder holds ``job.yaml`` (its config), ``job.log``
(what it said; locked while it runs), ``job.status`` (its exit status) and, while a cluster runs it, ``job.begun``
(where).
"""
