"""dynsim verify: check that a model gives the same predictions after saving and reloading."""

from __future__ import annotations

from pathlib import Path

import click

from dynsim._files import to_json

from ._computation import ComputingCommand
from ._data_options import data_options, load_data, load_data_for
from ._networks import load_network


@click.command(cls=ComputingCommand)
@click.argument("model", type=click.Path(path_type=Path))
@data_options(help="Data set whose test images are predicted; the accuracy is printed.")
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the random images that are predicted without --data.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
def command(model, name, data_dir, seed, as_json):
    """Save MODEL (model.h5, an export or a converted network) in every form, reload it, and compare predictions.

    The exit code is 1 if they differ.

    \b
    dynsim verify out/model.h5 --data mnist
    dynsim verify model.safetensors
    dynsim verify model.onnx --data mnist --json
    """
    from dynsim.trajectory import file_kind

    if model.suffix == ".h5" and file_kind(model) == "converted":
        from dynsim.torch import verify_converted as verify
    else:
        from dynsim.export import verify

    images = labels = None
    if name is not None:
        # An export does not say which classes and which background its images had.
        data = (
            load_data_for(load_network(model), name, data_dir) if model.suffix == ".h5" else load_data(name, data_dir)
        )
        images, labels = data.test_images, data.test_labels
    found = verify(model, images, labels=labels, seed=seed)
    same = all(entry["same"] is not False for entry in found)
    if as_json:
        asked = "noise" if name is None else name
        click.echo(to_json({"file": str(model), "same": same, "data": asked, "seed": seed, "forms": found}))
    else:
        for entry in found:
            click.echo(f"{entry['form']:12}  {_line(entry)}")
        if name is None:
            click.echo(f"{found[0].get('predictions', 0)} random images, seed {seed}")
    if not same:
        raise SystemExit(1)


def _line(entry):
    if entry["same"] is None:
        return f"not tried: {entry['reason']}"
    verdict = "same" if entry["same"] else "DIFFERS"
    text = f"{verdict}: {entry['agreeing']:,} of {entry['predictions']:,} predictions agree"
    text += f"; sum of scores {entry['sum_before']:.6g} before, {entry['sum_after']:.6g} after"
    text += f"; largest difference {entry['largest_difference']:.1e} (at most {entry['tolerance']:.0e} allowed)"
    if "accuracy_before" in entry:
        text += f"; accuracy {entry['accuracy_before']:.2f} % before, {entry['accuracy_after']:.2f} % after"
    return text
