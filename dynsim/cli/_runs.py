"""What simulate and resume have in common: how a run may be stopped, and what is said at its end."""

from __future__ import annotations

import json
from contextlib import contextmanager

import click

from ._stop import stop_on_signals


@contextmanager
def interruptible(file):
    """A stop function for the run into `file`; says how to go on if it was used."""
    try:
        with stop_on_signals() as stop:
            yield stop
    except KeyboardInterrupt:
        click.echo(f"Interrupted after a checkpoint. Go on with: dynsim resume {file}", err=True)
        raise SystemExit(130) from None


def finish(file, solution, as_json):
    """Report a run that has ended; exit code 3 if it diverged, 1 if it failed."""
    from dynsim.trajectory import Trajectory

    with Trajectory(file) as trajectory:
        report = {
            "status": solution.status,
            "message": solution.message,
            "neurons": trajectory.neurons,
            "dimension": trajectory.dimension,
            "frames": trajectory.frames,
            "time": float(solution.t[-1]) if len(solution.t) else None,
            "steps": solution.naccepted,
            "echo_gain": solution.echo_gain,
            "seed": trajectory.seed,
            "seconds": round(solution.wall_time, 3),
            "output": str(file),
        }
    click.echo(json.dumps(report) if as_json else "\n".join(f"{key:10} {value}" for key, value in report.items()))
    if solution.status < 0:
        click.echo(f"Error: {solution.message}", err=True)
        raise SystemExit(3 if solution.status == -2 else 1)
