"""dynsim train: a network learns by forces on its neurons."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from ._training import train_into


@click.command()
@click.argument("model", type=click.Choice(["mlp", "lenet5"]))
@click.option("--data", "data_name", required=True, help="Data set: digits, mnist, fashion-mnist, kmnist.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie.")
@click.option(
    "--method",
    type=click.Choice(["forces", "fit", "alternating"]),
    default="forces",
    show_default=True,
    help="Forces on the places; places fitted to trained weights; both in turn, epoch by epoch.",
)
@click.option("--copies-fc", type=int, default=None, help="Places per neuron of full layers [2; mlp 4].")
@click.option("--copies-conv", type=int, default=3, show_default=True, help="Places per neuron of convolutions.")
@click.option("--dim", type=int, default=None, help="Dimension of the space [9; mlp 8].")
@click.option("--hidden", default="1000,1500", show_default=True, help="Hidden widths of mlp.")
@click.option(
    "--kernel",
    default="inverse",
    show_default=True,
    help="Profile; l1: linear, of l1 distances.",
)
@click.option("--metric", default="l2", show_default=True, type=click.Choice(["l2", "l1"]))
@click.option("--weights", is_flag=True, help="Train the ordinary network as baseline.")
@click.option("--epochs", type=int, default=3, show_default=True)
@click.option("--batch", type=int, default=128, show_default=True)
@click.option("--rate", type=float, default=0.02, show_default=True, help="Peak rate of the places.")
@click.option("--motion", default="adam", show_default=True, help="adam, inertial or overdamped.")
@click.option("--smoothing", type=float, default=0.0, show_default=True, help="Share of the labels spread evenly.")
@click.option("--decay", type=float, default=0.0, show_default=True, help="Share that weights shrink by.")
@click.option("--bits", type=int, help="Places on a grid of 2^bits values, for packed files.")
@click.option("--shift", type=float, default=0.0, show_default=True, help="Shift images at random, pixels at most.")
@click.option("--rotation", type=float, default=0.0, show_default=True, help="Turn images at random, degrees at most.")
@click.option("--init", type=click.Path(path_type=Path), help="Model to begin from; with weights, what fit fits to.")
@click.option("--fit-steps", type=int, help="Steps of a fit [1500; alternating 300].")
@click.option("--fit-images", type=int, default=0, show_default=True, help="Images that fit may look at.")
@click.option("--fit-rate", type=float, default=0.02, show_default=True, help="Peak rate of fit.")
@click.option("--resume", is_flag=True, help="Go on from the last finished epoch in the output folder.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
def command(model, data_name, data_dir, as_json, output, **options):
    """Train MODEL (mlp, lenet5) and leave model.h5, training.h5, metrics.jsonl and figures in a folder.

    \b
    dynsim train mlp --data digits --hidden 32 --epochs 10 -o out
    dynsim train lenet5 --data mnist --copies-fc 2 --copies-conv 3 --dim 9 --epochs 3 --seed 0 -o out
    dynsim train lenet5 --data mnist --kernel l1 --epochs 20 --rate 0.08 -o l1
    dynsim train lenet5 --data mnist --weights --epochs 20 -o ordinary
    dynsim train lenet5 --data mnist --method fit --init ordinary/model.h5 -o fitted

    Stopped by Ctrl-C it goes on from the last finished epoch with --resume, bit for bit.
    """
    from dynsim import datasets

    output.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    data = datasets.load(data_name, data_dir)
    network, reference = _begin(model, data, options)
    names = (
        "epochs",
        "batch",
        "rate",
        "motion",
        "smoothing",
        "decay",
        "bits",
        "seed",
        "resume",
        "fit_steps",
        "fit_images",
        "fit_rate",
    )
    report = train_into(
        output,
        network,
        data,
        options["method"],
        reference=reference,
        augment=_augment(options["shift"], options["rotation"]),
        **{name: options[name] for name in names},
    )
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(f"test accuracy      {report['test_accuracy']:.2f} %")
    click.echo(f"seconds per epoch  {report['seconds_per_epoch']:.1f}")
    click.echo(f"seed               {options['seed']}")
    for name, value in report["parameters"].items():
        click.echo(f"{name:18} {value:,}")
    click.echo(f"written            {output}")


def _begin(model, data, options):
    """The model, and the ordinary network that `--init` gives to fit and alternating."""
    network = _build(model, data, options)
    if options["init"] is None:
        return network, None
    from dynsim import load_model

    given = load_model(options["init"])
    if options["method"] != "forces" and given.config.get("weights"):
        return network, given
    return given, None


def _augment(shift, rotation):
    from dynsim.learning import Augment

    return Augment(shift, rotation) if shift or rotation else None


def _build(model, data, options):
    from dynsim import models
    from dynsim.kernels import Kernel

    if options["kernel"] == "l1":
        kernel = Kernel("linear", "l1")
    else:
        kernel = Kernel(options["kernel"], options["metric"], softening=1e-3)
    common = {"kernel": kernel, "seed": options["seed"], "weights": options["weights"]}
    copies, dim = options["copies_fc"], options["dim"]
    if model == "lenet5":
        copies, dim = 2 if copies is None else copies, 9 if dim is None else dim
        return models.lenet5(copies_fc=copies, copies_conv=options["copies_conv"], dim=dim, **common)
    try:
        hidden = [int(width) for width in options["hidden"].split(",") if width.strip()]
    except ValueError:
        raise click.UsageError(f"--hidden: got {options['hidden']!r}; expected whole numbers, as 1000,1500.") from None
    widths = [math.prod(data.train_images.shape[1:]), *hidden, data.classes]
    return models.mlp(widths, copies=4 if copies is None else copies, dim=8 if dim is None else dim, **common)
