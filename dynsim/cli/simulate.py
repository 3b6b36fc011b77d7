"""dynsim simulate: run a configuration or a preset into a trajectory file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ._compiling import Computing
from ._config import apply_settings
from ._progress import Progress
from ._runs import finish, interruptible


@click.command(cls=Computing)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--preset", "name", help="pair, cluster, pulse, stable or echo instead of a file.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Trajectory file, run.h5.")
@click.option("--until", type=float, help="End of the time span, as --set run.until=T.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value, as kernel.softening=0.1."
)
@click.option("--seed", type=int, help="Of the random places [the configuration's, else 0].")
@click.option("--dry-run", is_flag=True, help="Print the whole configuration, memory, time and echo gain; run nothing.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--checkpoint", type=float, default=30.0, show_default=True, help="Seconds between checkpoints.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(config, name, output, until, settings, seed, dry_run, overwrite, checkpoint, as_json):
    """Simulate CONFIG.toml, or a preset, and write the trajectory as H5MD.

    \b
    Presets:
      pair     two neurons that find an orbit around each other
      cluster  60 neurons whose signals gather them in clusters
      pulse    a layered network that passes a pulse on, one layer per delay
      stable   a delayed field with echo gain 0.8: it settles
      echo     a delayed field with echo gain 3: it diverges (exit code 3)

    \b
    Examples:
      dynsim simulate --preset pulse -o pulse.h5
      dynsim plot pulse.h5 --kind signals -o pulse.png
      dynsim simulate --preset pair --set kernel.softening=0.1 --until 10 -o pair.h5
      dynsim simulate experiments/pulse.toml --dry-run
    """
    from dynsim.engine import configure

    settings = [*settings, *([] if until is None else [f"run.until={until!r}"])]
    ready = configure(_settle(apply_settings(_configuration(config, name), settings), seed))
    if dry_run:
        return _dry_run(ready, as_json)
    if output is None:
        raise click.UsageError("-o is missing: say where the trajectory goes, as -o run.h5.")
    from dynsim.trajectory import run

    with Progress(*ready.span) as bar, interruptible(output) as stop:
        solution = run(
            ready.system,
            ready.span,
            path=output,
            parameters={"config": ready.config, **({"preset": name} if name else {})},
            seed=ready.seed,
            overwrite=overwrite,
            checkpoint_seconds=checkpoint,
            progress_seconds=1.0,
            stop=stop,
            callback=bar,
            **ready.options,
        )
    finish(output, solution, as_json)
    return None


def _configuration(path, name):
    if (path is None) == (name is None):
        raise click.UsageError("give either a CONFIG.toml or --preset NAME.")
    if path is not None:
        from dynsim.experiments import read_toml

        return read_toml(path)
    from dynsim.engine.presets import preset_config

    return preset_config(name)


def _settle(config, seed):
    return config if seed is None else {**config, "seed": seed}


def _dry_run(ready, as_json):
    from dynsim.engine import estimate

    costs = estimate(ready.system, ready.span, **ready.options)
    if as_json:
        click.echo(json.dumps({"config": ready.config, "neurons": ready.system.neurons, **costs}))
        return
    click.echo(json.dumps(ready.config, indent=2))
    gain = costs.pop("echo_gain")
    for key, value in costs.items():
        text = f"{value:.3g} s" if key == "seconds" else f"{value:,}"
        click.echo(f"{key:13} {'about ' if key != 'frames' else ''}{text}")
    click.echo(f"{'echo_gain':13} {gain:.4g}" + (f" ({_growth(gain)})" if ready.system.delay else ""))


def _growth(gain):
    if gain > 1:
        return "above 1: signals grow with every delay, until an activation saturates"
    return "signals decay" if gain > 1e-12 else "nothing comes back"
