"""dynsim resume: continue a run that was stopped."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._ranks import world

from ._computation import ComputingCommand, report_simulation, resumable_simulation
from ._progress_bars import SimulationBar


@click.command(cls=ComputingCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--until", type=float, help="A later end of the time span.")
@click.option(
    "--checkpoint",
    "checkpoint_seconds",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds between checkpoints.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(file, until, checkpoint_seconds, as_json):
    """Continue the run in FILE from its last checkpoint; the file gets the same bits as from an uninterrupted run.

    \b
    dynsim resume run.h5
    dynsim resume run.h5 --until 100
    """
    from dynsim.trajectory import resume, stored_run

    config = world().told(lambda: stored_run(file)["parameters"]).get("config")
    start, end = _span(config, until)
    with SimulationBar(start, end) as bar, resumable_simulation(file) as stop:
        times = {"checkpoint_seconds": checkpoint_seconds, "progress_seconds": 1.0}
        solution = resume(file, until, stop=stop, callback=bar, **times)
    report_simulation(file, solution, as_json, config)


def _span(config, until):
    """The span of a run for its bar; `resume` refuses a file that does not say it."""
    run = config.get("run") if isinstance(config, dict) else None
    given = {} if until is None else {"until": until}
    found = {"start": 0.0, "until": 1.0, **(run if isinstance(run, dict) else {}), **given}
    return tuple(found[key] if isinstance(found[key], int | float) else 0.0 for key in ("start", "until"))
