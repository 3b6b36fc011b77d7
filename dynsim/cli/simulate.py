"""dynsim simulate: run a configuration or a preset into a trajectory file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import to_json
from dynsim._ranks import world

from ._computation import ComputingCommand, expect_success, report_simulation, resumable_simulation
from ._preset_choice import preset_of
from ._progress_bars import SimulationBar
from ._standard_error import say

EXACT = ("frames", "ranks", "threads", "gather_bytes")  # numbers of a dry run that are no estimates


@click.command(cls=ComputingCommand)
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--preset", "name", help="Instead of a file: pair, cluster, pulse, learn, ...; see below.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="File to write, e.g. run.h5.")
@click.option("--until", type=float, help="End of the time span; the same as --set run.until=T.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one value, e.g. kernel.softening=0.1."
)
@click.option("--max-step", type=float, help="Longest step; the same as --set run.max_step=H.")
@click.option("--first-step", type=float, help="First step; the same as --set run.first_step=H.")
@click.option("--seed", type=int, help="Seed of random places and noise [that of the configuration, else 0].")
@click.option("--dry-run", is_flag=True, help="Only print the complete configuration, memory, time and echo gain.")
@click.option(
    "--print-config", is_flag=True, help="Print the complete configuration as TOML with comments; a file for yourself."
)
@click.option("--print-schema", is_flag=True, help="Print the JSON Schema of configurations, for editors.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option(
    "--checkpoint",
    "checkpoint_seconds",
    type=float,
    default=30.0,
    show_default=True,
    help="Seconds between checkpoints.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(
    config, name, output, until, settings, max_step, first_step, seed, dry_run, print_config, print_schema, overwrite,
    checkpoint_seconds, as_json,
):  # fmt: skip
    """Simulate CONFIG.toml, or a preset, and write the trajectory as H5MD.

    \b
    Presets:
      pair     two neurons that find an orbit around each other
      cluster  60 neurons whose signals gather them in clusters
      pulse    a layered network that passes a pulse on, one layer per delay
      stable   a delayed field with echo gain 0.8: it settles
      echo     a delayed field with echo gain 3: it diverges (exit code 3)
      learn    neurons that move until two spirals of samples have parted
      anneal   the same with mass and friction, at a temperature that falls
      digits   a network 64-32-10 that learns 1,437 digits by its places

    \b
    Examples:
      dynsim simulate --preset pulse -o pulse.h5
      dynsim plot pulse.h5 --kind signals -o pulse.png
      dynsim simulate --preset pair --set kernel.softening=0.1 --until 10 -o pair.h5
      dynsim simulate --preset pulse --print-config > mine.toml
      dynsim simulate mine.toml --dry-run
      mpiexec -n 4 dynsim simulate mine.toml -o run.h5
    """
    from dynsim.engine import configuration_schema, configure
    from dynsim.experiments import configuration_text

    if print_schema:
        return click.echo(to_json(configuration_schema(), indent=2))

    run_keys = {"until": until, "max_step": max_step, "first_step": first_step}
    settings = [*settings, *(f"run.{key}={value!r}" for key, value in run_keys.items() if value is not None)]
    chosen = world().told(partial(configuration, config, name, settings))
    ready = world().told(partial(configure, chosen if seed is None else {**chosen, "seed": seed}))
    if print_config:
        return click.echo(configuration_text(ready.config), nl=False)
    _say_what_scales(chosen, settings)
    if dry_run:
        return _dry_run(ready, as_json)
    if output is None:
        raise refusal("-o", "none", "the file for the trajectory, as -o run.h5", error=click.UsageError)
    from dynsim.trajectory import run

    with SimulationBar(*ready.span) as bar, resumable_simulation(output) as stop:
        solution = run(
            ready.system,
            ready.span,
            path=output,
            parameters={"config": ready.config, **({"preset": name} if name else {})},
            observables=ready.observables,
            overwrite=overwrite,
            checkpoint_seconds=checkpoint_seconds,
            progress_seconds=1.0,
            stop=stop,
            callback=bar,
            **{**ready.options, "seed": ready.seed},
        )
    report_simulation(output, solution, as_json, ready.config)
    return None


def _say_what_scales(config, settings):
    """Where the strengths are scaled to an echo gain, other settings do not change it."""
    changed = [setting.partition("=")[0].strip() for setting in settings]
    for key in changed:
        if "echo_gain" in config and key.split(".")[0] in ("operators", "kernel", "strengths", "groups"):
            gain = f"echo_gain = {config['echo_gain']}"
            say(f"{gain} scales the strengths, so {key} does not change the gain; --set echo_gain=... does.")


def _configuration(path, name):
    if (path is None) == (name is None):
        given = "none" if name is None else "both"
        raise refusal("CONFIG.toml, --preset NAME", given, "one of them", error=click.UsageError)
    if path is not None:
        from dynsim.experiments import read_toml

        return read_toml(path)
    return preset_of(name)


def _dry_run(ready, as_json):
    from dynsim.engine import estimate

    costs = estimate(ready.system, ready.span, **ready.options)
    status, message = costs["status"], costs["message"]
    if as_json:
        click.echo(to_json({"config": ready.config, "neurons": ready.system.neurons, **costs}))
    else:
        _print_costs(ready, costs)
    expect_success(status, message, ready.config)


def _print_costs(ready, costs):
    click.echo(to_json(ready.config, indent=2))
    gain = costs.pop("echo_gain")
    del costs["status"], costs["message"]
    for key, value in costs.items():
        text = f"{value:.3g} s" if key == "seconds" else f"{value:,}"
        click.echo(f"{key:13} {'' if key in EXACT else 'about '}{text}")
    click.echo(f"{'echo_gain':13} {gain:.4g}" + (f" ({_growth(gain)})" if ready.system.looks_back else ""))


def _growth(gain):
    if gain > 1:
        return "above 1: signals grow with every delay, until an activation saturates"
    return "signals decay" if gain > 1e-12 else "nothing comes back"


def configuration(path, name, settings):
    """The configuration of a file or a preset, changed by the words of --set."""
    from dynsim.experiments import SettingError, apply_settings

    config = _configuration(path, name)
    try:
        return apply_settings(config, settings)
    except ValueError as error:
        said = f"--{error}" if str(error).startswith("set") else str(error)  # as the option is called
        raise (click.UsageError if isinstance(error, SettingError) else ValueError)(said) from None
