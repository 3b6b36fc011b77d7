"""dynsim convert: turn a trained network of PyTorch into particles."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import expect_output, to_json

from ._computation import ComputingCommand
from ._progress_bars import ProgressBar
from ._standard_error import say


@click.command(cls=ComputingCommand)
@click.argument("model")
@click.option("--budget", type=float, help="Size of the layers, as a share of their weights [0.5].")
@click.option(
    "--currency",
    type=click.Choice(["floats", "bytes"]),
    default="floats",
    show_default=True,
    help="Unit of the budget; with bytes, layers may also keep their weights in 8 bits.",
)
@click.option("--copies", type=int, help="Places of a neuron [about four times the dimension; with --dim 2].")
@click.option("--dim", type=int, help="One dimension for all layers, instead of a budget.")
@click.option("--rank", type=int, help="Rank of a low-rank part besides the particles; 0: none.")
@click.option(
    "--sets",
    type=click.Choice(["half", "full"]),
    default="half",
    show_default=True,
    help="Sets of places of a convolution: half, output places by row, input places by column; full, both by both.",
)
@click.option("--include", multiple=True, help="Convert only layers with these names, e.g. 'layer1.*'.")
@click.option("--exclude", multiple=True, help="Do not convert layers with these names.")
@click.option(
    "--synthetic/--no-synthetic",
    default=True,
    show_default=True,
    help="If the network takes images, match its layers on random images.",
)
@click.option("--steps", type=int, default=60, show_default=True, help="Gauss-Newton steps of a fit.")
@click.option(
    "--restarts", type=int, default=1, show_default=True, help="Starts of every fit, of which the best is kept."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Another folder to search for MODEL.pt2.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="File to write, e.g. model.h5.")
def command(model, output, data_dir, as_json, include, exclude, overwrite, **options):
    """Convert MODEL, a .pt2 file of torch.export.save or timm:NAME[:pretrained], to particles; print every layer.

    Finished fits are kept in OUTPUT.fits until all are done: an interrupted conversion continues from them.

    \b
    dynsim convert resnet.pt2 -o model.h5 --budget 0.5
    dynsim convert timm:resnet18 -o model.h5 --dim 16 --exclude fc --json
    dynsim convert resnet.pt2 -o small.h5 --budget 0.2 --currency bytes
    """
    from dynsim.torch import convert, load_source, save_converted

    if output.suffix != ".h5":
        raise refusal("-o", output, "a name that ends in .h5", error=click.UsageError)
    if data_dir is not None and not Path(model).exists() and (data_dir / model).exists():
        model = data_dir / model
    expect_output(output, overwrite, source=model)
    module, source = load_source(model)
    fits = output.with_name(output.name + ".fits")
    with ProgressBar("fit") as bar:
        made, report = convert(
            module, include=list(include) or None, exclude=list(exclude) or None, checkpoint=fits,
            progress=bar, **options,
        )  # fmt: skip
    save_converted(made, output, source=source, report=report)
    fits.unlink(missing_ok=True)
    found = {**report.to_dict(), "seed": options["seed"], "bytes": output.stat().st_size}
    click.echo(to_json(found) if as_json else str(report))
    say(f"{output}: {output.stat().st_size:,} bytes; seed {options['seed']}")
