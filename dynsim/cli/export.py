"""dynsim export: write files for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import expect_output

from ._progress_bars import ProgressBar


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["extxyz", "onnx"]), help="Format [by the ending of the output].")
@click.option("--packed", is_flag=True, help="Write a model as safetensors, its places and weights at --bits each.")
@click.option("--bits", type=int, default=8, show_default=True, help="Bits of a coordinate or weight.")
@click.option("--materialized", is_flag=True, help="Write a model as safetensors, as ordinary weights by name.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="File to write, as run.xyz.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def command(file, form, packed, bits, materialized, output, overwrite):
    """Write the trajectory FILE as extended XYZ (for OVITO, ASE and others), or the model or converted network FILE as
    ONNX or safetensors.

    \b
    dynsim export run.h5 --to extxyz -o run.xyz
    dynsim export model.h5 -o model.onnx
    dynsim export model.h5 --materialized -o model.safetensors
    dynsim export model.h5 --packed --bits 5 -o model.safetensors
    """
    if packed and materialized:
        raise refusal("--packed, --materialized", "both", "one of them", error=click.UsageError)
    if packed or materialized or form == "onnx" or (form is None and output.suffix == ".onnx"):
        return _model(file, output, overwrite, bits if packed else None, materialized)
    from dynsim.trajectory import to_extxyz

    if form is None and output.suffix not in (".xyz", ".extxyz"):
        wanted = "a name that ends in .xyz or .onnx, --to, --packed or --materialized"
        raise refusal("-o", output, wanted, error=click.UsageError)
    with ProgressBar("frame") as bar:
        frames = to_extxyz(file, output, overwrite=overwrite, progress=bar)
    click.echo(f"{output}: {frames} frames")
    return None


def _model(file, output, overwrite, bits, materialized):
    from dynsim import export
    from dynsim.trajectory import file_kind

    expect_output(output, overwrite, source=file)
    if file.suffix == ".h5" and file_kind(file) == "converted":
        return _converted(file, output, bits, materialized)
    model = export.load_model(file)
    if bits is not None:
        size = export.save_packed(model, output, bits=bits)
    else:
        size = (export.save_materialized if materialized else export.save_onnx)(model, output)
    click.echo(f"{output}: {size:,} bytes")
    return None


def _converted(file, output, bits, materialized):
    """A converted network as ONNX, or its ordinary weights by name."""
    if bits is not None:
        wanted = "a model of dynsim with --packed"
        raise refusal(file, "a converted network", wanted, "use --materialized", error=click.UsageError)
    from dynsim.torch import load_image_network, save_materialized, save_onnx

    network = load_image_network(file)
    if materialized:
        size = save_materialized(network.module, output)
    else:
        size = save_onnx(network.module, output, example=network.example)
    click.echo(f"{output}: {size:,} bytes")
