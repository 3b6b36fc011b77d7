"""dynsim export: files for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ._progress import Progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["extxyz"]), help="Format; else by the name of the output.")
@click.option("--packed", is_flag=True, help="A model as safetensors, its places at --bits each.")
@click.option("--bits", type=int, default=8, show_default=True, help="Bits of a coordinate.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="File to write, as run.xyz.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(file, form, packed, bits, output, overwrite):
    """Write the trajectory FILE as extended XYZ, which OVITO, ASE and others read; or pack the model FILE.

    \b
    dynsim export run.h5 --to extxyz -o run.xyz
    dynsim export model.h5 --packed --bits 5 -o model.safetensors
    """
    if packed:
        return _pack(file, output, bits, overwrite)
    from dynsim.trajectory import to_extxyz

    if form is None and output.suffix not in (".xyz", ".extxyz"):
        raise click.UsageError(f"-o: got {output}; expected a name that ends in .xyz, or --to extxyz.")
    with Progress(0, 1, unit="frames") as bar:
        frames = to_extxyz(file, output, overwrite, progress=lambda done, frames: bar(done / frames))
    click.echo(f"{output}: {frames} frames")
    return None


def _pack(file, output, bits, overwrite):
    from dynsim import load_model
    from dynsim.interop import save_packed

    if output.exists() and not overwrite:
        raise click.UsageError(f"-o: {output} exists; choose another name or give --overwrite.")
    size = save_packed(load_model(file), output, bits)
    click.echo(f"{output}: {size:,} bytes")
