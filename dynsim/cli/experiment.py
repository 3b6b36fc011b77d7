"""dynsim experiment: run the tables of many trainings."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import read_json, to_json

from ._computation import ComputingCommand, same_command
from ._progress_bars import ProgressBar
from ._standard_error import say
from ._task_bars import TaskBars


@click.group()
def command():
    """List experiments and run them.

    \b
    dynsim experiment list
    dynsim experiment run mnist-lenet5 -o results
    """


@command.command("list")
def list_command():
    """Names of the experiments in ./experiments and in the package.

    \b
    dynsim experiment list
    """
    from dynsim import experiments

    for name in experiments.names():
        try:
            recipe = experiments.load(experiments.find(name))
        except (ValueError, TypeError) as error:
            say(f"Warning: {error} It is left out.")
            continue
        click.echo(f"{name:16} {recipe.title}: {len(recipe.tasks())} tasks on {recipe.data}")


@command.command("run", cls=ComputingCommand)
@click.argument("name")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that is searched for data sets first.")
@click.option("--processes", type=int, default=1, show_default=True, help="Trainings at once.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster instead of in this process.")
@click.option("--dry-run", is_flag=True, help="List the trainings and what they cost; run none.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def run_command(name, output, data_dir, processes, scheduler, dry_run, as_json):
    """Run the experiment NAME, a name from the list or a TOML file; print its table.

    What is finished in the output folder is not repeated; what was interrupted goes on from its last epoch.

    \b
    dynsim experiment run mnist-lenet5 -o results
    dynsim experiment run mnist-lenet5 --processes 2 -o results
    dynsim experiment run mnist-lenet5 --dry-run
    dynsim experiment run mine.toml -o results --scheduler tcp://127.0.0.1:8786
    """
    from dynsim import experiments

    recipe = experiments.load(experiments.find(name))
    if dry_run:
        _dry_run(recipe, output, data_dir, as_json)
        return
    if output is None:
        raise refusal("-o", "none", "the folder for the results, as -o results", error=click.UsageError)
    try:
        with TaskBars() as bars:
            results = experiments.run(
                recipe, output, data_dir=data_dir, scheduler=scheduler, processes=processes, progress=bars.progress,
                training=bars.one,
            )  # fmt: skip
    except KeyboardInterrupt:
        say(f"Interrupted; what is finished stays. Go on with: {same_command()}")
        raise SystemExit(130) from None
    text = recipe.report(results, output)
    click.echo(to_json(read_json(output / "report.json")) if as_json else text)


def _dry_run(recipe, output, data_dir, as_json):
    """Every training with its settings and what it will cost; the same training of another seed costs the same."""
    from dynsim import datasets

    if not hasattr(recipe, "settings"):  # conversions: what they cost depends on the networks' files
        done = {task.name: output is not None and task.result(output) is not None for task in recipe.tasks()}
        rows = [{"name": name, "finished": finished} for name, finished in done.items()]
        lines = [f"{row['name']:28} {'finished' if row['finished'] else 'to do'}" for row in rows]
        click.echo(to_json({"tasks": rows}) if as_json else "\n".join([recipe.title, *lines]))
        return
    data, tasks, costs = datasets.load(recipe.data, data_dir), recipe.tasks(), {}
    rows = []
    with ProgressBar("trial", delay=0.0) as progress:
        for number, task in enumerate(tasks):
            finished = output is not None and task.result(output) is not None
            if task.alike not in costs:
                costs[task.alike] = task.estimate(data)
            rows.append({"name": task.name, "finished": finished, **costs[task.alike]})
            progress(number + 1, len(tasks))
    left = sum(row["seconds"] for row in rows if not row["finished"])
    if as_json:
        click.echo(to_json({"data": recipe.data, "training": recipe.settings, "trainings": rows, "seconds": left}))
        return
    click.echo(f"{recipe.title}: {recipe.data}, {recipe.networks}")
    for kind, settings in recipe.settings.items():
        click.echo(f"  {kind}: {settings}")
    for row in rows:
        state = "finished" if row["finished"] else f"about {row['seconds']:,.0f} s"
        stored, memory = row["parameters"]["stored_floats"], row["memory_bytes"] / 2**20
        click.echo(f"{row['name']:28} {state:16} {stored:>10,} numbers  {memory:>8,.0f} MiB")
    minutes = f"about {left / 60:,.0f} minutes left on this machine"
    click.echo(f"{len(tasks)} trainings, {minutes}, without noise, packing and reports")
