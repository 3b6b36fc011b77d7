"""dynsim export: files for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ._progress import Progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["extxyz"]), help="Format; else by the name of the output.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="File to write, as run.xyz.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(file, form, output, overwrite):
    """Write the trajectory FILE as extended XYZ, which OVITO, ASE and others read.

    \b
    dynsim export run.h5 --to extxyz -o run.xyz
    """
    from dynsim.trajectory import to_extxyz

    if form is None and output.suffix not in (".xyz", ".extxyz"):
        raise click.UsageError(f"-o: got {output}; expected a name that ends in .xyz, or --to extxyz.")
    with Progress(0, 1, unit="frames") as bar:
        frames = to_extxyz(file, output, overwrite, progress=lambda done, frames: bar(done / frames))
    click.echo(f"{output}: {frames} frames")
