"""dynsim experiment: tables of many trainings."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def command():
    """List experiments and run them.

    \b
    dynsim experiment list
    dynsim experiment run mnist-lenet5 -o results
    """


@command.command("list")
def list_command():
    """Names of the experiments in ./experiments and beside the package.

    \b
    dynsim experiment list
    """
    from dynsim import experiments

    for name in experiments.names():
        recipe = experiments.load(experiments.find(name))
        click.echo(f"{name:16} {recipe.title}: {len(recipe.tasks())} tasks on {recipe.data}")


@command.command("run")
@click.argument("name")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster instead of in this process.")
@click.option("--dry-run", is_flag=True, help="List the trainings and run none.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def run_command(name, output, data_dir, scheduler, dry_run, as_json):
    """Run the experiment NAME, a name from the list or a TOML file; print its table.

    What is finished in the output folder is not repeated; what was interrupted goes on from its last epoch.

    \b
    dynsim experiment run mnist-lenet5 -o results
    dynsim experiment run mine.toml -o results --scheduler tcp://127.0.0.1:8786
    """
    from dynsim import experiments

    recipe = experiments.load(experiments.find(name))
    if dry_run:
        for task in recipe.tasks():
            click.echo(f"{task.name:28} {'finished' if task.result(output) else 'to do'}")
        return

    def tell(task, finished, tasks):
        if task is not None:
            click.echo(f"{finished} of {tasks} finished; {task.name}", err=True)

    results = experiments.run(recipe, output, data_dir=data_dir, scheduler=scheduler, progress=tell)
    text = recipe.report(results, output)
    click.echo(json.dumps(json.loads((output / "report.json").read_text())) if as_json else text)
