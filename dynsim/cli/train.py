"""dynsim train: train a network of particles (or the ordinary one) on a data set."""

from __future__ import annotations

import math
from pathlib import Path

import click

from dynsim._check import refusal
from dynsim._files import to_json

from ._computation import ComputingCommand
from ._data_options import data_options, load_data, shape_options
from ._training_folder import CHECKPOINT, expect_training_folder, print_training_costs, train_into

PLAIN = {"rate": 0.02, "smoothing": 0.0, "decay": 0.0, "shift": 0.0, "rotation": 0.0, "fit_images": 0, "fit_rate": 0.02}
COPIES = 4  # of an mlp of your own widths
OF_MODELS = {
    "copies_conv": ("lenet5",),
    "hidden": ("mlp", "vit"),
    "no_norm": ("mlp",),
    "depth": ("compact", "vit"),
    **dict.fromkeys(("channels", "form", "sets", "populations"), ("compact",)),
    **dict.fromkeys(("patch", "width", "heads", "pool"), ("vit",)),
}  # options of some models only


@click.command(cls=ComputingCommand)
@click.argument("model", type=click.Choice(["mlp", "lenet5", "compact", "vit"]))
@data_options(required=True)
@shape_options
@click.option(
    "--method",
    type=click.Choice(["forces", "fit", "alternating"]),
    default="forces",
    show_default=True,
    help="Move places by forces, fit them to trained weights, or alternate both epoch by epoch.",
)
@click.option(
    "--copies-fc",
    "--copies",
    "copies",
    type=int,
    default=None,
    help="Places per neuron; of lenet5 in full layers [2; compact 24, vit 4; mlp 50, of other widths 4].",
)
@click.option("--copies-conv", type=int, default=3, show_default=True, help="Places per neuron in convolutions.")
@click.option("--dim", type=int, default=None, help="Dimension of the space [9; compact 2, mlp 8, vit 12].")
@click.option("--hidden", help="Hidden neurons: of mlp, layer by layer [1000,1500]; in a block of vit [128].")
@click.option("--patch", type=int, default=7, show_default=True, help="vit: side of a patch in pixels.")
@click.option("--width", type=int, default=64, show_default=True, help="vit: signals per token.")
@click.option("--depth", type=int, help="Blocks of vit [4]; convolutions of compact [5].")
@click.option("--channels", type=int, help="compact: channels of every convolution [32].")
@click.option(
    "--form",
    type=click.Choice(["whole", "separable"]),
    default="whole",
    help="compact: whole convolutions, or depthwise ones with a 1 x 1 behind each.",
)
@click.option(
    "--sets",
    type=click.Choice(["half", "full", "one"]),
    default="one",
    help="compact: places for every row and column of the convolutions, for both on both sides, or the same for all.",
)
@click.option(
    "--populations",
    type=int,
    default=2,
    show_default=True,
    help="compact: populations of neurons that signals pass through in turn; 0: each convolution has its own.",
)
@click.option("--rank", type=int, help="With --weights: layers are products of this rank.")
@click.option("--heads", type=int, default=4, show_default=True, help="vit: attention heads per block.")
@click.option(
    "--pool",
    type=click.Choice(["mean", "class"]),
    default="mean",
    help="vit: classify by the mean of all tokens, or by a class token.",
)
@click.option(
    "--kernel",
    default=None,
    help="Profile of the kernel or an expression in r; l1: linear with l1 distances [inverse; compact cos(r)].",
)
@click.option("--metric", default="l2", show_default=True, type=click.Choice(["l2", "l1"]))
@click.option("--no-norm", is_flag=True, help="mlp: no BatchNorm between the layers, only biases and ReLU.")
@click.option("--weights", is_flag=True, help="Train the ordinary network with weights, for comparison.")
@click.option("--epochs", type=int, help="Times that all images are seen [20; compact 30, mlp 15, vit 10].")
@click.option("--batch", type=int, help="Images per step [128; mlp 1000, with weights 250; fewer of few images].")
@click.option("--rate", type=float, help="Peak rate of the places [by model and method, 0.02 to 0.3].")
@click.option("--motion", default="adam", show_default=True, help="How places move: adam, inertial or overdamped.")
@click.option(
    "--smoothing",
    type=float,
    help="Label smoothing: the share of each label spread evenly over all classes [0.1; compact, vit 0].",
)
@click.option("--decay", type=float, help="Weight decay of ordinary weights [0; before a fit of lenet5 0.1].")
@click.option(
    "--train-noise",
    "noise",
    type=float,
    default=0.0,
    show_default=True,
    help="Noise on the stored numbers during training, relative to each array's root mean square.",
)
@click.option("--bits", type=int, help="Keep places and weights on grids of 2^bits values, for packed files.")
@click.option(
    "--shift", type=float, help="Shift training images at random by at most so many pixels [0; compact, vit 1]."
)
@click.option(
    "--rotation", type=float, help="Rotate training images at random by at most so many degrees [0; compact 8]."
)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    help="Model file of a trained network whose answers are learnt besides the labels.",
)
@click.option(
    "--teacher-share",
    type=float,
    default=0.9,
    show_default=True,
    help="With --teacher: share of its answers in the loss, from 0 to 1.",
)
@click.option(
    "--teacher-temperature",
    type=float,
    default=4.0,
    show_default=True,
    help="With --teacher: divides the scores of both; above 1 answers are softer.",
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    help="Model file to start from; for fit and alternating, one with weights to fit to.",
)
@click.option("--fit-steps", type=int, help="Steps of every fit [3000; alternating 200; mlp, vit 1500 and 300].")
@click.option(
    "--fit-images", type=int, help="How many training images, without labels, --method fit uses [2000; mlp, vit 0]."
)
@click.option("--fit-rate", type=float, help="Peak rate of --method fit [0.1; mlp, vit 0.02].")
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
    """Train MODEL (mlp, lenet5, compact, vit); write model.h5, training.h5, metrics.jsonl and figures into a folder.

    \b
    dynsim train lenet5 --data mnist -o out
    dynsim train lenet5 --data mnist --dry-run
    dynsim train lenet5 --data mnist --copies-fc 7 --copies-conv 7 --epochs 3 -o larger
    dynsim train lenet5 --data mnist --kernel l1 -o l1
    dynsim train lenet5 --data mnist --weights -o ordinary
    dynsim train mlp --data digits --hidden 32 --epochs 10 -o small
    dynsim train compact --data mnist --channels 24 --copies 17 --dim 2 -o compact
    dynsim train compact --data mnist --teacher ordinary/model.h5 -o taught
    dynsim train vit --data mnist -o attention
    dynsim train lenet5 --data mnist --method fit --init ordinary/model.h5 -o fitted
    dynsim train lenet5 --data my-pictures/ --image-size 28 --grey -o mine

    What is not given is as in the recipe of the published table (`dynsim experiment list`); --dry-run prints it. After
    every epoch metrics.jsonl has another line, and model.h5 is the best model so far. A training stopped by Ctrl-C
    continues with --resume after its last finished epoch, bit for bit. `dynsim watch DIR` follows it.
    """
    if output is None and not dry_run:
        raise refusal("-o", "none", "the folder for the results, as -o run", error=click.UsageError)
    if not dry_run:
        # Before the work, not after it.
        for source in (options["init"], options["teacher"]):
            expect_training_folder(output, overwrite=overwrite, resume=options["resume"], source=source)
    _expect_options_of(model)
    if options["rank"] is not None and not options["weights"]:
        raise refusal("--rank", "it without --weights", "both, for layers of low rank", error=click.UsageError)
    data = load_data(name, data_dir, size=size, grey=grey)
    network, reference = _begin(model, data, options)
    usual = _usual(network, data, options)
    if options["resume"] and not dry_run and (output / CHECKPOINT).exists():
        from dynsim.trajectory import load_checkpoint

        usual["epochs"] = load_checkpoint(output / CHECKPOINT)["epochs"]  # more of them only where that is said
    options |= {name: value for name, value in usual.items() if options.get(name) is None}
    names = ("epochs", "batch", "rate", "motion", "smoothing", "decay", "noise", "bits", "seed")
    names += ("resume", "fit_steps", "fit_images", "fit_rate")
    training = {name: options[name] for name in (*names, *({"sphere", "rates"} & set(usual)))}
    augment = _augment(options["shift"], options["rotation"])
    training["distillation"] = _distillation(options)
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


def _expect_options_of(model):
    """Refuse an option that was given though the model has none of the kind."""
    context = click.get_current_context()
    for name, having in OF_MODELS.items():
        given = context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        if given and model not in having:
            option = "--" + name.replace("_", "-")
            raise refusal(option, f"it for {model}", f"it for {' or '.join(having)} only", error=click.UsageError)


def _usual(network, data, options):
    """What the recipe of the network says, and the plain value of the rest."""
    from dynsim.experiments import usual_training

    config, images = network.config, len(data.train_images)
    kind = {"weights": bool(config.get("weights")), "widths": _as_published(config.get("widths", [])[1:-1])}
    return {**PLAIN, **usual_training(config["model"], options["method"], images=images, **kind)}


def _as_published(hidden):
    """Whether an mlp has the hidden widths of the recipe, for which its copies and its training are made."""
    from dynsim.experiments import usual_options

    return list(hidden) == usual_options("mlp")["widths"][1:-1]


def _begin(model, data, options):
    """The model, and the ordinary network that `--init` gives to fit and alternating."""
    from dynsim import load_model

    given = None if options["init"] is None else load_model(options["init"])
    if given is None or (options["method"] != "forces" and given.config.get("weights")):
        return _build(model, data, options), given
    return given, None


def _augment(shift, rotation):
    from dynsim.learning import Augment

    return Augment(shift, rotation) if shift or rotation else None


def _distillation(options):
    """What `--teacher` gives; its options alone are refused."""
    from dynsim import load_model
    from dynsim.learning import Distillation

    if options["teacher"] is not None:
        if options["method"] != "forces":
            said = f"it with --method {options['method']}"
            raise refusal("--teacher", said, "it with --method forces only", error=click.UsageError)
        given = {name: options[f"teacher_{name}"] for name in ("share", "temperature")}
        return Distillation(load_model(options["teacher"]), **given)
    context = click.get_current_context()
    for name in ("teacher_share", "teacher_temperature"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            option = "--" + name.replace("_", "-")
            raise refusal(option, "it without --teacher", "both", error=click.UsageError)
    return None


def _build(model, data, options):
    from dynsim import models
    from dynsim.experiments import usual_options
    from dynsim.kernels import Kernel

    if options["kernel"] == "l1":
        kernel = Kernel("linear", "l1")
    else:
        profile = options["kernel"] or ("cos(r)" if model == "compact" else "inverse")
        kernel = Kernel(profile, options["metric"], softening=1e-3)
    common = {"kernel": kernel, "seed": options["seed"], "weights": options["weights"], "rank": options["rank"]}
    copies, dim = options["copies"], options["dim"]
    if model == "lenet5":
        copies, dim = 2 if copies is None else copies, 9 if dim is None else dim
        common |= {"copies_conv": options["copies_conv"], "classes": data.classes}
        return models.lenet5(copies_fc=copies, dim=dim, **common)
    usual = usual_options(model)
    hidden = _hidden("1000,1500" if options["hidden"] is None else options["hidden"]) if model == "mlp" else []
    if copies is None:
        copies = usual["copies"] if model != "mlp" or _as_published(hidden) else COPIES
    dim = usual["dim"] if dim is None else dim
    image = channels, size, _ = data.train_images.shape[1:]
    depth = {} if options["depth"] is None else {"depth": options["depth"]}
    if model == "compact":
        channels = usual["channels"] if options["channels"] is None else options["channels"]
        common |= {"image": image, "classes": data.classes, "channels": channels, **depth}
        common |= {"form": options["form"], "sets": options["sets"], "populations": options["populations"]}
        return models.compact(copies=copies, dim=dim, **common)
    if model == "vit":
        hidden = _hidden("128" if options["hidden"] is None else options["hidden"], 1)[0]
        sizes = {name: options[name] for name in ("patch", "width", "heads", "pool")} | depth
        common |= {"image": size, "channels": channels, "classes": data.classes, "hidden": hidden, **sizes}
        return models.vit(copies=copies, dim=dim, **common)
    widths = [math.prod(data.train_images.shape[1:]), *hidden, data.classes]
    return models.mlp(widths, copies=copies, dim=dim, norm=not options["no_norm"], **common)


def _hidden(text, number=None):
    try:
        hidden = [int(width) for width in text.split(",") if width.strip()]
    except ValueError:
        hidden = []
    if not hidden or min(hidden) < 1 or number not in (None, len(hidden)):
        wanted = "whole numbers above 0, as 1000,1500" if number is None else "one whole number above 0, as 96"
        raise refusal("--hidden", repr(text), wanted, error=click.UsageError)
    return hidden
