"""dynsim evaluate: accuracy of a saved model, ideal or perturbed."""

from __future__ import annotations

import json
from pathlib import Path

import click


def _load(path):
    """A model file, or a packed one."""
    if path.suffix == ".safetensors":
        from dynsim.interop import load_packed

        return load_packed(path)
    from dynsim import load_model

    return load_model(path)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", "data_name", required=True, help="Data set: digits, mnist, fashion-mnist, kmnist.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data sets lie.")
@click.option("--delta", type=float, default=0.0, show_default=True, help="Size of the perturbation.")
@click.option(
    "--noise",
    type=click.Choice(["uniform", "gaussian", "round", "floor"]),
    default="uniform",
    show_default=True,
)
@click.option("--relative", is_flag=True, help="delta in units of each array's root mean square.")
@click.option("--draws", type=int, default=10, show_default=True, help="Repetitions of random noise.")
@click.option(
    "--inference",
    type=click.Choice(["auto", "dense", "tiled", "weight-free"]),
    default="dense",
    show_default=True,
    help="How layers of particles answer: with weights, a tile of them at a time, or none.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(model, data_name, data_dir, as_json, **options):
    """Evaluate MODEL.h5 on the test images of a data set: accuracy, and of several draws the middle 90 %.

    \b
    dynsim evaluate out/model.h5 --data mnist
    dynsim evaluate out/model.h5 --data mnist --delta 1e-3 --noise uniform --draws 10
    dynsim evaluate l1/model.h5 --data mnist --inference weight-free
    """
    import numpy as np

    from dynsim import datasets, learning
    from dynsim.models import count

    network = _load(model)
    data = datasets.load(data_name, data_dir)
    result = learning.evaluate(network, data.test_images, data.test_labels, **options)
    report = {
        "test_accuracy": round(result["mean"], 4),
        "deviation": round(result["deviation"], 4),
        "interval": [round(float(bound), 4) for bound in np.percentile(result["accuracies"], [5, 95])],
        "draws": len(result["accuracies"]),
        "delta": options["delta"],
        "noise": options["noise"],
        "seed": options["seed"],
        "inference": options["inference"],
        "model": str(model),
        "epochs": network.results.get("epochs"),
        "parameters": count(network),
    }
    if as_json:
        click.echo(json.dumps(report))
        return
    low, high = report["interval"]
    draws = f"{report['draws']} draw{'s' * (report['draws'] > 1)}"
    click.echo(
        f"test accuracy  {report['test_accuracy']:.2f} ± {report['deviation']:.2f} %, {low:.2f} to {high:.2f} ({draws})"
    )
    for name, value in report["parameters"].items():
        click.echo(f"{name:14} {value:,}")
