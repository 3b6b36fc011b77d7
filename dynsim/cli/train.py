"""dynsim train: train a network of particles (or the ordinary one) on a data set."""

from __future__ import annotations

import math
from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import to_json

from ._computation import ComputingCommand
from ._data_options import data_options, load_data, shape_options
from ._training_folder import expect_training_folder, print_training_costs, train_into

RATE, DYN_RATES = 0.02, {"vit": 0.08}  # default rates: of all, and of models in DyN form that tolerate more
SHIFT = {"vit": 1.0}  # transformers, unlike convolutions, do not learn by themselves that a shifted image is the same


@click.command(cls=ComputingCommand)
@click.argument("model", type=click.Choice(["mlp", "lenet5", "vit"]))
@data_options(required=True)
@shape_options
@click.option(
    "--method",
    type=click.Choice(["forces", "fit", "alternating"]),
    default="forces",
    show_default=True,
    help="Move places by forces, fit them to trained weights, or alternate both epoch by epoch.",
)
@click.option("--copies-fc", "copies", type=int, default=None, help="Places per neuron in full layers [2; mlp, vit 4].")
@click.option("--copies-conv", type=int, default=3, show_default=True, help="Places per neuron in convolutions.")
@click.option("--dim", type=int, default=None, help="Dimension of the space [9; mlp 8, vit 12].")
@click.option("--hidden", help="Hidden neurons: of mlp, layer by layer [1000,1500]; in a block of vit [128].")
@click.option("--patch", type=int, default=7, show_default=True, help="vit: side of a patch in pixels.")
@click.option("--width", type=int, default=64, show_default=True, help="vit: signals per token.")
@click.option("--depth", type=int, default=4, show_default=True, help="vit: number of blocks.")
@click.option("--heads", type=int, default=4, show_default=True, help="vit: attention heads per block.")
@click.option(
    "--pool",
    type=click.Choice(["mean", "class"]),
    default="mean",
    help="vit: classify by the mean of all tokens, or by a class token.",
)
@click.option(
    "--kernel",
    default="inverse",
    show_default=True,
    help="Profile of the kernel; l1: the linear one with l1 distances.",
)
@click.option("--metric", default="l2", show_default=True, type=click.Choice(["l2", "l1"]))
@click.option("--weights", is_flag=True, help="Train the ordinary network with weights, for comparison.")
@click.option("--epochs", type=int, default=3, show_default=True)
@click.option("--batch", type=int, default=128, show_default=True)
@click.option("--rate", type=float, help="Peak rate of the places [0.02; vit 0.08].")
@click.option("--motion", default="adam", show_default=True, help="How places move: adam, inertial or overdamped.")
@click.option(
    "--smoothing",
    type=float,
    default=0.0,
    show_default=True,
    help="Label smoothing: the share of each label spread evenly over all classes.",
)
@click.option("--decay", type=float, default=0.0, show_default=True, help="Weight decay of ordinary weights.")
@click.option(
    "--train-noise",
    "noise",
    type=float,
    default=0.0,
    show_default=True,
    help="Noise on the stored numbers during training, relative to each array's root mean square.",
)
@click.option("--bits", type=int, help="Keep places on a grid of 2^bits values, for packed files.")
@click.option("--shift", type=float, help="Shift training images at random by at most so many pixels [0; vit 1].")
@click.option(
    "--rotation",
    type=float,
    default=0.0,
    show_default=True,
    help="Rotate training images at random by at most so many degrees.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Model file to start from; for fit and alternating, one with weights to fit to.",
)
@click.option("--fit-steps", type=int, help="Steps of every fit [1500; alternating 300].")
@click.option(
    "--fit-images", type=int, default=0, show_default=True, help="How many training images, without labels, a fit uses."
)
@click.option("--fit-rate", type=float, default=0.02, show_default=True, help="Peak rate of a fit.")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the training in the output folder after its last finished epoch, also to more --epochs.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier training in the output folder.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
@click.option("--dry-run", is_flag=True, help="Only print settings, counts, memory and time.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the results.")
def command(model, name, data_dir, size, grey, as_json, output, overwrite, dry_run, **options):
    """Train MODEL (mlp, lenet5, vit); write model.h5, training.h5, metrics.jsonl and figures into a folder.

    \b
    dynsim train mlp --data digits --hidden 32 --epochs 10 -o out
    dynsim train lenet5 --data mnist --copies-fc 2 --copies-conv 3 --dim 9 --epochs 3 --seed 0 -o out
    dynsim train lenet5 --data mnist --epochs 20 --dry-run
    dynsim train lenet5 --data mnist --kernel l1 --epochs 20 --rate 0.08 -o l1
    dynsim train lenet5 --data mnist --weights --epochs 20 -o ordinary
    dynsim train vit --data mnist --epochs 10 -o attention
    dynsim train lenet5 --data mnist --method fit --init ordinary/model.h5 -o fitted
    dynsim train lenet5 --data my-pictures/ --image-size 28 --grey -o mine

    After every epoch metrics.jsonl has another line, and model.h5 is the best model so far. A training stopped by
    Ctrl-C continues with --resume after its last finished epoch, bit for bit. `dynsim watch DIR` follows it.
    """
    if output is None and not dry_run:
        raise refusal("-o", "none", "the folder for the results, as -o run", error=click.UsageError)
    if not dry_run:
        # Before the work, not after it.
        expect_training_folder(output, overwrite=overwrite, resume=options["resume"], source=options["init"])
    data = load_data(name, data_dir, size=size, grey=grey)
    if options["rate"] is None:
        options["rate"] = RATE if options["weights"] else DYN_RATES.get(model, RATE)
    if options["shift"] is None:
        options["shift"] = SHIFT.get(model, 0.0)
    network, reference = _begin(model, data, options)
    names = ("epochs", "batch", "rate", "motion", "smoothing", "decay", "noise", "bits", "seed")
    names += ("resume", "fit_steps", "fit_images", "fit_rate")
    training = {name: options[name] for name in names}
    augment = _augment(options["shift"], options["rotation"])
    if dry_run:
        return print_training_costs(
            network, data, options["method"], as_json, reference=reference, augment=augment, **training
        )
    training |= {"reference": reference, "augment": augment, "extend": options["resume"]}
    report = train_into(output, network, data, options["method"], overwrite=overwrite, **training)
    if as_json:
        click.echo(to_json(report))
        return None
    click.echo(f"test accuracy      {report['test_accuracy']:.2f} %")
    click.echo(f"seconds per epoch  {report['seconds_per_epoch']:.1f}")
    click.echo(f"seed               {options['seed']}")
    for name, value in report["parameters"].items():
        click.echo(f"{name:18} {value:,}")
    click.echo(f"written            {output}")
    return None


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
    copies, dim = options["copies"], options["dim"]
    if model == "lenet5":
        copies, dim = 2 if copies is None else copies, 9 if dim is None else dim
        common |= {"copies_conv": options["copies_conv"], "classes": data.classes}
        return models.lenet5(copies_fc=copies, dim=dim, **common)
    copies = 4 if copies is None else copies
    dim = {"vit": 12, "mlp": 8}[model] if dim is None else dim
    channels, size, _ = data.train_images.shape[1:]
    if model == "vit":
        hidden = _hidden("128" if options["hidden"] is None else options["hidden"], 1)[0]
        sizes = {name: options[name] for name in ("patch", "width", "depth", "heads", "pool")}
        common |= {"image": size, "channels": channels, "classes": data.classes, "hidden": hidden, **sizes}
        return models.vit(copies=copies, dim=dim, **common)
    hidden = _hidden("1000,1500" if options["hidden"] is None else options["hidden"])
    widths = [math.prod(data.train_images.shape[1:]), *hidden, data.classes]
    return models.mlp(widths, copies=copies, dim=dim, **common)


def _hidden(text, number=None):
    try:
        hidden = [int(width) for width in text.split(",") if width.strip()]
    except ValueError:
        hidden = []
    if not hidden or min(hidden) < 1 or number not in (None, len(hidden)):
        wanted = "whole numbers above 0, as 1000,1500" if number is None else "one whole number above 0, as 96"
        raise refusal("--hidden", repr(text), wanted, error=click.UsageError)
    return hidden
