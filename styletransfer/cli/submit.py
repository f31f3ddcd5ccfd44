"""Run a sweep, many pictures from one file, or trainings of styles, on this machine or a Slurm cluster."""

from __future__ import annotations

import argparse
import functools
import sys

from styletransfer.cli import kinds
from styletransfer.cli.options import Parser, add_overrides, whole


def parser(program: str | None = None) -> argparse.ArgumentParser:
    parser = Parser(
        prog=program,
        description="Run a sweep, many pictures from one file that states what varies, or trainings of styles, each "
        "from its config, on this machine or, as one job array, on a Slurm cluster.",
        epilog="Repeat the command to continue: finished jobs are skipped, and interrupted ones resume. "
        "Exit status: 0 all done, or submitted; 1 some jobs failed, for the reasons printed; 2 invalid input, "
        "nothing was started; 75 interrupted, states saved.",
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a sweep file such as configs/sweeps/content_layer.yaml, or configs of trainings such as "
        "configs/train/night.yaml",
    )
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=whole(1, 10_000),
        help="number of concurrent jobs (default: 1, or all on a cluster); on one machine they share cores and memory",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, input files too, and list the jobs; with --cluster, also print the job file",
    )
    what.add_argument(
        "--status",
        action="store_true",
        help="show the state of every job: done, running, queued, unfinished, failed or left",
    )
    what.add_argument(
        "--collect",
        action="store_true",
        dest="collect_now",
        help="make the contact sheet and the table from the results so far",
    )
    add_overrides(parser, "a config key of all jobs")
    parser.add_argument(
        "--output", metavar="FOLDER", help="the folder with the folders of the jobs (default: as in the files)"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="start over the jobs that failed, or whose settings or input files have changed since they started",
    )
    parser.add_argument(
        "--cluster", choices=["slurm"], help="submit the jobs to a cluster instead of running them here"
    )
    _add_cluster_options(parser)
    return parser


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """The resources of a job; an option has the name of its key under `cluster:` in the sweep file."""
    group = parser.add_argument_group(
        "resources of a job on the cluster", "they override the keys under `cluster:` in the sweep file"
    )
    add = functools.partial(group.add_argument, default=None)
    add("--partition", metavar="NAME")
    add("--account", metavar="NAME")
    add("--qos", metavar="NAME")
    add("--gpus", metavar="N", help="number of GPUs, 1 or h100:1 (default: 1 if a config's device is a GPU)")
    add("--cpus", metavar="N", type=whole(1, 1024))
    add("--memory", metavar="SIZE", help="memory, such as 8GB (10^9 bytes each) or 8GiB (2^30)")
    add("--time", metavar="LIMIT", help="such as 4:00:00; a job that reaches the limit saves its state and is requeued")
    add(
        "--warning",
        metavar="SECONDS",
        type=whole(1, 3600),
        help="seconds before the time limit at which a job saves its state",
    )
    add("--restarts", metavar="N", type=whole(0, 10_000), help="maximum number of times a job is requeued")
    add(
        "--setup",
        metavar="LINE",
        action="append",
        help="a bash command to run before each job, such as 'module load python/3.12'; repeatable",
    )
    add("--python", metavar="FILE", help="the Python that runs the jobs (default: the one that runs this command)")
    add(
        "--option",
        metavar="OPTION",
        action="append",
        dest="options",
        help="an option for sbatch, such as --option=--constraint=h100; repeatable",
    )
    add(
        "--no-collect",
        dest="collect",
        action="store_false",
        help="do not submit the job that makes the contact sheet and the table",
    )


# Keys under `cluster:` whose options have another name.
_OPTIONS = {"options": "--option", "collect": "--no-collect"}


def main(arguments: list[str] | None = None, program: str | None = None) -> int:
    options = parser(program).parse_args(arguments)

    from styletransfer.cli.guard import guarded

    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    from styletransfer.config import find_input
    from styletransfer.support import commands
    from styletransfer.support.errors import UserError
    from styletransfer.support.optional import optional
    from styletransfer.sweeps import batch, contact, local, outputs, reports, slurm, states, sweep_file, trainings
    from styletransfer.sweeps.cluster import Cluster

    say = functools.partial(print, flush=True)

    def submit() -> int:
        kinds.check(options.files, "sweep", "training")
        sweep = trainings.read(options.files, options.assignments, options.output)
        asked = {name: getattr(options, name, None) for name in Cluster.model_fields}
        given = [name for name, value in asked.items() if value is not None]
        if given and not options.cluster:
            raise UserError(f"{_OPTIONS.get(given[0], f'--{given[0]}')} only applies to a cluster: add --cluster slurm")
        cluster = sweep.cluster.changed({**asked, "parallel": options.jobs})
        if options.status:
            return show(sweep)
        outputs.check(sweep, {name: find_input(name) for name in options.files}, options.force)
        if options.collect_now:
            return show(sweep)
        if not options.force:
            states.check_settings(sweep)
        if options.cluster:
            return send(sweep, cluster)
        if options.dry_run:
            say(reports.listing(sweep))
            return check(sweep)
        queue = slurm.queue_of(sweep)
        for job in states.jobs_to_restart(sweep, queue) if options.force else ():
            states.forget(job)
        unusable = local.run_here(sweep, options.jobs or 1, say, queue)
        return finish(sweep, {**(queue or {}), **unusable} if unusable else queue)

    def show(sweep: sweep_file.Sweep) -> int:
        try:
            queue = slurm.queue_of(sweep)
        except UserError as error:
            say(f"the queue could not be read: {error}")
            queue = None
        if options.collect_now:
            reports.write_results(sweep, queue)
            say(contact.write_contact_sheet(sweep, queue))
            say("\n".join([*reports.failures(sweep, queue), reports.summary(sweep, queue)]))
        else:
            say(reports.report(sweep, queue))
        return 0

    def send(sweep: sweep_file.Sweep, cluster: Cluster) -> int:
        if options.dry_run:
            queue = slurm.queue_of(sweep)
            jobs = slurm.to_send(sweep, queue, states.jobs_to_restart(sweep, queue) if options.force else ())
            if jobs:
                say(batch.array(sweep, cluster, jobs, slurm.next_file(sweep)))
            say(reports.listing(sweep))
            say(f"{len(jobs)} of {len(sweep.jobs)} jobs would be submitted")
            return check(sweep)
        again = [f"--set={each}" for each in options.assignments]
        again += [f"--output={options.output}"] if options.output else []
        if not slurm.send(sweep, cluster, [*options.files, *again], say, options.force):
            queue = slurm.queue_of(sweep)
            say(f"nothing to submit: {reports.summary(sweep, queue)}")
            if reports.all_done(sweep):
                finish(sweep, queue)
        return 0

    def check(sweep: sweep_file.Sweep) -> int:
        faults = reports.unusable_inputs(sweep)
        for fault in faults:
            print(f"error: {commands.one_line(commands.as_called(fault))}", file=sys.stderr)
        return 2 if faults else 0

    def finish(sweep: sweep_file.Sweep, queue: states.Queue) -> int:
        with optional(sweep.folder / sweep_file.RESULTS):
            reports.write_results(sweep, queue)
        with optional(sweep.folder / sweep_file.CONTACT):
            say(contact.write_contact_sheet(sweep, queue))
        say("\n".join([*reports.failures(sweep, queue), reports.summary(sweep, queue)]))
        return 0 if reports.all_done(sweep) else 1

    return submit()
