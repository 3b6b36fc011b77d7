"""dynsim sweep: simulate a configuration for many values of some keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from dynsim._check import as_count, refusal
from dynsim._files import read_json, to_json

from ._computation import ComputingCommand, same_command
from ._progress_bars import SimulationBar
from ._standard_error import say
from ._task_bars import TaskBars
from .simulate import configuration


@click.command(cls=ComputingCommand)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--preset", "name", help="A preset instead of a file, as of dynsim simulate.")
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="START:STOP:N, START:STOP:N:log or a,b,c; several --vary give all combinations.",
)
@click.option("--zip", "zipped", is_flag=True, help="Take the first value of every key, then the second, and so on.")
@click.option("--seeds", type=int, help="Repeat each run with so many seeds, beginning with the configuration's.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value for all runs.")
@click.option("--until", type=float, help="End of the time span, as --set run.until=T.")
@click.option("--observe", multiple=True, metavar="COLUMN", help="What is drawn and printed; sweep.csv has all.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--processes", type=int, default=1, show_default=True, help="Runs at once.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on this Dask cluster instead of in this process.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier sweep in the folder.")
@click.option("--dry-run", is_flag=True, help="List the runs; make none.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(
    config, name, vary, zipped, seeds, settings, until, observe, output, processes, scheduler, overwrite, dry_run,
    as_json,
):  # fmt: skip
    """Simulate CONFIG.toml, or a preset, for every value of one or several keys.

    The folder gets sweep.csv, a row a run: its values, its outcome, numbers of steps, the echo gain at the end (gain),
    and of the last frame the root mean squares of the signals (R_rms, E_rms) and of the places' distances from
    their middle (spread), and the entropy of their distances (entropy). It gets sweep.png, with error bars over
    seeds, and the trajectory of every run. What is finished there is not repeated, and what was interrupted goes on
    from its last checkpoint.

    \b
    dynsim sweep --preset stable --vary echo_gain=0.1:2:20 -o gains
    dynsim sweep --preset cluster --vary kernel.softening=0.01:1:5:log --seeds 3 --until 2 -o softening
    dynsim sweep mine.toml --vary delay=0.1,0.2 --vary run.method=dopri5,tsit5 --processes 2 -o methods
    """
    from dynsim import experiments

    chosen = configuration(config, name, [*settings, *([] if until is None else [f"run.until={until!r}"])])
    pairs = [_values(text) for text in vary]
    twice = [key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1]
    if twice:
        raise refusal("--vary", f"{twice[0]} twice", "each key once", error=click.UsageError)
    first = as_count(chosen.get("seed", 0), "seed", minimum=0)
    if seeds is not None:
        as_count(seeds, "--seeds")
    sweep = experiments.Sweep(
        chosen, dict(pairs), zipped=zipped,
        seeds=None if seeds is None else [first + k for k in range(seeds)],
        title=f"Sweep of {config.stem if name is None else name}",
        **({"observables": list(observe)} if observe else {}),
    )  # fmt: skip
    if dry_run:
        return _dry_run(sweep, output, as_json)
    if output is None:
        raise refusal("-o", "none", "the folder for the results, as -o sweep", error=click.UsageError)
    if overwrite:
        sweep.check()  # before anything is removed
        _remove(output)
    try:
        with TaskBars(_time_bar) as bars:
            results = experiments.run(
                sweep, output, scheduler=scheduler, processes=processes, progress=bars.progress, training=bars.one
            )
    except KeyboardInterrupt:
        say(f"Interrupted; what is finished stays. Go on with: {same_command()}")
        raise SystemExit(130) from None
    text = sweep.report(results, output)
    for key in sweep.without_effect(results):
        say(f"{key}: all its values gave the same signals and places; nothing here depends on it.")
    click.echo(to_json(read_json(output / "report.json")) if as_json else text)
    if not as_json:
        click.echo(f"written  {output}: sweep.csv, sweep.png, and the trajectories in runs")
    return None


def _remove(output):
    """Remove the runs and tables of an earlier sweep, and nothing else."""
    for name in ("sweep.csv", "sweep.png", "sweep.parquet", "report.json"):
        (output / name).unlink(missing_ok=True)
    for folder in output.glob("runs/run" + 5 * "[0-9]"):
        shutil.rmtree(folder)


def _values(text):
    from dynsim import experiments

    try:
        return experiments.as_values(text)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None


class _TimeBar(SimulationBar):
    """A bar over the time of a run, called with (t, start, end)."""

    def __init__(self):
        super().__init__(0.0, 1.0)

    def __call__(self, t, start, end):
        """Move to `t`; false, which stops nothing."""
        self.start, self.end = start, end
        return super().__call__(t)


def _time_bar(task):
    return _TimeBar()


def _dry_run(sweep, output, as_json):
    """The runs, and which of them are finished."""
    sweep.check()
    rows = []
    for task in sweep.tasks():
        finished = output is not None and task.result(output) is not None
        rows.append({"run": task.name, **task.values, "seed": task.seed, "finished": finished})
    if as_json:
        click.echo(to_json({"runs": rows}))
        return
    for row in rows:
        values = "  ".join(f"{key} = {row[key]}" for key in (*sweep.vary, "seed"))
        click.echo(f"{row['run']}  {values}  {'finished' if row['finished'] else 'to do'}")
    left = sum(not row["finished"] for row in rows)
    click.echo(f"{len(rows)} runs, {left} to do")
