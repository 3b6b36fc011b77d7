"""dynsim validate: check whether a file is sound."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._files import to_json

from ._progress_bars import ProgressBar


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(file, as_json):
    """Read and check all of FILE, a trajectory, a model or a converted network; exit code 4 if it is damaged.

    \b
    dynsim validate run.h5
    dynsim validate model.h5 --json
    """
    from dynsim.trajectory import file_kind, validate

    kind = file_kind(file)
    if kind == "converted":
        from dynsim.torch import load_converted

        load_converted(file)  # checks seals, sizes and types
        findings = []
    elif kind == "model":
        from dynsim import load_model

        load_model(file)  # checks sizes, types and that all numbers are finite
        findings = []
    else:
        with ProgressBar("frame") as progress:
            findings = validate(file, progress)
    if as_json:
        click.echo(to_json({"file": str(file), "sound": not findings, "findings": findings}))
    else:
        click.echo("\n".join(findings) if findings else "sound")
    if findings:
        raise SystemExit(4)
