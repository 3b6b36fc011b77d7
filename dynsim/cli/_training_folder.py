"""A training and the folder that it leaves."""

from __future__ import annotations

import click

from dynsim._files import expect_claim, expect_output, to_json, write_whole

from ._computation import can_resume, same_command
from ._progress_bars import ProgressBar

RESULTS = ("model.h5", "training.h5", "training.checkpoint", "metrics.jsonl")
FIGURES = {"trajectories": "paths.png", "observables": "learning.png"}


def expect_training_folder(output, *, overwrite=False, resume=False):
    """Refuse a folder that holds another training, or one that is in progress; makes the folder, touches no file.

    Raises FileExistsError if there is a file of an earlier training and neither `overwrite` nor `resume` is given,
    another OSError if a file cannot be written or is open in another program.
    """
    output.mkdir(parents=True, exist_ok=True)
    try:
        for name in RESULTS:
            expect_output(output / name, overwrite or resume)
        expect_claim(output / "training.h5", overwrite or resume)
    except FileExistsError as error:
        if (output / "training.checkpoint").exists():
            raise FileExistsError(f"{error} --resume continues the training that is there.") from None
        raise


def train_into(output, network, data, method="forces", *, overwrite=False, **options):
    """Train a network; leave model.h5, training.h5, metrics.jsonl and figures in a folder. Returns the report."""
    from dynsim import learning
    from dynsim.models import count

    expect_training_folder(output, overwrite=overwrite, resume=options.get("resume", False))
    moves = any(parameter.kind == "places" for parameter in network.parameters.values())
    trajectory = output / "training.h5" if moves else None
    checkpoint = output / "training.checkpoint"
    # What an earlier training wrote and this one does not goes with the first batch: then nothing is refused any more.
    replaced = [] if moves or options.get("resume") else ["training.h5", *FIGURES.values()]
    with ProgressBar("batch", delay=0.0) as bar:

        def progress(done, total, **facts):
            while replaced:
                (output / replaced.pop()).unlink(missing_ok=True)
            return bar(done, total, **facts)

        try:
            paths = {"trajectory": trajectory, "checkpoint": checkpoint}
            result = learning.train(network, data, method=method, progress=progress, **paths, **options)
        except KeyboardInterrupt:
            if checkpoint.exists() or options.get("resume"):
                message = f"Interrupted. Go on from the last finished epoch with: {same_command('--resume')}"
            else:
                message = "Interrupted before the first epoch was finished: nothing was kept."
                if bar.bar is not None:  # it had begun, so the file is its own
                    (output / "training.h5").unlink(missing_ok=True)
            click.echo(message if can_resume() else "Interrupted.", err=True)
            raise SystemExit(130) from None
    network.save(output / "model.h5")
    lines = "".join(to_json(entry) + "\n" for entry in result.metrics)
    write_whole(output / "metrics.jsonl", lines)
    if moves:
        from dynsim.plots import plot

        for kind, name in FIGURES.items():
            plot(trajectory, kind, output=output / name)
    return {
        "test_accuracy": round(result.test_accuracy, 4),
        "validation_accuracy": round(result.validation_accuracy, 4),
        "epochs": result.epochs,
        "seconds_per_epoch": round(result.seconds_per_epoch, 3),
        "seed": options["seed"],
        "method": method,
        "parameters": count(network),
        "output": str(output),
        **({"layers": result.layers} if result.layers else {}),
    }


def print_training_costs(network, data, method, as_json, resume=False, reference=None, augment=None, **options):
    """Print what a training would do and cost; nothing is written."""
    from dynsim import learning
    from dynsim.models import count

    costs = learning.estimate(network, data, method=method, reference=reference, augment=augment, **options)
    settings = {"data": data.name, "method": method, **network.config, **options}
    if augment is not None:
        settings["augment"] = {"shift": augment.shift, "rotation": augment.rotation}
    report = {"settings": settings, "parameters": count(network), **costs}
    if as_json:
        click.echo(to_json(report))
        return
    click.echo(to_json(settings, indent=2))
    for name, value in report["parameters"].items():
        click.echo(f"{name:13} {value:,}")
    click.echo(f"{'steps':13} {costs['steps']:,} batches in {costs['epochs']} epochs")
    click.echo(f"{'seconds':13} about {costs['seconds']:.3g}, on this machine")
    click.echo(f"{'memory_bytes':13} about {costs['memory_bytes']:,}")
