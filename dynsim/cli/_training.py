"""A training and the folder that it leaves."""

from __future__ import annotations

import json

import click

from ._again import can_resume, same_command

FIGURES = {"trajectories": "paths.png", "observables": "learning.png"}


def train_into(output, network, data, method="forces", **options):
    """Train a network; leave model.h5, training.h5, metrics.jsonl and figures in a folder. Returns the report."""
    from dynsim import learning
    from dynsim.models import count

    output.mkdir(parents=True, exist_ok=True)
    moves = any(parameter.kind == "places" for parameter in network.parameters.values())
    trajectory = output / "training.h5" if moves else None
    checkpoint = output / "training.checkpoint"
    if not options.get("resume"):
        for old in (checkpoint, output / "training.checkpoint.previous"):  # of another training: not to be gone on with
            old.unlink(missing_ok=True)
    try:
        with TrainingBar(options["epochs"]) as bar:
            paths = {"trajectory": trajectory, "checkpoint": checkpoint}
            result = learning.train(network, data, method=method, progress=bar.progress, **paths, **options)
    except KeyboardInterrupt:
        if not can_resume():
            click.echo("Interrupted.", err=True)
        elif checkpoint.exists():
            click.echo(f"Interrupted. Go on from the last finished epoch with: {same_command('--resume')}", err=True)
        else:
            click.echo("Interrupted before the first epoch was finished: nothing was kept.", err=True)
        raise SystemExit(130) from None
    network.save(output / "model.h5")
    lines = "".join(json.dumps(entry) + "\n" for entry in result.metrics)
    (output / "metrics.jsonl").write_text(lines, encoding="utf-8")
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


def dry_run_of(network, data, method, as_json, resume=False, reference=None, augment=None, **options):
    """Print what a training would do and cost; nothing is written."""
    from dynsim import learning
    from dynsim.models import count

    costs = learning.estimate(network, data, method=method, reference=reference, augment=augment, **options)
    settings = {"data": data.name, "method": method, **network.config, **options}
    if augment is not None:
        settings["augment"] = {"shift": augment.shift, "rotation": augment.rotation}
    report = {"settings": settings, "parameters": count(network), **costs}
    if as_json:
        click.echo(json.dumps(report))
        return
    click.echo(json.dumps(settings, indent=2))
    for name, value in report["parameters"].items():
        click.echo(f"{name:13} {value:,}")
    click.echo(f"{'steps':13} {costs['steps']:,} batches in {costs['epochs']} epochs")
    click.echo(f"{'seconds':13} about {costs['seconds']:.3g}, on this machine")
    click.echo(f"{'memory_bytes':13} about {costs['memory_bytes']:,}")


class TrainingBar:
    """A bar with time left over all batches, made at the first one (only then their number is known)."""

    def __init__(self, epochs, description=None):
        self.epochs, self.description, self.bar = epochs, description, None

    def __enter__(self):
        return self

    def progress(self, done, total, epochs=None, **facts):
        """Advance to the batches and steps that are done; shows epoch and loss, or the error of a fit."""
        from tqdm import tqdm

        if self.bar is None:
            # Only on a terminal; a training that goes on does not begin at the first epoch.
            options = {"disable": None, "leave": self.description is None, "desc": self.description}
            self.bar = tqdm(total=total, initial=done - 1, unit="batch", **options)
        self.bar.update(done - self.bar.n)
        shown = {name: f"{fact:.4g}" for name, fact in facts.items()}
        self.bar.set_postfix(shown, refresh=False)

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()
