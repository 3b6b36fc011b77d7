"""dynsim evaluate: measure the accuracy of a saved model, with or without noise."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._files import to_json

from ._computation import ComputingCommand
from ._data_options import data_options, load_data_for
from ._networks import count_numbers, load_network
from ._progress_bars import ProgressBar


@click.command(cls=ComputingCommand)
@click.argument("model", type=click.Path(path_type=Path))
@data_options(required=True)
@click.option("--delta", type=float, default=0.0, show_default=True, help="Size of the noise on the stored numbers.")
@click.option(
    "--noise", type=click.Choice(["uniform", "gaussian", "round", "floor"]), default="uniform", show_default=True
)
@click.option("--relative", is_flag=True, help="Measure delta in units of each array's root mean square.")
@click.option("--draws", type=int, default=10, show_default=True, help="How often random noise is drawn.")
@click.option(
    "--inference",
    type=click.Choice(["auto", "dense", "tiled", "weight-free"]),
    default="dense",
    show_default=True,
    help="Compute all weights of a layer, one tile of them at a time, or none (l1 linear kernel); auto: the fastest.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(model, name, data_dir, as_json, **options):
    """Evaluate MODEL (model.h5, an export of it as safetensors, or a converted network) on a data set's test images.

    For several draws of noise the mean is printed, and two of the draws with the probability that a further one falls
    between them. A probability of 90 % takes 19 draws.

    \b
    dynsim evaluate out/model.h5 --data mnist
    dynsim evaluate out/model.h5 --data mnist --delta 1e-3 --noise uniform --draws 10
    dynsim evaluate l1/model.h5 --data mnist --inference weight-free
    """
    from dynsim import learning

    network = load_network(model)
    data = load_data_for(network, name, data_dir)
    with ProgressBar("image") as progress:
        result = learning.evaluate(network, data.test_images, labels=data.test_labels, progress=progress, **options)
    report = {
        "test_accuracy": round(result["mean"], 4),
        "deviation": round(result["deviation"], 4),
        "interval": [round(bound, 4) for bound in result["interval"]],
        "coverage": round(result["coverage"], 4),
        "draws": len(result["accuracies"]),
        "delta": options["delta"],
        "noise": options["noise"],
        "seed": options["seed"],
        "inference": options["inference"],
        "model": str(model),
        "epochs": network.results.get("epochs"),
        "parameters": count_numbers(network),
    }
    if options["delta"]:
        report["noises"] = _noises(network, data, options)
    if options["inference"] != "dense" and not options["delta"]:
        dense, other = (network.predict(data.test_images, way) for way in ("dense", options["inference"]))
        report["predictions_as_dense"] = int((dense == other).sum())
        report["images"] = len(data.test_images)
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(f"test accuracy  {_spread(report)}")
    if "images" in report:
        click.echo(f"predictions    {report['predictions_as_dense']:,} of {report['images']:,} as with dense weights")
    for name, value in report["parameters"].items():
        click.echo(f"{name:14} {value:,}")
    for line in _noise_lines(report.get("noises", {}), options["delta"]):
        click.echo(line)


def _noises(network, data, options):
    """{what is stored: {"absolute", "relative": {"mean", "deviation"}}} of the network, and of its ordinary weights."""
    from dynsim import learning
    from dynsim.models import materialize

    shown = {"as stored": network}
    if any(parameter.kind == "places" for parameter in network.parameters.values()):
        shown["as weights"] = network.ordinary() if hasattr(network, "ordinary") else materialize(network)
    found = {}
    for what, one in shown.items():
        found[what] = {}
        for way in ("absolute", "relative"):
            same = {**options, "relative": way == "relative", "inference": "dense"}
            with ProgressBar("image") as progress:
                result = learning.evaluate(one, data.test_images, labels=data.test_labels, progress=progress, **same)
            found[what][way] = {name: round(result[name], 4) for name in ("mean", "deviation")}
    return found


def _noise_lines(noises, delta):
    """The table of `_noises`: absolute noise depends on the units of what is stored, relative noise does not.

    >>> one = {"mean": 90.0, "deviation": 1.0}
    >>> print("\\n".join(_noise_lines({"as stored": {"absolute": one, "relative": one}}, 0.01)))
    <BLANKLINE>
    noise 0.01     absolute         relative to each array's root mean square
    as stored      90.00 ± 1.00 %   90.00 ± 1.00 %
    """
    if not noises:
        return
    yield f"\n{f'noise {delta:g}':14} {'absolute':16} relative to each array's root mean square"
    for what, ways in noises.items():
        cells = [f"{ways[way]['mean']:.2f} ± {ways[way]['deviation']:.2f} %" for way in ("absolute", "relative")]
        yield f"{what:14} {cells[0]:16} {cells[1]}"


def _spread(report):
    """The accuracy, and what the draws say of a further one.

    >>> _spread({"test_accuracy": 97.5, "deviation": 0.5, "interval": [96.0, 98.0], "draws": 9, "coverage": 0.8})
    '97.50 ± 0.50 %, 96.00 to 98.00 (9 draws; a further one falls between with 80 %)'
    """
    if report["draws"] == 1:
        return f"{report['test_accuracy']:.2f} % (1 draw)"
    low, high = report["interval"]
    said = f"{report['draws']} draws; a further one falls between with {100 * report['coverage']:.0f} %"
    return f"{report['test_accuracy']:.2f} ± {report['deviation']:.2f} %, {low:.2f} to {high:.2f} ({said})"
