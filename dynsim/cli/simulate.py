"""dynsim simulate: run a preset into a trajectory file."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.option("--preset", "name", required=True, help="pair, cluster, pulse, stable or echo.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Trajectory file, run.h5.")
@click.option("--until", type=float, help="End of the time span, instead of the preset's own.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
@click.pass_context
def command(context, name, output, until, seed, overwrite, as_json):
    """Simulate a preset and write the trajectory as H5MD.

    \b
    dynsim simulate --preset pulse -o pulse.h5
    dynsim plot pulse.h5 --kind signals -o pulse.png
    """
    from dynsim.engine.presets import preset
    from dynsim.trajectory import run

    system, span, options = preset(name, seed)
    if until is not None:
        span = (span[0], until)
    parameters = {"preset": name, "span": list(span)}
    solution = run(system, span, output, parameters=parameters, seed=seed, overwrite=overwrite, **options)
    report = {"status": solution.status, "message": solution.message, "echo_gain": solution.echo_gain}
    report |= {"seed": seed, "output": str(output)}
    if as_json:
        click.echo(json.dumps(report))
    else:
        for key, value in report.items():
            click.echo(f"{key:10} {value}")
    if solution.status < 0:
        click.echo(f"Error: {solution.message}", err=True)
        context.exit(3 if solution.status == -2 else 1)
